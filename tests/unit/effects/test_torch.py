"""torch's own integer operations, unmodified, on the virtual GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_operations_agree_with_the_cpu() -> None:
    pytest.importorskip("torch", reason="needs torch's CUDA build")
    script = Path(__file__).parent / "torch_operations.py"
    result = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "revati",
            "run",
            "--gpu",
            "h200-sxm",
            "--",
            sys.executable,
            "-P",
            str(script),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
