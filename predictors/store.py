"""Where model files lie: those that ship, and those that a user imported, which come first."""

from __future__ import annotations

import os
from pathlib import Path

from revati.predictors.training import SUFFIX

from revati.paths import cache_dir


def shipped_directory() -> Path:
    """`profiles/models` of the installed package; of the checkout if Revati runs from one.

    `REVATI_MODELS_DIR` overrides it.
    """
    override = os.environ.get("REVATI_MODELS_DIR")
    if override:
        return Path(override)
    here = Path(__file__).resolve().parent
    installed = here.parent / "profiles" / "models"
    return installed if installed.is_dir() else here.parent.parent / "profiles" / "models"


def imported_directory() -> Path:
    """Where `revati profile import` writes."""
    return cache_dir() / "models"


def files(name: str | None = None) -> list[Path]:
    """Model files, of all GPUs or of the one of that catalogue name; imported ones first."""
    found = []
    for directory in (imported_directory(), shipped_directory()):
        found += sorted(directory.glob(f"{name or '*'}{SUFFIX}")) if directory.is_dir() else []
    return found
