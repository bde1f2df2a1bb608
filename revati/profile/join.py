"""From what a real GPU did to records: kernels of a trace, joined with the features that the emulator would see.

The emulator takes a launch for what it is by kernel name, geometry and arguments (`native/cost`). A trace of a real GPU
has name and geometry, but no arguments. Three ways lead to the same keys, each made of that one extraction:

1. The same program on the virtual GPU leaves a launch log (`launch_log`). Where both runs launched the very same
   sequence, launches are joined in order.
2. Otherwise by surroundings: what all virtual launches of that kernel name and geometry were taken for; for the kernels
   of a library, whose names the emulator does not know, what all library calls between the same two neighbours were
   taken for. Where virtual launches disagree (the lengths of attention differ at each step), nothing is concluded.
3. `Extractor`: the extraction itself, on name and geometry alone; it is exact for few kernels.

What is left is kept by name and geometry, so that a later extraction can place it. It is counted, never guessed.
"""

from __future__ import annotations

import importlib
import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from revati.profile.launch_log import MEMORY_CALLS, Description, Execution, Shape, Taken, taken_from
from revati.profile.schema import MAX_TEXT, Header, Kernel, Record, Value, check_features
from revati.profile.spread import spread_of
from revati.profile.trace import Activity

# name, grid, block, shared bytes -> what the emulator takes it for
Extractor = Callable[[str, Shape, Shape, int], Taken]

_COPIES: Final = {
    "HtoD": "host_to_device",
    "DtoH": "device_to_host",
    "DtoD": "device_to_device",
    "PtoP": "peer",
    "HtoH": "host_to_host",
}
# Second passes of a library's product; what the emulator prices is the whole call.
_SECOND_PASSES: Final = ("splitKreduce_kernel",)

# What a launch looks like from outside; None: a library's kernel, known by its surroundings only.
Token = tuple[str, Shape, Shape, int] | None
Around = tuple[Token, Token, int, int]


@dataclass(frozen=True)
class Launch:
    """One launch on the real GPU, with the second passes that belong to it."""

    kernels: tuple[Activity, ...]

    @property
    def first(self) -> Activity:
        """The launch itself."""
        return self.kernels[0]

    @property
    def duration_ns(self) -> int:
        """Time on the device, second passes included."""
        return sum(item.duration_ns for item in self.kernels)


@dataclass
class Group:
    """All executions of one key."""

    family: str
    features: Mapping[str, Value]
    launch: Launch  # the first
    durations: list[int]


@dataclass
class Joined:
    """Durations by what was launched, and how much of the device's time that explains."""

    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    named_ns: int = 0  # device time of launches with features
    guessed_ns: int = 0  # of launches that the emulator itself prices by geometry alone
    unnamed_ns: int = 0  # of those kept by name and geometry only

    def add(self, taken: Taken, launch: Launch) -> None:
        """Counts one execution.

        Raises:
            ProfileError: The features are not the format's: the extraction and the format have come apart.
        """
        key = (taken.family, json.dumps(taken.features, sort_keys=True, default=list))
        if key not in self.groups:
            check_features(taken.family, taken.features)
            self.groups[key] = Group(taken.family, taken.features, launch, [])
        self.groups[key].durations.append(launch.duration_ns)
        if taken.certainty == "part":
            self.unnamed_ns += launch.duration_ns
        elif taken.certainty == "guess":
            self.guessed_ns += launch.duration_ns
        else:
            self.named_ns += launch.duration_ns

    def merge(self, other: Joined) -> None:
        """Adds another part of the same run."""
        for key, group in other.groups.items():
            known = self.groups.setdefault(key, replace(group, durations=[]))
            known.durations.extend(group.durations)
        self.named_ns += other.named_ns
        self.guessed_ns += other.guessed_ns
        self.unnamed_ns += other.unnamed_ns

    def records(self, header: Header) -> list[Record]:
        """One record for each thing launched: the median of its executions, and the kernels of the first."""
        result = []
        for group in self.groups.values():
            median = max(statistics.median(group.durations), 1)
            record = header.record(
                group.family,
                group.features,
                float(median),
                spread_of(group.durations),
                len(group.durations),
            )
            result.append(replace(record, kernels=tuple(_kernels(group.launch))))
        return result


def native_extractor() -> Extractor | None:
    """The emulator's own extraction; None where its native module is not installed (a borrowed GPU machine)."""
    try:
        native = importlib.import_module("revati._native")
    except ImportError:
        return None
    known: dict[tuple[Any, ...], Taken] = {}

    def extract(name: str, grid: Shape, block: Shape, shared_bytes: int) -> Taken:
        key = (name, grid, block, shared_bytes)
        if key not in known:
            known[key] = taken_from(native.launch_features(name, grid, block, shared_bytes))
        return known[key]

    return extract


def join(
    activities: Sequence[Activity], extractor: Extractor | None, virtual: Sequence[Execution] = ()
) -> Joined:
    """Gives every activity the best features to be had: the emulator's log, its extraction, or name and geometry."""
    seen = _Seen(virtual)
    joined = Joined()
    for stream in _by_stream(item for item in activities if item.category == "kernel"):
        launches = _launches(stream, extractor, seen)
        for launch, taken in zip(launches, seen.match(launches), strict=True):
            joined.add(taken or _extract(launch.first, extractor), launch)
    for item in activities:
        if item.category == "gpu_memcpy":
            joined.add(Taken("copy", _copy(item), "exact"), Launch((item,)))
        elif item.category == "gpu_memset":
            joined.add(Taken("fill", {"bytes": item.bytes}, "exact"), Launch((item,)))
    return joined


