"""Which trained models and measured points belong to a GPU."""

from __future__ import annotations

from pathlib import Path

from revati.catalogue.gpu import Gpu
from revati.catalogue.registry import gpus
from revati.paths import cache_dir

_PACKAGE = Path(__file__).parents[1]
# In the installed package; in a source tree that is not installed.
_FOLDERS = (_PACKAGE / "profiles" / "models", _PACKAGE.parent / "profiles" / "models")


def durations_of(gpu: Gpu) -> Path | None:
    """The model file for `gpu`, or None: the user's own (`revati profile import`), else the one that ships.

    A GPU from a user's file has none, even where it takes over most of a shipped one: timings of the real GPU say
    nothing about one with other ceilings.
    """
    if gpus().get(gpu.name) != gpu:
        return None
    paths = (folder / f"{gpu.name}.rvm" for folder in (cache_dir() / "models", *_FOLDERS))
    return next((path for path in paths if path.is_file()), None)
