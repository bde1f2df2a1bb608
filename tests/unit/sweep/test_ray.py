"""The same sweep through Ray gives the same results; the cluster is one that the test starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from .test_sweep import SWEEP, figures, rows, sweep


@pytest.fixture
def cluster(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    ray = Path(sys.executable).parent / "ray"
    environment = {**os.environ, "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = [
        *(str(ray), "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}"),
        *("--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats", "--memory=20000000000"),
        *("--object-store-memory=100000000", f"--temp-dir={tmp_path_factory.mktemp('ray')}"),
    ]
    with (tmp_path / "ray.log").open("w+") as log:
        process = subprocess.Popen(start, env=environment, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 400
        while "Ray runtime started" not in (tmp_path / "ray.log").read_text():
            assert process.poll() is None, (tmp_path / "ray.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "ray.log").read_text()
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
        tree = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(60)
        _, alive = psutil.wait_procs(tree, timeout=20)
        for other in alive:
            other.kill()


def test_the_same_results(
    tmp_path: Path, toy_vllm: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    paths = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "sweep.yaml")
        paths[-1].write_text(SWEEP.format(program=toy_vllm) + "vary: {tp: [1, 2]}\n")
    here = sweep(paths[0])
    assert here.returncode == 0, here.stderr
    there = sweep(paths[1], "--ray", cluster)
    assert there.returncode == 0, there.stderr
    assert [figures(row) for row in rows(paths[0])] == [figures(row) for row in rows(paths[1])]
    for row in rows(paths[1]):
        folder = paths[1].parent / "out" / row.id
        assert (folder / "client.json").is_file()
        assert (folder / "server.log").is_file()
        assert list((folder / "session").iterdir())
        # Ray gives its workers a number of threads; a server is to start as many as it would here.
        logs = [(path.parent / "out" / row.id / "server.log").read_text() for path in paths]
        assert [log.count("INFO threads: None") for log in logs] == [1, 1]


def test_no_cluster(tmp_path: Path, toy_vllm: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.format(program=toy_vllm))
    done = sweep(path, "--ray", "127.0.0.1:1")
    assert done.returncode == 2, done.stderr
    assert "there is no Ray cluster at 127.0.0.1:1" in done.stderr
