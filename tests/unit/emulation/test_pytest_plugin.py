"""The fixtures that come with Revati, in a pytest of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import os

paths = []

def test_one(emulate):
    emulation = emulate(gpu="h100-sxm", clock="off")
    paths.append(emulation.session.path)
    assert emulation.run(["sh", "-c", 'grep -q "H100" "$REVATI_SESSION/device.conf"']) == 0
    assert paths[0].is_dir()

def test_it_has_ended():
    assert not paths[0].exists()

def test_shared(emulate_module, emulate_session):
    paths.append(emulate_module(clock="off").session.path)
    paths.append(emulate_session(clock="off").session.path)

def test_still_there():
    assert paths[1].is_dir() and paths[2].is_dir()
"""


def test_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_virtual.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "revati.pytest_plugin", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
