"""What goes into a set: a recipe (the framework) and the description of the machine it goes to."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from revati.errors import UsageError


@dataclass(frozen=True)
class Machine:
    """What the other machine holds already."""

    python: str  # "3.12"
    arch: int  # of its GPU, e.g. 90
    present: tuple[str, ...]  # packages with their versions ("numpy==2.5.2"); what they need is there, too
    part_bytes: int  # most that goes there at a time

    @staticmethod
    def read(path: Path) -> Machine:
        """Reads `machine.toml`."""
        table = _read(path)
        return Machine(
            python=str(table["python"]),
            arch=int(table["arch"]),
            present=tuple(table["present"]),
            part_bytes=int(table["part_mib"]) << 20,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the packages that it holds."""
        return names(self.present)


@dataclass(frozen=True)
class Library:
    """A CUDA library to strip."""

    file: str
    keep_foreign: bool
    only: str | None


@dataclass(frozen=True)
class Recipe:
    """A framework's set."""

    name: str
    roots: tuple[str, ...]  # packages that it is about ("vllm==0.24.0"); what they need comes along
    also: tuple[str, ...]  # tools taken along where they are installed
    leave_out: tuple[str, ...]  # packages that are large and not needed; patterns
    drop: tuple[str, ...]  # files that are large and not needed; patterns
    strip_debug: tuple[str, ...]  # libraries shipped with debug information; patterns
    libraries: tuple[Library, ...]

    @staticmethod
    def read(path: Path) -> Recipe:
        """Reads `sets/NAME.toml`."""
        table = _read(path)
        return Recipe(
            name=path.stem,
            roots=tuple(table["roots"]),
            also=tuple(table.get("also", ())),
            leave_out=tuple(table.get("leave_out", ())),
            drop=tuple(table.get("drop", ())),
            strip_debug=tuple(table.get("strip_debug", ())),
            libraries=tuple(
                Library(entry["file"], bool(entry.get("keep_foreign", True)), entry.get("only"))
                for entry in table.get("library", ())
            ),
        )

    @property
    def root_names(self) -> tuple[str, ...]:
        """Names of the packages that it is about."""
        return names(self.roots)


def names(requirements: Iterable[str]) -> tuple[str, ...]:
    """`numpy==2.5.2` -> `numpy`."""
    return tuple(Requirement(text).name for text in requirements)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
