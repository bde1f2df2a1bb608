"""What tests of several folders share."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def toy_vllm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that passes for `vllm` (tests/toy_vllm.py)."""
    program = tmp_path_factory.mktemp("toy") / "vllm"
    program.write_text(f"#!{sys.executable}\n" + Path(__file__).with_name("toy_vllm.py").read_text())
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program
