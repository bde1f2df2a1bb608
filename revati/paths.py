"""Where Revati keeps things: its installed native libraries and the user's cache."""

from __future__ import annotations

import os
from pathlib import Path


def library_dir() -> Path:
    """The folder of the native libraries: `lib` in the installed package.

    `REVATI_LIBRARY_DIR` overrides it, for those who work on the native code.
    """
    override = os.environ.get("REVATI_LIBRARY_DIR")
    return Path(override).resolve() if override else Path(__file__).resolve().parent / "lib"


def cache_dir() -> Path:
    """`$REVATI_CACHE`, else `$XDG_CACHE_HOME/revati`, else `~/.cache/revati`. Not created here."""
    override = os.environ.get("REVATI_CACHE")
    if override:
        return Path(override).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "revati"
