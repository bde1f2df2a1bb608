"""Runs each file of `*/cases/` on virtual GPUs, in a process of its own, against the libraries of CUDA 13 and CUDA 12.

On a machine with a real GPU, `REVATI_CONFORMANCE_NATIVE=1` runs the same cases against the real libraries instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from revati import catalogue
from revati.paths import library_dir

FOLDER = Path(__file__).parent
LIBRARIES = ("driver", "cublas", "cublaslt", "cudnn", "cutedsl", "nccl", "nvml")
CASES = [case for library in LIBRARIES for case in sorted((FOLDER / library / "cases").glob("test_*.py"))]
NATIVE = os.environ.get("REVATI_CONFORMANCE_NATIVE") == "1"
MAJORS = [13] if NATIVE else [13, 12]


def run_cases(case: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={case.parent}"]
    command = [sys.executable, "-P", "-m", "pytest", *options, str(case)]
    path = os.pathsep.join([str(FOLDER), *sys.path])
    return subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_case_file(case: Path, major: int, tmp_path: Path) -> None:
    environment = {"REVATI_CONFORMANCE_CUDA": str(major)}
    if not NATIVE:
        (tmp_path / "device.conf").write_text(catalogue.get("h200-sxm").device_conf(2))
        environment["REVATI_SESSION"] = str(tmp_path)
        environment["LD_LIBRARY_PATH"] = str(library_dir() / f"cuda{major}")
    result = run_cases(case, environment)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
