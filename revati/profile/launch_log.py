"""The emulator's launch log: what it saw, in order, and what it took each launch for.

Native code writes it (`native/device/launch_log.h` has the format) where REVATI_LAUNCH_LOG names a folder; `revati profile
record` sets that on the virtual GPU. Features come from the extraction that prices launches, so that they are the keys
that training must use, too.
"""

from __future__ import annotations

import json
import lzma
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from revati.profile.schema import ProfileError, Value, check_features
from revati.profile.trace import Activity

VARIABLE: Final = "REVATI_LAUNCH_LOG"
PATTERN: Final = "launches.*.jsonl*"
CERTAINTIES: Final = ("exact", "guess", "part")

# Descriptions without geometry that are no kernels, and what a profiler calls them.
MEMORY_CALLS: Final = {"copy": "gpu_memcpy", "fill": "gpu_memset"}

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Taken:
    """What a launch was taken for."""

    family: str
    features: Mapping[str, Value]
    certainty: str  # exact; guess: arguments missing or kernel unknown; part: its time belongs to the launch before it


@dataclass(frozen=True)
class Description:
    """A kind of launch."""

    name: str  # of the kernel as profilers print it, or of the library's call
    grid: Shape | None  # None: a library's call, a copy or a fill
    block: Shape | None
    shared_bytes: int
    taken: Taken
    source: str  # of its duration


@dataclass(frozen=True)
class Execution:
    """One line of the log."""

    device: int
    stream: int
    description: Description
    replay: int  # number of the graph launch; 0 outside of graphs
    ns: int


def read(path: Path) -> list[Execution]:
    """Reads one process's log, plain or xz, or all logs of a folder, one process after the other.

    Raises:
        ProfileError: It is missing, or a line is malformed.
    """
    if path.is_dir():
        found = sorted(path.glob(PATTERN))
        if not found:
            raise ProfileError(
                f"{path}: no launch log here; `revati run -- revati profile record` writes one"
            )
        return [execution for file in found for execution in read(file)]
    descriptions: dict[int, Description] = {}
    executions = []
    for number, line in enumerate(_lines(path), 1):
        try:
            entry: Any = json.loads(line)
            if isinstance(entry, dict):
                descriptions[int(entry["id"])] = _description(entry)
            else:
                device, stream, kind, replay, ns = map(int, entry)
                executions.append(Execution(device, stream, descriptions[kind], replay, ns))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProfileError(f"{path}: line {number}: {type(error).__name__}: {error}") from None
    return executions


def taken_from(entry: Mapping[str, Any]) -> Taken:
    """Checks what native code says of a launch (`revati._native.launch_features`, or a line of a log).

    Raises:
        ProfileError: The extraction and the format have come apart.
    """
    features = {k: tuple(v) if isinstance(v, list) else v for k, v in entry["features"].items()}
    if entry["certainty"] not in CERTAINTIES:
        raise ProfileError(f"certainty is {entry['certainty']!r}; one of {', '.join(CERTAINTIES)}")
    if entry["certainty"] != "part":
        check_features(entry["family"], features)
    return Taken(entry["family"], features, entry["certainty"])


def activities(executions: list[Execution]) -> list[Activity]:
    """The log as a profiler's trace would have it: the dry run's stand-in for CUPTI. Times are virtual."""
    ends: Counter[tuple[int, int]] = Counter()
    result = []
    for index, item in enumerate(executions):
        what, begin = item.description, ends[item.device, item.stream]
        ends[item.device, item.stream] += max(item.ns, 1)
        features = what.taken.features
        category = MEMORY_CALLS.get(what.name, "kernel") if what.grid is None else "kernel"
        result.append(
            Activity(
                category=category,
                name=_copy_name(features) if category == "gpu_memcpy" else what.name,
                begin_ns=begin,
                duration_ns=max(item.ns, 1),
                device=item.device,
                stream=item.stream,
                correlation=index,
                grid=what.grid or (1, 1, 1),
                block=what.block or (1, 1, 1),
                shared_bytes=what.shared_bytes,
                graph_node=item.replay,
                bytes=0 if category == "kernel" else int(str(features["bytes"])),
            )
        )
    return result


_ENDS: Final = {
    "host_to_device": ("HtoD", "{} -> Device"),
    "device_to_host": ("DtoH", "Device -> {}"),
    "device_to_device": ("DtoD", "Device -> Device"),
    "peer": ("PtoP", "Device -> Device"),
    "host_to_host": ("HtoH", "{0} -> {0}"),
}


def _copy_name(features: Mapping[str, Value]) -> str:
    short, ends = _ENDS[str(features["kind"])]
    return f"Memcpy {short} ({ends.format('Pinned' if features.get('pinned', True) else 'Pageable')})"


def _description(entry: Mapping[str, Any]) -> Description:
    grid, block = (_shape(entry[key]) if key in entry else None for key in ("grid", "block"))
    return Description(
        name=str(entry["name"]),
        grid=grid,
        block=block,
        shared_bytes=int(entry.get("shared_bytes", 0)),
        taken=taken_from(entry),
        source=str(entry["source"]),
    )


def _shape(value: Any) -> Shape:
    x, y, z = map(int, value)
    return x, y, z


def _lines(path: Path) -> Iterator[str]:
    try:
        with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as file:
            yield from file
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None
