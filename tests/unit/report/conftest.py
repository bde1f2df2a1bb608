"""A small sweep over a stand-in engine, and its report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = """\
name: shown
clock: "off"
configuration:
  model: llama-3.1-8b
  gpu: h200-sxm
  program: {program}
  load: {{num_prompts: 40, input_len: 256, output_len: 24}}
search: list
configurations:
  - {{tp: 1, load: {{request_rate: 5}}}}
  - {{tp: 1, load: {{request_rate: 40}}}}
  - {{tp: 4, load: {{request_rate: 40}}}}
  - {{model: llama-3.1-70b, gpu: h100-sxm}}
slo:
  ttft_ms: {{p99: 40}}
  goodput: {{share: 0.9, ttft_ms: 30, tpot_ms: 8}}
price: {{h200-sxm: 3.6}}
"""


def revati(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "revati", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory, toy_vllm: Path) -> Path:
    """The folder of a sweep."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "sweep.yaml").write_text(SWEEP.format(program=toy_vllm))
    done = revati("sweep", str(folder / "sweep.yaml"), "--out", str(folder / "out"))
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="session")
def reported(swept: Path) -> Path:
    """The folder of its report."""
    done = revati("report", str(swept))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(swept / "report" / "report.html")
    return swept / "report"
