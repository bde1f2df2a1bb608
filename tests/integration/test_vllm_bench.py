"""`revati bench` with the real vLLM in its default mode: torch.compile, CUDA graphs, its own client."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from .conftest import run_revati

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


def test_default_mode(tmp_path: Path) -> None:
    """As `make demo`, with fewer requests."""
    done = run_revati(
        *("bench", "--engine", "vllm", "--model", "llama-3.1-8b", "--gpu", "h200-sxm", "--request-rate", "4"),
        *("--num-prompts", "12", "--input-len", "512", "--output-len", "128", "--out", str(tmp_path)),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result.keys() >= KEYS
    assert result["completed"] == 12
    assert result["failed"] == 0
    assert result["total_output_tokens"] == 12 * 128
    assert result["total_input_tokens"] == pytest.approx(12 * 512, abs=12)
    assert json.loads((tmp_path / "client.json").read_text())["output_lens"] == [128] * 12
    assert result["engine_version"] == "0.24.0"
    assert sum(entry["share"] for entry in result["duration_sources"].values()) == pytest.approx(1)
    log = (tmp_path / "server.log").read_text()
    assert "enforce_eager=False" in log
    assert re.search(r"Graph capturing finished", log)
    assert "time to first token" in done.stdout


@contextmanager
def busy_host() -> Iterator[None]:
    """One CPU for everything that is started, and two others who want it, too."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
        os.sched_setaffinity(0, cpus)


def test_same_answer_whatever_the_host_does(tmp_path: Path) -> None:
    """In modelled time two servers give the same result to the last bit, on a free host and on a busy one."""
    results = []
    for name, host in (("free", nullcontext()), ("busy", busy_host())):
        with host:
            done = run_revati(
                *("bench", "--model", "llama-3.1-8b", "--clock", "modelled", "--request-rate", "8"),
                *(
                    "--num-prompts",
                    "12",
                    "--input-len",
                    "256",
                    "--output-len",
                    "32",
                    "--out",
                    str(tmp_path / name),
                ),
            )
        assert done.returncode == 0, done.stderr
        results.append(json.loads((tmp_path / name / "result.json").read_text()))
    for result in results:
        assert result["completed"] == 12
        for key in [key for key in result if key.endswith("wall_seconds")]:
            del result[key]
    assert results[0] == results[1]


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
