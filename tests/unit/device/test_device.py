"""The device model by itself, on a clock of the test's own: every figure is exact."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from revati import catalogue

HERE = Path(__file__).parent
NATIVE = HERE.parents[2] / "native"
PROGRAMS = ["timeline", "memory"]


@cache
def program(name: str) -> Path:
    """Compiles one test program against the installed core library."""
    folder = HERE.parents[2] / "build" / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    library = Path(str(files("revati"))) / "lib"
    target = folder / name
    subprocess.run(
        ["g++", "-std=c++17", "-g", "-rdynamic", f"-I{NATIVE}", f"-I{HERE}", str(HERE / f"{name}.cpp"), "-o", str(target),
         f"-L{library}", "-lrevati_core", f"-Wl,-rpath,{library}", "-pthread"],
        check=True,
    )  # fmt: skip
    return target


def case_names(name: str) -> list[str]:
    text = (HERE / f"{name}.cpp").read_text()
    return [line[5:].split(")")[0] for line in text.splitlines() if line.startswith("CASE(")]


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in PROGRAMS for case in case_names(name)])
def test_case(name: str, case: str, tmp_path: Path) -> None:
    (tmp_path / "device.conf").write_text(catalogue.get("h200-sxm").device_conf(2))
    result = subprocess.run(
        [program(name), case],
        env=os.environ | {"REVATI_SESSION": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
