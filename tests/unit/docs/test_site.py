"""The documentation builds without a warning, and its generated pages hold what they shall."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from revati.cli import COMMANDS

ROOT = Path(__file__).parents[3]


def test_strict_build(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    commands = (tmp_path / "reference" / "commands" / "index.html").read_text()
    for name in COMMANDS:
        assert f"revati {name}" in commands
    python = (tmp_path / "reference" / "python" / "index.html").read_text()
    for name in (
        "revati.emulation.Emulation.serve",
        "revati.bench.answer.BenchResult",
        "revati.errors.ChildError",
    ):
        assert f'id="{name}"' in python
    pages = "".join(path.read_text() for path in tmp_path.rglob("*.html"))
    assert not re.findall(r'(?:src|href)="https?://fonts\.', pages)
