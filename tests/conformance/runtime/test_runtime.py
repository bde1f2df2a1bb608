"""Runs each file of `cases` on virtual GPUs, in a process of its own, against the runtimes of CUDA 13 and CUDA 12.

On a machine with a real GPU, `REVATI_CONFORMANCE_NATIVE=1` runs the same cases against the real library instead.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from revati import catalogue
from revati.paths import library_dir

FOLDER = Path(__file__).parent / "cases"
CASES = sorted(FOLDER.glob("test_*.py"))
NATIVE = os.environ.get("REVATI_CONFORMANCE_NATIVE") == "1"


def run_cases(case: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={FOLDER}"]
    # -P: the working directory may be a checkout, which is not what is tested.
    command = [sys.executable, "-P", "-m", "pytest", *options, str(case)]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("major", [13] if NATIVE else [13, 12])
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_case_file(case: Path, major: int, tmp_path: Path) -> None:
    environment = {"REVATI_CONFORMANCE_CUDA": str(major)}
    if not NATIVE:
        (tmp_path / "device.conf").write_text(catalogue.get("h200-sxm").device_conf(2))
        environment["REVATI_SESSION"] = str(tmp_path)
        environment["LD_LIBRARY_PATH"] = str(library_dir() / f"cuda{major}")
    result = run_cases(case, environment)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]


@pytest.mark.skipif(NATIVE, reason="needs a machine without devices")
@pytest.mark.parametrize("major", [13, 12])
def test_without_a_session_there_is_no_device(major: int, tmp_path: Path) -> None:
    environment = {"REVATI_CONFORMANCE_CUDA": str(major), "REVATI_SESSION": ""}
    result = run_cases(FOLDER / "no_session.py", environment)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]


def test_every_supported_symbol_has_a_case() -> None:
    text = "".join(path.read_text() for path in FOLDER.glob("*.py"))
    table = tomllib.loads(
        (Path(__file__).parents[3] / "native" / "cuda" / "runtime" / "symbols.toml").read_text()
    )
    called = set(re.findall(r"(?:__)?cuda[A-Z]\w+", text))
    # A name with a suffix is put together in one case.
    called |= {"cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags"}
    assert sorted({*table["real"], *table["answer"]} - called) == []
