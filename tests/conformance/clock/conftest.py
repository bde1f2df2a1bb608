"""Test programs in C++, compiled on demand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from clock_session import PROGRAMS


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compiles `programs/NAME.cpp` once."""
    folder = tmp_path_factory.mktemp("clock-programs")

    def build(name: str) -> Path:
        target = folder / name
        if not target.exists():
            source = PROGRAMS / f"{name}.cpp"
            subprocess.run(["g++", "-std=c++17", "-O1", "-o", target, source, "-pthread"], check=True)
        return target

    return build
