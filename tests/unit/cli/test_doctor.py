"""`revati doctor` names what is missing and how to get it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .conftest import Revati
from .test_bad_input import torch_build


def findings(
    revati: Revati, *arguments: str, env: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    done = revati("doctor", "--json", *arguments, env=env)
    return done.returncode, {finding["name"]: finding for finding in json.loads(done.stdout)}


def test_machine_that_works(revati: Revati) -> None:
    code, found = findings(revati)
    assert code == 0, found
    assert found["torch"]["level"] == "ok"
    assert found["CUDA 13 libraries"]["level"] == "ok"
    assert found["ulimit -v"]["found"] == "unlimited"


def test_missing_libraries(revati: Revati, tmp_path: Path) -> None:
    code, found = findings(revati, env={"REVATI_LIBRARY_DIR": str(tmp_path)})
    assert code == 1
    assert found["CUDA 13 libraries"]["level"] == "problem"
    assert "install Revati again" in found["CUDA 13 libraries"]["advice"]


def test_unsupported_torch(revati: Revati, tmp_path: Path) -> None:
    code, found = findings(revati, env=torch_build(tmp_path, "2.13.0+cpu", None))
    assert code == 1
    assert found["torch"]["level"] == "problem"
    assert "CUDA 12 or 13" in found["torch"]["advice"]


def test_no_compiler(revati: Revati, tmp_path: Path) -> None:
    code, found = findings(revati, "--python", sys.executable, env={"PATH": str(tmp_path)})
    assert code == 1
    assert found["C compiler"]["level"] == "problem"
    assert "apt-get install" in found["C compiler"]["advice"]


def test_table_for_people(revati: Revati) -> None:
    text = revati("doctor", check=True).stdout
    for name in ("overcommit", "frameworks", "FIFO scheduler", "/dev/shm"):
        assert name in text
