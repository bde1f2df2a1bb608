"""Reads the traces of a session: `trace.<pid>`, written by native/device/trace.cpp.

A graph's nodes are described once; a replay names the graph and the nodes that were priced anew. Replays are unfolded only
where somebody looks at single nodes: a benchmark replays millions.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from revati.launcher.session import FAMILIES, SOURCES

_RECORD = struct.Struct("<BBBBI7q")
_VERSION = 2
_HEADER, _TEXT, _DESCRIPTION, _WORK, _NODE, _REPLAY, _CHANGED, _HOST_CALL, _HOST_WAIT = range(1, 10)
_LOW = (1 << 32) - 1
_SHAPES = ("", "gemm", "attention", "moe", "bytes", "copy", "collective")
_TYPES = "? f64 f32 tf32 f16 bf16 f8e4m3 f8e5m2 f4 i64 i32 i16 i8 u8 b1".split()
_COPIES = ("host to device", "device to host", "on the device", "to another GPU", "on the host")
_COLLECTIVES = "all-reduce all-gather reduce-scatter broadcast reduce all-to-all send receive".split()
# As HostCall in native/device/time.h.
_CALLS = ("launch", "library call", "graph launch", "copy", "fill", "event", "wait")


@dataclass(frozen=True)
class Shape:
    """What a duration was asked for; `values` as in native/cost/question.h."""

    kind: str
    values: tuple[int, ...]

    @property
    def lengths(self) -> tuple[int, int, int, int] | None:
        """Of attention: sequences that decode, other sequences, query tokens, keys seen."""
        return (
            (self.values[0], self.values[1], self.values[2], self.values[3])
            if self.kind == "attention"
            else None
        )

    def __str__(self) -> str:
        v = self.values
        if self.kind == "gemm":
            batch = f" x{v[3]}" if v[3] > 1 else ""
            return f"{v[0]}x{v[1]}x{v[2]}{batch} {_type(v[4])}*{_type(v[4] >> 8)}"
        if self.kind == "attention":
            return f"{v[0]} decode + {v[1]} prefill, {v[2]} queries, {v[3]} keys, {v[4] >> 32} heads of {v[4] & 0xFFFF}"
        if self.kind == "moe":
            return f"{v[0]} rows, {v[1]}x{v[2]}, {v[3]} experts, {_type(v[4] >> 8)}"
        if self.kind == "copy":
            return f"{_of(_COPIES, v[0])}, {v[1]} bytes{'' if v[2] else ', pageable'}"
        if self.kind == "collective":
            return f"{_of(_COLLECTIVES, v[0])}, {v[1]} ranks, {v[2]} bytes"
        return f"{v[0]} bytes" if self.kind == "bytes" else ""


@dataclass(frozen=True)
class Price:
    """One piece of work without its time: what it is and what it costs."""

    label: str
    family: str
    source: str
    confidence: float
    duration_ns: int
    shape: Shape | None = None


@dataclass(frozen=True)
class Occurrence:
    """Work on a stream: a launch of its own, or (`price` is None) the replay of a graph."""

    start_ns: int
    end_ns: int
    submitted_ns: int
    device: int
    stream: int
    thread: int
    price: Price | None = None
    graph: int = 0
    changed: dict[int, Price] = field(default_factory=dict)

    @property
    def duration_ns(self) -> int:
        """How long it takes."""
        return self.end_ns - self.start_ns


@dataclass
class HostSpan:
    """A thread that called the device, or waited for it.

    Attributes:
        what: In words, what was launched included.
    """

    what: str
    start_ns: int
    end_ns: int
    thread: int


@dataclass
class Trace:
    """One process."""

    pid: int
    work: list[Occurrence] = field(default_factory=list)
    host: list[HostSpan] = field(default_factory=list)
    graphs: dict[int, dict[int, Price]] = field(default_factory=dict)

    def unfold(self, occurrence: Occurrence) -> Iterator[tuple[int, Price]]:
        """(start in nanoseconds, what) of every launch in an occurrence, one after the other.

        Nodes of a graph that run side by side are drawn one after the other as well, and scaled to fit.
        """
        if occurrence.price is not None:
            yield occurrence.start_ns, occurrence.price
            return
        nodes = self.prices(occurrence)
        busy = sum(node.duration_ns for node in nodes)
        gap = max(0, occurrence.duration_ns - busy) / max(1, len(nodes) - 1)
        scale = min(1.0, occurrence.duration_ns / busy) if busy else 1.0
        at = float(occurrence.start_ns)
        for node in nodes:
            yield round(at), node
            at += node.duration_ns * scale + gap

    def prices(self, occurrence: Occurrence) -> list[Price]:
        """Every launch in an occurrence."""
        if occurrence.price is not None:
            return [occurrence.price]
        nodes = self.graphs.get(occurrence.graph, {})
        return [occurrence.changed.get(index, node) for index, node in nodes.items()]


def read(folder: Path) -> list[Trace]:
    """The traces of all processes of a session (or of its saved copy) that used a GPU, in the order of process ids."""
    traces = [
        _parse(path.read_bytes())
        for path in folder.glob("trace.*")
        if path.suffix.removeprefix(".").isdigit()
    ]
    return sorted((trace for trace in traces if trace.work), key=lambda trace: trace.pid)


def _parse(data: bytes) -> Trace:
    reader = _Reader()
    records = memoryview(data)[: len(data) - len(data) % _RECORD.size]
    index, count = 0, len(records) // _RECORD.size
    while index < count:
        kind, family, source, shape, number, *values = _RECORD.unpack_from(records, index * _RECORD.size)
        if kind == 0:
            break
        index += 1
        if kind == _TEXT:
            length = max(0, values[0])
            text = bytes(records[index * _RECORD.size : index * _RECORD.size + length])
            reader.texts[number] = text.decode(errors="replace")
            index += -(-length // _RECORD.size)
        elif kind == _DESCRIPTION:
            reader.describe(number, (family, source, shape), values)
        elif not reader.add(kind, number, values):
            break
    return reader.trace


class _Reader:
    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.trace = Trace(0)
        self._prices: dict[int, Price] = {}
        self._replay: Occurrence | None = None
        self._calls: dict[int, HostSpan] = {}  # latest of each thread

    def describe(self, number: int, codes: tuple[int, int, int], values: list[int]) -> None:
        """Takes the description of some work."""
        family, source, shape = codes
        text = values[1] & _LOW
        self._prices[number] = Price(
            label=self.texts.get(text, "?"),
            family=_of(FAMILIES, family),
            source=_of(SOURCES, source),
            confidence=struct.unpack("<f", struct.pack("<I", values[1] >> 32 & _LOW))[0],
            duration_ns=values[0],
            shape=Shape(_of(_SHAPES, shape), tuple(values[2:])) if shape else None,
        )

    def add(self, kind: int, number: int, values: list[int]) -> bool:
        """Takes any other record; False for one of another version."""
        thread, device = values[4] & _LOW, values[4] >> 32
        if kind == _HEADER:
            self.trace.pid = values[0]
            return number == _VERSION
        if kind == _NODE:
            self.trace.graphs.setdefault(number, {})[values[0]] = self._price(values[1])
        elif kind == _CHANGED and self._replay is not None:
            self._replay.changed[values[0]] = self._price(number)
        elif kind == _HOST_CALL:
            self._host(_of(_CALLS, number), values)
        elif kind == _HOST_WAIT:
            self._host("wait for the GPU", values)
        elif kind in (_WORK, _REPLAY):
            is_replay = kind == _REPLAY
            item = Occurrence(
                start_ns=values[0],
                end_ns=values[1],
                submitted_ns=values[2],
                device=device,
                stream=values[3],
                thread=thread,
                price=None if is_replay else self._price(number),
                graph=number if is_replay else 0,
            )
            self._replay = item if is_replay else None
            self.trace.work.append(item)
            self._name_call(item)
        return True

    def _host(self, what: str, values: list[int]) -> None:
        span = HostSpan(what, values[0], values[1], values[4] & _LOW)
        self.trace.host.append(span)
        self._calls[span.thread] = span

    def _name_call(self, item: Occurrence) -> None:
        call = self._calls.pop(item.thread, None)
        if call is not None and call.what in _CALLS[:3]:
            call.what += f" {item.price.label if item.price else item.graph}"

    def _price(self, number: int) -> Price:
        return self._prices.get(number) or Price("?", "other", "guess", 0.0, 0)


def _of(names: tuple[str, ...] | list[str], index: int) -> str:
    return names[index] if 0 <= index < len(names) else f"unknown {index}"


def _type(code: int) -> str:
    return _of(_TYPES, code & 0xFF)
