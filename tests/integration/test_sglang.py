"""`revati bench --engine sglang` with the real SGLang in its default mode. Runs in .venv-sglang (`make test-sglang`)."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent

pytestmark = [
    pytest.mark.sglang,
    pytest.mark.skipif(
        importlib.util.find_spec("sglang") is None,
        reason="SGLang is not in this environment: make test-sglang",
    ),
]

LOAD = ("--request-rate", "8", "--num-prompts", "12", "--input-len", "512", "--output-len", "64")


def bench(out: Path, *more: str) -> dict[str, Any]:
    """As `make demo-sglang`, with fewer requests."""
    done = subprocess.run(
        [
            *(
                str(BIN / "revati"),
                "bench",
                "--engine",
                "sglang",
                "--model",
                "llama-3.1-8b",
                "--gpu",
                "h200-sxm",
            ),
            *(*LOAD, "--out", str(out), *more),
        ],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "time to first token" in done.stdout
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    assert result["completed"] == 12
    assert result["failed"] == 0
    assert json.loads((out / "client.json").read_text())["output_lens"] == [64] * 12
    return result


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sglang")
    return folder, bench(folder)


def test_default_mode(first: tuple[Path, dict[str, Any]]) -> None:
    folder, result = first
    assert result["engine_version"] == "0.5.14"
    assert result["total_input_tokens"] == 12 * 512
    assert sum(entry["share"] for entry in result["duration_sources"].values()) == pytest.approx(1)
    log = (folder / "server.log").read_text()
    assert re.search(r"attention_backend='fa3'", log)
    assert "disable_overlap_schedule=False" in log
    assert "disable_radix_cache=False" in log
    assert re.search(r"[Cc]apture .*CUDA graph end", log)


def test_two_servers_give_the_same_answer(first: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    again = bench(tmp_path, "--scheduler", "fair")
    clients = [json.loads((folder / "client.json").read_text()) for folder in (first[0], tmp_path)]
    assert clients[0]["ttfts"] == clients[1]["ttfts"]
    assert clients[0]["itls"] == clients[1]["itls"]
    assert clients[0]["generated_texts"] == clients[1]["generated_texts"]
    assert first[1]["gpu_seconds_by_family"] == again["gpu_seconds_by_family"]
