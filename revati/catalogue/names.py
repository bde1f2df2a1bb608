"""Finding an entry of the catalogue by what a person calls it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Protocol, TypeVar


class Named(Protocol):
    """An entry with other names that mean it, too."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """In lower case."""
        ...


Entry = TypeVar("Entry", bound=Named)


def find(name: str, known: Mapping[str, Entry]) -> Entry | None:
    """The entry of that name or alias, whatever its case."""
    wanted = name.strip().lower()
    if wanted in known:
        return known[wanted]
    return _aliases(known).get(wanted)


def advice(name: str, known: Mapping[str, Entry]) -> str:
    """What may have been meant by a name that is not known."""
    near = difflib.get_close_matches(name.strip().lower(), [*known, *_aliases(known)], n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}."


def _aliases(known: Mapping[str, Entry]) -> dict[str, Entry]:
    return {alias: entry for entry in known.values() for alias in entry.aliases}
