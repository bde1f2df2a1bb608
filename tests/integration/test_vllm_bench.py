"""`revati bench` with the real vLLM in its default mode: torch.compile, CUDA graphs, its own client."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import BIN, run_revati

pytestmark = pytest.mark.vllm

KEYS = {
    "mean_ttft_ms",
    "median_ttft_ms",
    "p99_ttft_ms",
    "mean_tpot_ms",
    "median_tpot_ms",
    "p99_tpot_ms",
    "output_throughput",
    "completed",
    "failed",
    "engine",
    "engine_version",
    "gpu",
    "gpus",
    "kv_cache_tokens",
    "duration_sources",
    "virtual_seconds",
    "wall_seconds",
    "startup_wall_seconds",
}


def bench(out: Path, *more: str) -> subprocess.Popen[str]:
    """As `make demo`, with fewer requests."""
    return subprocess.Popen(
        [
            *(
                str(BIN / "revati"),
                "bench",
                "--engine",
                "vllm",
                "--model",
                "llama-3.1-8b",
                "--gpu",
                "h200-sxm",
            ),
            *("--clock", "modelled", "--request-rate", "8", "--num-prompts", "12", "--input-len", "512"),
            *("--output-len", "64", "--out", str(out)),
            *more,
        ],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed."""
    out, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    return out


@pytest.fixture(scope="module")
def on_a_free_host(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("free")
    return folder, finish(bench(folder))


def test_default_mode(on_a_free_host: tuple[Path, str]) -> None:
    folder, printed = on_a_free_host
    result = json.loads((folder / "result.json").read_text())
    assert result.keys() >= KEYS
    assert result["completed"] == 12
    assert result["failed"] == 0
    assert result["total_output_tokens"] == 12 * 64
    assert result["total_input_tokens"] == pytest.approx(12 * 512, abs=12)
    assert json.loads((folder / "client.json").read_text())["output_lens"] == [64] * 12
    assert result["engine_version"] == "0.24.0"
    assert sum(entry["share"] for entry in result["duration_sources"].values()) == pytest.approx(1)
    log = (folder / "server.log").read_text()
    assert "enforce_eager=False" in log
    assert re.search(r"Graph capturing finished", log)
    assert "time to first token" in printed


@contextmanager
def busy_host() -> Iterator[None]:
    """Another program on every CPU that never waits."""
    # They end with their stdin, so that none outlives a test run that was killed.
    hog = (
        "import sys, threading as t; w = t.Thread(target=sys.stdin.read); w.start()\nwhile w.is_alive(): pass"
    )
    count = len(os.sched_getaffinity(0))
    hogs = [subprocess.Popen([sys.executable, "-c", hog], stdin=subprocess.PIPE) for _ in range(count)]
    try:
        yield
    finally:
        for process in hogs:
            process.kill()
            process.communicate()


def test_same_answer_whatever_the_host_does(on_a_free_host: tuple[Path, str], tmp_path: Path) -> None:
    """In modelled time two servers give the same result to the last bit: free host or busy, best scheduler or plain."""
    process = bench(tmp_path, "--scheduler", "fair")
    log = tmp_path / "server.log"
    # Busy from the moment at which the server is ready: its start-up is in real time.
    while process.poll() is None and "Application startup complete" not in (
        log.read_text() if log.exists() else ""
    ):
        time.sleep(0.2)
    with busy_host():
        finish(process)
    results = [json.loads((folder / "result.json").read_text()) for folder in (on_a_free_host[0], tmp_path)]
    for result in results:
        for key in [key for key in result if key.endswith("wall_seconds")]:
            del result[key]
    assert results[0] == results[1]
    clients = [json.loads((folder / "client.json").read_text()) for folder in (on_a_free_host[0], tmp_path)]
    assert clients[0]["ttfts"] == clients[1]["ttfts"]
    assert clients[0]["itls"] == clients[1]["itls"]


def test_model_too_large_for_the_gpu(tmp_path: Path) -> None:
    """vLLM's own out-of-memory error comes through, with advice."""
    done = run_revati(
        *("bench", "--model", "llama-3.1-70b", "--gpu", "h100-sxm", "--out", str(tmp_path)),
        *("--server-args", "--enforce-eager"),
    )
    assert done.returncode == 4
    assert "OutOfMemoryError" in (tmp_path / "server.log").read_text()
    assert "the model does not fit" in done.stderr
    assert not (tmp_path / "result.json").exists()
