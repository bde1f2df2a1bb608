"""`nvidia-smi` on virtual GPUs: what SGLang and others ask it."""

from __future__ import annotations

import subprocess
import sys

import pytest

RUN = [sys.executable, "-P", "-m", "revati", "run", "--gpu", "h200-sxm", "--gpus", "2", "--", "sh", "-c"]


def ask(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, script], capture_output=True, text=True, timeout=300, check=False)


def test_queries_are_answered_as_for_the_gpu() -> None:
    done = ask(
        "nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits;"
        "nvidia-smi --query-gpu=compute_cap --format=csv,noheader;"
        "nvidia-smi --query-gpu=index,name,memory.total --format=csv -i 1;"
        "nvidia-smi -L"
    )
    lines = done.stdout.splitlines()
    # As CUDA counts. The real one adds what the driver keeps for itself.
    assert lines[:4] == ["143156", "143156", "9.0", "9.0"], done.stderr
    assert lines[4:6] == ["index, name, memory.total [MiB]", "1, NVIDIA H200, 143156 MiB"]
    assert [line.split(" (")[0] for line in lines[6:]] == ["GPU 0: NVIDIA H200", "GPU 1: NVIDIA H200"]


@pytest.mark.parametrize("arguments", ["", "--query-gpu=temperature.gpu --format=csv"])
def test_what_is_not_known_is_refused(arguments: str) -> None:
    done = ask(f"nvidia-smi {arguments}")
    assert done.returncode == 2
    assert "on virtual GPUs" in done.stderr
