"""Runs each file of `torch_cases` on virtual GPUs, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).parent / "torch_cases").glob("test_*.py"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_case_file_on_virtual_gpus(case: Path) -> None:
    revati = Path(sys.executable).with_name("revati")
    command = [
        str(revati),
        "run",
        "--gpu",
        "h200-sxm",
        "--gpus",
        "2",
        "--",
        sys.executable,
        "-m",
        "pytest",
        "-q",
    ]
    command += ["-p", "no:cacheprovider"]
    result = subprocess.run([*command, str(case)], capture_output=True, text=True, timeout=900, check=False)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-3000:]
