"""From what a real GPU did to records: kernels of a trace, joined with the features that the emulator would see.

The emulator names a launch by `native/cost` from its kernel name, geometry and arguments. A trace of a real GPU has
name and geometry, but no arguments. Two ways lead to the same keys:

1. `Extractor`: the emulator's own extraction, `revati._native.launch_features(name, grid, block, shared_bytes)`, which
   answers what can be told without arguments. While the native module does not offer that function, and wherever it has
   no answer, the launch is kept as family `other`: name and geometry, for a later extraction to place.
2. `align`: the same command run on the virtual GPU with a launch log gives the same sequence of launches, with their
   features. Both sequences are matched per stream by kernel name. What does not match is counted, never guessed.
"""

from __future__ import annotations

import difflib
import importlib
import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from revati.profile.schema import Header, ProfileError, Record, Value, check_features
from revati.profile.spread import spread_of
from revati.profile.trace import Activity

# name, grid, block, shared bytes -> family and features, or None where arguments are needed
Extractor = Callable[
    [str, tuple[int, int, int], tuple[int, int, int], int], tuple[str, Mapping[str, Value]] | None
]

_COPIES: Final = {
    "HtoD": "host_to_device",
    "DtoH": "device_to_host",
    "DtoD": "device_to_device",
    "PtoP": "peer",
    "HtoH": "host_to_host",
}


@dataclass(frozen=True)
class VirtualLaunch:
    """One line of the emulator's launch log: what it saw, and what it made of it."""

    name: str
    stream: int
    family: str
    features: Mapping[str, Value]


@dataclass
class Joined:
    """Durations by what was launched, and how much of the device's time that explains."""

    groups: dict[tuple[str, str], tuple[str, Mapping[str, Value], list[int]]] = field(default_factory=dict)
    named_ns: int = 0  # device time of launches with features
    unnamed_ns: int = 0  # of those kept by name and geometry only

    def add(self, family: str, features: Mapping[str, Value], duration_ns: int) -> None:
        """Counts one execution.

        Raises:
            ProfileError: The features are not the format's: the extraction and the format have come apart.
        """
        key = (family, json.dumps(features, sort_keys=True, default=list))
        if key not in self.groups:
            check_features(family, features)
            self.groups[key] = (family, features, [])
        self.groups[key][2].append(duration_ns)
        if family == "other":
            self.unnamed_ns += duration_ns
        else:
            self.named_ns += duration_ns

    def records(self, header: Header) -> list[Record]:
        """One record for each thing launched: the median of its executions."""
        result = []
        for family, features, durations in self.groups.values():
            median = max(statistics.median(durations), 1)
            spread = spread_of(durations)
            result.append(header.record(family, features, float(median), spread, len(durations)))
        return result


def native_extractor() -> Extractor | None:
    """The emulator's own extraction, or None while the native module does not offer it."""
    try:
        native = importlib.import_module("revati._native")
    except ImportError:
        return None
    function: Extractor | None = getattr(native, "launch_features", None)
    return function


def join(
    activities: Sequence[Activity],
    extractor: Extractor | None,
    virtual: Sequence[VirtualLaunch] = (),
) -> Joined:
    """Gives every activity the best features to be had: the emulator's log, its extraction, or name and geometry."""
    kernels = [item for item in activities if item.category == "kernel"]
    matched = align(kernels, virtual) if virtual else {}
    joined = Joined()
    for index, item in enumerate(kernels):
        family, features = matched.get(index) or _extract(item, extractor)
        joined.add(family, features, item.duration_ns)
    for item in activities:
        if item.category == "gpu_memcpy":
            joined.add("copy", _copy(item), item.duration_ns)
        elif item.category == "gpu_memset":
            joined.add("fill", {"bytes": item.bytes}, item.duration_ns)
    return joined


def align(
    kernels: Sequence[Activity], virtual: Sequence[VirtualLaunch]
) -> dict[int, tuple[str, Mapping[str, Value]]]:
    """Matches the launches of both runs, stream by stream in order of first use, by their kernels' names.

    A library call is one launch in the emulator (`cublasGemmEx`) and a kernel with another name on the GPU: between two
    matched neighbours such runs are paired in order, if both sides have the same number.
    """
    result: dict[int, tuple[str, Mapping[str, Value]]] = {}
    real_streams = _by_stream((index, item.stream, item.name) for index, item in enumerate(kernels))
    virtual_streams = _by_stream((index, item.stream, item.name) for index, item in enumerate(virtual))
    for real, seen in zip(real_streams, virtual_streams, strict=False):
        matcher = difflib.SequenceMatcher(
            None, [name for _, name in real], [name for _, name in seen], autojunk=False
        )
        for kind, real_begin, real_end, seen_begin, seen_end in matcher.get_opcodes():
            same_length = real_end - real_begin == seen_end - seen_begin
            if kind == "equal" or (kind == "replace" and same_length):
                for offset in range(real_end - real_begin):
                    launch = virtual[seen[seen_begin + offset][0]]
                    result[real[real_begin + offset][0]] = (launch.family, launch.features)
    return result


def read_launch_log(path: Path) -> list[VirtualLaunch]:
    """Reads an emulator's launch log: JSON lines with name, stream, family and features.

    Raises:
        ProfileError: A line is malformed.
    """
    launches = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            entry: dict[str, Any] = json.loads(line)
            features = {k: tuple(v) if isinstance(v, list) else v for k, v in entry["features"].items()}
            check_features(entry["family"], features)
            launches.append(
                VirtualLaunch(str(entry["name"]), int(entry["stream"]), entry["family"], features)
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProfileError(f"{path}: line {number}: {error}") from None
    return launches


def _by_stream(items: Iterable[tuple[int, int, str]]) -> list[list[tuple[int, str]]]:
    streams: dict[int, list[tuple[int, str]]] = {}
    for index, stream, name in items:
        streams.setdefault(stream, []).append((index, name))
    return list(streams.values())


def _extract(item: Activity, extractor: Extractor | None) -> tuple[str, Mapping[str, Value]]:
    found = extractor(item.name, item.grid, item.block, item.shared_bytes) if extractor else None
    return found or (
        "other",
        {
            "kernel": item.name[:4096],
            "grid": item.grid,
            "block": item.block,
            "shared_bytes": item.shared_bytes,
        },
    )


def _copy(item: Activity) -> dict[str, Value]:
    """`Memcpy HtoD (Pinned -> Device)` -> kind, size, and whether the host's side is page-locked."""
    kind = next((ours for theirs, ours in _COPIES.items() if theirs in item.name), "device_to_device")
    return {"kind": kind, "bytes": item.bytes, "pinned": "Pageable" not in item.name}
