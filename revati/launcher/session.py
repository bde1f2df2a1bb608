"""The session directory: what the launcher tells the native libraries, and what they tell it back.

Files (written by): `device.conf` and `durations` (us), `ledger` (native), `stats.<pid>` counters, `log.<pid>` warnings,
`fatal.<pid>` the text of a fail-closed stop; `clock` the page of the virtual clock, `clock.log` what its coordinator says,
`fatal.clock` why it ended the group (all three native); `tracing` (us) asks for `trace.<pid>`, every launch;
`shared` the names of shared memory objects (native);
`members` a lock that commands of other terminals share, and
`ended` why the session did (both us). The layout of the counters is `StatsPage` in native/device/stats.h.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from revati.launcher import supervisor

VARIABLE = "REVATI_SESSION"
# On which node of the session a program runs; the launcher sets it, and programs may for their children.
NODE_VARIABLE = "REVATI_NODE"
FAIL_CLOSED_EXIT_CODE = 86

# `cost::Family` and `cost::Source` of native/cost/features.h, in order.
FAMILIES = (
    "gemm",
    "attention",
    "moe",
    "norm",
    "elementwise",
    "reduce",
    "sampler",
    "embedding",
    "kv_cache",
    "copy",
    "fill",
    "collective",
    "graph_overhead",
    "other",
)
SOURCES = ("measured", "model", "roofline", "guess")

_MAGIC = 0x31545652
_VERSION = 3
_COUNTERS = (
    "launches",
    "graph_launches",
    "graph_nodes",
    "library_calls",
    "copies",
    "copied_bytes",
    "elided_copies",
    "effects",
    "waits",
)
_HEADER = struct.Struct(f"<IIQ{len(_COUNTERS)}Q9Q")
_CELL = struct.Struct("<QQ")
_MAX_FAMILIES, _MAX_SOURCES = 32, 8
_SHARED_MEMORY = Path("/dev/shm")
_PREFIX = "revati-"
_CLOCK_FATAL = "fatal.clock"
_MEMBERS = "members"
_ENDED = "ended"
_TRACING = "tracing"
_POLL_S = 0.05
_PAGE_BYTES = _HEADER.size + _MAX_FAMILIES * _MAX_SOURCES * _CELL.size


@dataclass
class Stats:
    """Counters of one process or, added up, of a session; and how its virtual time came about."""

    counters: Counter[str] = field(default_factory=Counter)
    # (family, source) -> number of durations, and their sum in nanoseconds of virtual time
    count: Counter[tuple[str, str]] = field(default_factory=Counter)
    duration_ns: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def parse(cls, pages: bytes) -> Stats:
        """Adds up the pages of a stats file, one for each thread that used the device; unwritten ones count nothing."""
        stats = cls()
        for start in range(0, len(pages) - _PAGE_BYTES + 1, _PAGE_BYTES):
            stats._add_page(pages[start : start + _PAGE_BYTES])
        return stats

    def _add_page(self, page: bytes) -> None:
        magic, version, _pid, *numbers = _HEADER.unpack_from(page)
        if magic != _MAGIC or version != _VERSION:
            return
        self.counters.update(dict(zip(_COUNTERS, numbers, strict=False)))
        for index, (count, duration_ns) in enumerate(_CELL.iter_unpack(page[_HEADER.size :])):
            if count:
                family, source = divmod(index, _MAX_SOURCES)
                key = (_name(FAMILIES, family), _name(SOURCES, source))
                self.count[key] += count
                self.duration_ns[key] += duration_ns

    def __add__(self, other: Stats) -> Stats:
        return Stats(
            _sum(self.counters, other.counters),
            _sum(self.count, other.count),
            _sum(self.duration_ns, other.duration_ns),
        )

    def __sub__(self, other: Stats) -> Stats:
        """What came after `other`, an earlier reading of the same session."""
        return Stats(
            self.counters - other.counters, self.count - other.count, self.duration_ns - other.duration_ns
        )

    def by_source(self) -> dict[str, dict[str, float]]:
        """Share of virtual GPU time, seconds and number of durations by where they come from, best source first."""
        total = sum(self.duration_ns.values())
        table = {}
        for source in SOURCES:
            count = sum(n for (_, s), n in self.count.items() if s == source)
            duration_ns = sum(n for (_, s), n in self.duration_ns.items() if s == source)
            if count:
                share = duration_ns / total if total else 0.0
                table[source] = {"share": share, "seconds": duration_ns / 1e9, "count": float(count)}
        return table

    def by_family(self) -> dict[str, float]:
        """Seconds of virtual GPU time by kernel family, the largest first."""
        seconds: Counter[str] = Counter()
        for (family, _), duration_ns in self.duration_ns.items():
            seconds[family] += duration_ns
        return {family: duration_ns / 1e9 for family, duration_ns in seconds.most_common()}

    def by_family_and_source(self) -> dict[str, dict[str, float]]:
        """Seconds of virtual GPU time by kernel family, the largest first, and within it by source."""
        table: dict[str, dict[str, float]] = {family: {} for family in self.by_family()}
        for (family, source), duration_ns in self.duration_ns.items():
            table[family][source] = duration_ns / 1e9
        return table


def _sum(
    left: Counter[str] | Counter[tuple[str, str]], right: Counter[str] | Counter[tuple[str, str]]
) -> Counter:  # type: ignore[type-arg]
    total: Counter = Counter(left)  # type: ignore[type-arg]
    total.update(right)
    return total


def _name(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"unknown {index}"


class Session:
    """One private directory, from `create` to `remove`."""

    def __init__(self, path: Path) -> None:
        """Wraps an existing session directory."""
        self.path = path

    @classmethod
    def create(cls, device_conf: str, durations: Path | None = None) -> Session:
        """Makes a session directory (in memory where that can be had) and writes `device.conf`.

        Args:
            device_conf: What the virtual GPUs are (`Gpu.device_conf`).
            durations: A file of trained models and measured points for that GPU, if there is one.
        """
        parent = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        remove_abandoned(parent)
        path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
        (path / "device.conf").write_text(device_conf)
        (path / _MEMBERS).touch(0o600)
        if durations is not None:
            (path / "durations").symlink_to(durations.resolve())
        return cls(path)

    def end_processes(self) -> None:
        """Kills whoever still carries this session in its environment: what a killed supervisor left behind."""
        mark = f"{VARIABLE}={self.path}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        os.kill(int(entry.name), signal.SIGKILL)

    def remove(self) -> None:
        """Removes the directory and everything in it, and shared memory that ended programs have left."""
        supervisor.remove_session(str(self.path))

    def stats(self) -> Stats:
        """The counters of all processes, of those that have ended too."""
        total = Stats()
        for path in self.path.glob("stats.*"):
            with contextlib.suppress(OSError):
                total = total + Stats.parse(path.read_bytes())
        return total

    def warnings(self) -> list[str]:
        """Each distinct warning of any process once, in order of first appearance."""
        return list(dict.fromkeys(line for _, line in self._lines("log")))

    def fatal_messages(self) -> list[str]:
        """Texts of fail-closed stops, each once."""
        return list(dict.fromkeys(line for name, line in self._lines("fatal") if name != _CLOCK_FATAL))

    def clock_message(self) -> list[str]:
        """Why the virtual clock ended the group, and a line for each thread and what it waited for; else nothing."""
        try:
            return (self.path / _CLOCK_FATAL).read_text(errors="replace").splitlines()
        except OSError:
            return []

    def wait_for_clock_message(self, timeout_s: float) -> None:
        """Returns when `clock_message` has something to say, or after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while not self.clock_message() and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def clock_warnings(self) -> list[str]:
        """What the clock's coordinator has said."""
        try:
            return (self.path / "clock.log").read_text(errors="replace").splitlines()
        except OSError:
            return []

    def trace(self) -> None:
        """Has every process that starts from now on record its launches (revati/tracing/records.py)."""
        (self.path / _TRACING).touch(0o600)

    def enter(self) -> int:
        """Keeps the directory in place for a command of another terminal. Returns a descriptor to close at its end.

        Raises:
            FileNotFoundError: The session has ended.
        """
        descriptor = os.open(self.path / _MEMBERS, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def end(self, why: str) -> None:
        """Tells commands of other terminals why they are ended."""
        with contextlib.suppress(OSError):
            (self.path / _ENDED).write_text(why)

    def ended(self) -> str | None:
        """Why the session ended; None while it lives."""
        if not self.path.is_dir():
            return "its first command was killed"
        try:
            return (self.path / _ENDED).read_text()
        except OSError:
            return None

    def wait_for_members(self, timeout_s: float) -> None:
        """Returns when no command of another terminal is left, or after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        with contextlib.suppress(OSError), (self.path / _MEMBERS).open() as members:
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(members, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    time.sleep(_POLL_S)

    def save(self, folder: Path) -> None:
        """Copies logs and fatal messages to `folder/session`, for whoever looks into a failure."""
        target = folder / "session"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for pattern in ("device.conf", "log.*", "fatal.*", "stats.*", "trace.*", "work.*", "clock.log"):
            for path in self.path.glob(pattern):
                shutil.copy2(path, target / path.name)

    def _lines(self, kind: str) -> Iterator[tuple[str, str]]:
        for path in sorted(self.path.glob(f"{kind}.*"), key=lambda path: path.stat().st_mtime_ns):
            with contextlib.suppress(OSError):
                for line in path.read_text(errors="replace").splitlines():
                    if line.strip():
                        yield path.name, line.strip()


def remove_abandoned(parent: Path) -> None:
    """Removes session directories whose launcher is gone: it and its supervisor were killed together."""
    for path in parent.glob(f"{_PREFIX}*-*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if pid.isdigit() and path.stat().st_uid == os.getuid() and not Path("/proc", pid).exists():
                supervisor.remove_session(str(path))
