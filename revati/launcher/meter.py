"""How fast virtual time runs: what changed between two looks at a clock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revati.errors import ClockError
from revati.launcher.clock import ClockControl

_SHOWN_THREADS = 4
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Look:
    """A clock at one moment: its status and its threads."""

    status: dict[str, Any]
    threads: Sequence[dict[str, Any]] = ()


class Meter:
    """A line about how time runs, made anew at most once a second: each look starts a small program."""

    def __init__(self, clock: ClockControl) -> None:
        """Does not look yet."""
        self._clock = clock
        self._before: Look | None = None
        self._looked_s = 0.0
        self._line = ""

    def line(self) -> str:
        """What the last second was like; empty before there was one, and where the clock does not answer."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = now_s
            with contextlib.suppress(ClockError):
                after = Look(self._clock.status(), self._clock.threads())
                if self._before is not None:
                    self._line = Speed.between(self._before, after).line()
                self._before = after
        return self._line


@dataclass(frozen=True)
class Speed:
    """What happened between two looks."""

    armed: bool
    virtual_s: float  # since the session began
    speed: float  # virtual seconds per real second
    jumps_per_s: float  # per real second, as the next two
    releases_per_s: float
    releases_per_gpu_wait: float | None
    gpu_waits_per_s: float
    clients: int
    threads: int
    held: bool  # time stands still: no client is there, or it was told to
    busiest: tuple[tuple[str, int], ...]  # threads by how often they waited, the most first

    @classmethod
    def between(cls, before: Look, after: Look) -> Speed:
        """The difference, per real second."""
        old, new = before.status, after.status
        real_s = new["real_s"] - old["real_s"]

        def rate(key: str) -> float:
            return float(new[key] - old[key]) / real_s if real_s > 0 else 0.0

        gpu_waits = new["gpu_waits"] - old["gpu_waits"]
        releases = new["releases"] - old["releases"]
        return cls(
            armed=new["armed"],
            virtual_s=new["virtual_s"],
            speed=rate("virtual_s"),
            jumps_per_s=rate("jumps"),
            releases_per_s=rate("releases"),
            releases_per_gpu_wait=releases / gpu_waits if gpu_waits else None,
            gpu_waits_per_s=rate("gpu_waits"),
            clients=new["clients"],
            threads=new["threads"],
            held=bool(new["armed"] and (new["hold"] or new["clients"] == 0)),
            busiest=_busiest(before.threads, after.threads),
        )

    def line(self) -> str:
        """One line for people."""
        if not self.armed:
            return "real time until a client comes"
        if self.held:
            return f"virtual {self.virtual_s:,.3f} s, standing still (no client)"
        names = ", ".join(name for name, _ in self.busiest[:2])
        return (
            f"virtual {self.virtual_s:,.3f} s, {self.speed:.1f}x, {self.jumps_per_s:,.0f} jumps/s"
            f"{f', {names}' if names else ''}"
        )


def _busiest(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]
) -> tuple[tuple[str, int], ...]:
    old = {(thread["pid"], thread["tid"]): thread["waits"] for thread in before}
    counts = []
    for thread in after:
        key = (thread["pid"], thread["tid"])
        waits = (thread["waits"] - old.get(key, 0)) % 2**32
        if key in old and waits:
            counts.append((key, waits))
    counts.sort(key=lambda entry: -entry[1])
    return tuple((thread_name(*key), waits) for key, waits in counts[:_SHOWN_THREADS])


def thread_name(pid: int, tid: int) -> str:
    """`program/thread`, as the kernel knows them; numbers for what has ended."""
    process = _comm(Path(f"/proc/{pid}/comm")) or str(pid)
    thread = _comm(Path(f"/proc/{pid}/task/{tid}/comm")) or str(tid)
    return process if process == thread else f"{process}/{thread}"


def _comm(path: Path) -> str | None:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return None
