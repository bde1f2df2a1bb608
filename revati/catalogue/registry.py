"""Finding a GPU by name, by alias or by file."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from revati.catalogue import names
from revati.catalogue.gpu import CatalogueError, Gpu, UnknownGpuError, load

_DIRECTORY = Path(__file__).parent / "gpus"


def gpus() -> Mapping[str, Gpu]:
    """Every GPU of the catalogue by name, in alphabetical order."""
    return MappingProxyType({path.stem: _shipped(path.stem) for path in sorted(_DIRECTORY.glob("*.toml"))})


def get(name: str) -> Gpu:
    """Finds a GPU.

    Args:
        name: A name or alias of the catalogue (case does not matter), or the path of a ``.toml`` file of the
            same form, which may take over a GPU by ``base = "h200-sxm"`` and override what it likes.

    Raises:
        UnknownGpuError: There is none of that name.
        CatalogueError: The file is malformed.
    """
    if name.endswith(".toml") or "/" in name:
        return _from_file(Path(name), ())
    return _named(name)


def _named(name: str) -> Gpu:
    known = gpus()
    found = names.find(name, known)
    if found is None:
        advice = names.advice(name, known)
        raise UnknownGpuError(f"unknown GPU {name!r}: {advice} `revati gpus list` shows all of them")
    return found


def _from_file(path: Path, chain: tuple[Path, ...]) -> Gpu:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise UnknownGpuError(f"no GPU file {path}; `revati gpus show h200-sxm` shows what one may contain")
    if path in chain:
        raise CatalogueError(f"{path}: its base leads back to itself")

    def base(name: str) -> Gpu:
        if name.endswith(".toml"):
            return _from_file(path.parent / name, (*chain, path))
        return _named(name)

    return load(path, base)


@functools.cache
def _shipped(name: str) -> Gpu:
    return load(_DIRECTORY / f"{name}.toml", _shipped)
