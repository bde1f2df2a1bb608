"""How fast this machine runs the kind of code that serving frameworks' hosts run, in CPU time of one thread.

Three parts, each with the standard library only and the same work everywhere: Python bytecode (objects, dictionaries,
strings, JSON), memory (a chase through 40 MB in random order), system calls (a pipe). The best of several rounds
counts: other programs make a round slower, never faster.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from revati.errors import UsageError

_ROUNDS = 25
_PROBE_EVERY_S = 0.5
_ENTRIES = 1 << 20
# Exponents of the geometric mean: servers' host code is mostly bytecode. An assumption, not a measurement.
WEIGHTS = {"bytecode": 0.7, "memory": 0.15, "syscalls": 0.15}
# The reference host: two CPUs of an Intel Xeon (Ice Lake-SP, 2.8 GHz) in a virtual machine, Linux 6.18, CPython 3.11. It
# stands for a serving host because nothing better was at hand; see docs/host-costs.md.
REFERENCE_NS = {"bytecode": 20.4e6, "memory": 15.3e6, "syscalls": 18.9e6}


@dataclass(frozen=True)
class Speed:
    """CPU nanoseconds of each part, and what ran it."""

    parts_ns: Mapping[str, float]
    machine: str

    def factor_to(self, reference_ns: Mapping[str, float]) -> float:
        """By how much CPU time of this machine shrinks (below 1) or grows on the reference host."""
        factor = 1.0
        for part, weight in WEIGHTS.items():
            factor *= (reference_ns[part] / self.parts_ns[part]) ** weight
        return factor


def measure(show: Callable[[str], None] = lambda _part: None) -> Speed:
    """Runs the three parts; takes about ten seconds."""
    parts = {"bytecode": _bytecode, "memory": _memory(), "syscalls": _syscalls}
    best = {}
    for name, work in parts.items():
        show(name)
        best[name] = float(min(_timed(work) for _ in range(_ROUNDS)))
    return Speed(best, machine())


class Probe:
    """How much slower than at its best this machine is while something else is measured: a context manager.

    Other programs take caches and halves of cores away; CPU time grows with that. The probe runs the first part of the
    speed measurement twice a second beside the other work.
    """

    def __init__(self, best: Speed) -> None:
        """Compares with a measurement of the same machine."""
        self._best_ns = best.parts_ns["bytecode"]
        self._rounds: list[tuple[float, int]] = []  # when it ended, CPU time
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def slowdown(self, last_s: float) -> float:
        """CPU time of the same work over that at the machine's best, in the last seconds; at least 1."""
        since_s = time.monotonic() - last_s
        rounds_ns = [cpu_ns for ended_s, cpu_ns in self._rounds if ended_s >= since_s]
        return max(1.0, statistics.median(rounds_ns) / self._best_ns) if rounds_ns else 1.0

    def _run(self) -> None:
        while not self._over.wait(_PROBE_EVERY_S):
            cpu_ns = _timed(_bytecode)
            self._rounds.append((time.monotonic(), cpu_ns))


def read_reference(path: Path) -> dict[str, float]:
    """The speed of another host, from a file that `revati calibrate` wrote there.

    Raises:
        UsageError: The file has none.
    """
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))["made"]["speed_ns"]
        reference = {part: float(parts[part]) for part in WEIGHTS}
        if min(reference.values()) <= 0:
            raise ValueError("a time is not positive")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} does not say how fast the reference host is ({error!r}); run `revati calibrate --speed-only --out FILE` "
            "there and bring the file here."
        ) from None
    return reference


def machine() -> str:
    """Processor, number of CPUs, kernel and interpreter, in one line."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}, CPython {version}"


def _timed(work: Callable[[], object]) -> int:
    began = time.thread_time_ns()
    work()
    return time.thread_time_ns() - began


class _Request:
    def __init__(self, number: int) -> None:
        self.name = f"request-{number}"
        self.tokens: list[int] = []
        self.left = 16

    def step(self, token: int) -> bool:
        self.tokens.append(token)
        self.left -= 1
        return self.left == 0


def _bytecode() -> int:
    """A scheduler's loop over requests whose answers are written as JSON."""
    waiting = {number: _Request(number) for number in range(2000)}
    written = 0
    token = 1
    while waiting:
        done = []
        for number, request in waiting.items():
            token = (token * 1103515245 + 12345) % 32000
            if request.step(token):
                done.append(number)
        for number in done:
            request = waiting.pop(number)
            text = json.dumps({"id": request.name, "tokens": request.tokens})
            written += len(json.loads(text)["tokens"]) + len(text.encode())
    return written


def _memory() -> Callable[[], int]:
    """Follows a random cycle through a million objects, some 40 MB: no core's own caches hold them."""
    order = list(range(1, _ENTRIES))
    random.Random(1).shuffle(order)
    cycle = [0] * _ENTRIES
    at = 0
    for following in order:
        cycle[at] = following
        at = following
    cycle[at] = 0

    def chase() -> int:
        at = 0
        for _ in range(50_000):
            at = cycle[at]
        return at

    return chase


def _syscalls() -> int:
    reading, writing = os.pipe()
    try:
        message = b"x" * 512
        for _ in range(30_000):
            os.write(writing, message)
            os.read(reading, 512)
    finally:
        os.close(reading)
        os.close(writing)
    return 0
