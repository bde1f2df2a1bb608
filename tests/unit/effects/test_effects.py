"""What control-plane kernels do: argument bytes made by hand, launched on the device model by itself."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from revati import catalogue

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FAIL_CLOSED = 86
PROGRAMS = ["triton", "aten", "sglang"]


@cache
def program(name: str) -> Path:
    """Compiles one test program against the installed core library."""
    folder = ROOT / "build" / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    library = Path(str(files("revati"))) / "lib"
    target = folder / f"effects_{name}"
    harness = HERE.parent / "device"  # check.h
    subprocess.run(
        ["g++", "-std=c++17", "-g", "-rdynamic", f"-I{ROOT / 'native'}", f"-I{harness}", str(HERE / f"{name}.cpp"),
         "-o", str(target), f"-L{library}", "-lrevati_core", f"-Wl,-rpath,{library}", "-pthread"],
        check=True,
    )  # fmt: skip
    return target


def case_names(name: str) -> list[str]:
    return re.findall(r"^CASE\((\w+)\)", (HERE / f"{name}.cpp").read_text(), flags=re.MULTILINE)


def run(name: str, case: str, session: Path) -> subprocess.CompletedProcess[str]:
    (session / "device.conf").write_text(catalogue.get("h200-sxm").device_conf(1))
    return subprocess.run(
        [program(name), case],
        env=os.environ | {"REVATI_SESSION": str(session)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


CASES = [(name, case) for name in PROGRAMS for case in case_names(name)]


@pytest.mark.parametrize(("name", "case"), [c for c in CASES if not c[1].startswith("refuses_")])
def test_case(name: str, case: str, tmp_path: Path) -> None:
    result = run(name, case, tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("name", "case"), [c for c in CASES if c[1].startswith("refuses_")])
def test_refusal(name: str, case: str, tmp_path: Path) -> None:
    """An implausible value ends the run, and the message names the kernel and where to read on."""
    result = run(name, case, tmp_path)
    assert result.returncode == FAIL_CLOSED, result.stderr
    assert re.search(r"control-plane kernel '\w+'", result.stderr)
    assert "docs/effects.md" in result.stderr
    assert list(tmp_path.glob("fatal.*"))
