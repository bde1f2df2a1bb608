"""Several hosts as one virtual time: network namespaces on one machine, joined at a coordinator's socket."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

import revati

PROGRAM = Path(__file__).parent / "programs" / "node_traffic.py"
REVATI = str(Path(sys.executable).with_name("revati"))
TOKEN = "a token for tests, long enough"
ENVIRONMENT = os.environ | {"REVATI_HOST_COSTS": "driver"}
# A host of its own, as far as the network goes: it shares nothing with the others but the coordinator's socket.
APART = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def can_be_apart() -> bool:
    try:
        return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def coordinator(folder: Path, *options: str) -> Iterator[str]:
    address = f"unix:{folder}/root"
    process = subprocess.Popen(
        [REVATI, "coordinator", "serve", "--listen", address, *options],
        env=ENVIRONMENT | {"REVATI_COORDINATOR_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert "coordinator at" in process.stdout.readline()
        yield address
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def start_host(
    address: str,
    rank: int,
    *command: str,
    token: str = TOKEN,
    apart: bool = False,
    gpus: int = 1,
    stdout: int | IO[str] = subprocess.PIPE,
) -> subprocess.Popen[str]:
    words = [REVATI, "run", "--nodes", "2", "--gpus", str(gpus), "--coordinator", address]
    words += ["--host-rank", str(rank), "--", *command]
    return subprocess.Popen(
        [*APART, *words] if apart else words,
        env=ENVIRONMENT | {"REVATI_COORDINATOR_TOKEN": token},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def traffic(part: str) -> list[str]:
    return [sys.executable, str(PROGRAM), part]


def on_one_host(folder: Path) -> list[str]:
    """The same two programs as nodes of one emulation."""
    outputs = []
    with revati.Emulation(nodes=2, clock="modelled", clients=2) as emulation:
        emulation.arm_clock()
        files = [(folder / part).open("wb+") for part in ("server", "client")]
        started = [
            emulation.launch(traffic(part), node=node, client=True, stdout=files[node], env=ENVIRONMENT)
            for node, part in enumerate(("server", "client"))
        ]
        assert [process.wait() for process in started] == [0, 0]
        for file in files:
            file.seek(0)
            outputs.append(file.read().decode())
            file.close()
    return outputs


def test_two_hosts_are_as_two_nodes_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVATI_HOST_COSTS", "driver")
    expected = on_one_host(tmp_path)
    assert len(expected[0].splitlines()) == len(expected[1].splitlines()) == 8
    # Two ways of 15 us, a millisecond of thought, a megabyte at 2.5 GB/s, and a few microseconds of host work.
    latencies = [int(line.split()[2]) for line in expected[1].splitlines()]
    assert 1_030_000 < latencies[0] < 1_040_000
    assert latencies[3] - latencies[0] == pytest.approx(400_000, rel=0.01)
    with coordinator(tmp_path) as address:
        # To files, as above: writing to a pipe takes virtual time.
        files = [(tmp_path / part).open("w+") for part in ("server", "client")]
        hosts = [
            start_host(address, rank, *traffic(part), apart=can_be_apart(), stdout=files[rank])
            for rank, part in enumerate(("server", "client"))
        ]
        done = [host.communicate(timeout=300) for host in hosts]
        assert [host.returncode for host in hosts] == [0, 0], done
        assert [(tmp_path / part).read_text() for part in ("server", "client")] == expected
        for file in files:
            file.close()


def test_who_is_not_let_in(tmp_path: Path) -> None:
    with coordinator(tmp_path) as address:
        stranger = start_host(address, 0, "true", token="a token that is another one")
        _, said = stranger.communicate(timeout=300)
        assert stranger.returncode == 2
        assert "the token is missing or wrong" in said
        first = start_host(address, 0, *traffic("server"))
        # Whichever comes second is refused; the other one would wait for ever.
        second = start_host(address, 1, *traffic("client"), gpus=2)
        refused, waiting = (first, second) if ends_first(first, second) else (second, first)
        _, said = refused.communicate()
        waiting.kill()
        waiting.communicate()
        assert refused.returncode == 2
        assert "configured otherwise" in said


def ends_first(host: subprocess.Popen[str], other: subprocess.Popen[str]) -> bool:
    while True:
        for candidate in (host, other):
            try:
                candidate.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            return candidate is host


def test_a_lost_host_ends_the_run(tmp_path: Path) -> None:
    forever = "import time\nprint('up', flush=True)\nwhile True: time.sleep(0.01)"
    with coordinator(tmp_path, "--heartbeat", "30") as address:
        hosts = [start_host(address, rank, sys.executable, "-c", forever) for rank in range(2)]
        for host in hosts:
            assert host.stdout is not None
            assert host.stdout.readline() == "up\n"
        hosts[1].send_signal(signal.SIGKILL)
        _, said = hosts[0].communicate(timeout=300)
        hosts[1].communicate(timeout=300)
    assert hosts[0].returncode == 87
    assert re.search(r"host 1 \(.*\): ", said), said


def test_nodes_share_no_memory() -> None:
    program = Path(__file__).parent / "programs" / "shared_memory.py"
    words = [REVATI, "run", "--nodes", "2", "--clock", "modelled", "--", sys.executable, str(program)]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["found hello", "nothing"]
