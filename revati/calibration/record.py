"""What a recorded session's threads did between their waits: `work.PID`, written by native/clock/host_work.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from revati.calibration.costs import EVENTS, ROLES

_COUNT = len(EVENTS)
# pid, tid, role, what it waits for next, virtual ns; then the tally: CPU ns, events, bytes.
_STRETCH = Struct(f"<iiIIqq{_COUNT}I{'4x' if _COUNT % 2 else ''}{_COUNT}Q")


@dataclass(frozen=True)
class Stretch:
    """What one thread did between two waits."""

    pid: int
    tid: int
    role: str
    virtual_ns: int
    cpu_ns: int
    events: tuple[int, ...]  # in the order of `EVENTS`
    bytes: tuple[int, ...]


def read(folder: Path) -> Iterator[Stretch]:
    """Every stretch in the folder's `work.*`; one that was cut off at the end of a file is left out."""
    for path in sorted(folder.glob("work.*")):
        content = path.read_bytes()
        whole = len(content) // _STRETCH.size * _STRETCH.size
        for pid, tid, role, _wait, virtual_ns, cpu_ns, *counts in _STRETCH.iter_unpack(content[:whole]):
            if role < len(ROLES):
                yield Stretch(
                    pid,
                    tid,
                    ROLES[role],
                    virtual_ns,
                    cpu_ns,
                    tuple(counts[:_COUNT]),
                    tuple(counts[_COUNT:]),
                )