class _Seen:
    """The launch log, arranged for looking launches up."""

    def __init__(self, virtual: Sequence[Execution]) -> None:
        self._streams: list[list[Description]] = []
        self._kernels: set[str] = set()
        self.parts: set[str] = set()
        self._by_geometry: dict[Token, Taken | None] = {}
        self._by_neighbours: dict[Around, Taken | None] = {}
        streams: dict[tuple[int, int], list[Description]] = {}
        for item in virtual:
            what = item.description
            if what.taken.certainty == "part":
                self.parts.add(what.name)
            elif what.grid is not None or what.name not in MEMORY_CALLS:
                streams.setdefault((item.device, item.stream), []).append(what)
                if what.grid is not None:
                    self._kernels.add(what.name)
        self._streams = list(streams.values())
        for stream in self._streams:
            self._learn(stream)

    def match(self, launches: Sequence[Launch]) -> list[Taken | None]:
        """What each launch of one real stream was taken for on the virtual GPU; None where that cannot be told."""
        tokens = [self._token_of(launch.first) for launch in launches]
        for stream in self._streams:
            if [_token(what) for what in stream] == tokens:
                return [what.taken for what in stream]
        around = _surroundings(tokens)
        return [
            self._by_geometry.get(token) if token is not None else self._by_neighbours.get(around[index])
            for index, token in enumerate(tokens)
        ]

    def _learn(self, stream: Sequence[Description]) -> None:
        tokens = [_token(what) for what in stream]
        around = _surroundings(tokens)
        for index, what in enumerate(stream):
            if tokens[index] is not None:
                _agree(self._by_geometry, tokens[index], what.taken)
            else:
                _agree(self._by_neighbours, around[index], what.taken)

    def _token_of(self, item: Activity) -> Token:
        if item.name[:MAX_TEXT] not in self._kernels:
            return None
        return item.name[:MAX_TEXT], item.grid, item.block, item.shared_bytes


def _token(what: Description) -> Token:
    if what.grid is None or what.block is None:
        return None
    return what.name, what.grid, what.block, what.shared_bytes


def _agree(table: dict[Any, Taken | None], key: Any, taken: Taken) -> None:
    """Keeps what all agree on."""
    table[key] = taken if table.get(key, taken) == taken else None


def _surroundings(tokens: Sequence[Token]) -> dict[int, Around]:
    """For each library call: its neighbours, and its place in the run of such calls between them."""
    result: dict[int, Around] = {}
    begin = 0
    while begin < len(tokens):
        end = begin
        while end < len(tokens) and tokens[end] is None:
            end += 1
        before = tokens[begin - 1] if begin else None
        after = tokens[end] if end < len(tokens) else None
        for index in range(begin, end):
            result[index] = (before, after, index - begin, end - begin)
        begin = end + 1
    return result


def _launches(stream: Sequence[Activity], extractor: Extractor | None, seen: _Seen) -> list[Launch]:
    """Puts second passes to the launch before them."""
    launches: list[Launch] = []
    for item in stream:
        second = item.name in seen.parts or any(name in item.name for name in _SECOND_PASSES)
        if not second and extractor is not None:
            second = extractor(item.name, item.grid, item.block, item.shared_bytes).certainty == "part"
        if second and launches:
            launches[-1] = Launch((*launches[-1].kernels, item))
        else:
            launches.append(Launch((item,)))
    return launches


def _by_stream(items: Iterable[Activity]) -> list[list[Activity]]:
    streams: dict[tuple[int, int], list[Activity]] = {}
    for item in items:
        streams.setdefault((item.device, item.stream), []).append(item)
    return list(streams.values())


def _extract(item: Activity, extractor: Extractor | None) -> Taken:
    """What the extraction is sure of without arguments; else name and geometry."""
    if extractor is not None:
        taken = extractor(item.name, item.grid, item.block, item.shared_bytes)
        if taken.certainty == "exact":
            return taken
    geometry: dict[str, Value] = {
        "kernel": item.name[:MAX_TEXT],
        "grid": item.grid,
        "block": item.block,
        "shared_bytes": item.shared_bytes,
    }
    return Taken("other", geometry, "part")


def _copy(item: Activity) -> dict[str, Value]:
    """`Memcpy HtoD (Pageable -> Device)` -> the features that the emulator would ask with."""
    kind = next((ours for theirs, ours in _COPIES.items() if theirs in item.name), "device_to_device")
    features: dict[str, Value] = {"kind": kind, "bytes": item.bytes}
    if "Pageable" in item.name:
        features["pinned"] = False
    return features


def _kernels(launch: Launch) -> Iterable[Kernel]:
    for item in launch.kernels:
        if item.category == "kernel":
            name = item.name[:MAX_TEXT]
            yield Kernel(name, item.grid, item.block, item.shared_bytes, float(item.duration_ns))
