"""Reading a torch.profiler trace: every kernel, copy and fill with its geometry, in the order of the device.

CUPTI stamps the work, torch.profiler writes it as a Chrome trace. Only what the device did is read, and the host calls
that submitted it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from revati.profile.schema import ProfileError

_DEVICE: Final = {"kernel", "gpu_memcpy", "gpu_memset"}
_HOST: Final = {"cuda_runtime", "cuda_driver"}


@dataclass(frozen=True)
class Activity:
    """One piece of work on the device."""

    category: str  # kernel, gpu_memcpy, gpu_memset
    name: str
    begin_ns: int
    duration_ns: int
    device: int
    stream: int
    correlation: int  # of the host call that submitted it; all nodes of a graph share that of its launch
    grid: tuple[int, int, int] = (1, 1, 1)
    block: tuple[int, int, int] = (1, 1, 1)
    shared_bytes: int = 0
    graph_node: int = 0  # 0: not from a graph
    bytes: int = 0  # of a copy or fill


@dataclass(frozen=True)
class Trace:
    """What one trace file holds."""

    activities: tuple[Activity, ...]  # by begin
    calls: Mapping[int, tuple[str, int]]  # correlation -> name and begin of the host call
    ranges: tuple[tuple[str, int, int], ...]  # name, begin, end of each `record_function` range

    def range_of(self, correlation: int) -> str | None:
        """The innermost range in which the host submitted this work."""
        call = self.calls.get(correlation)
        inside = [item for item in self.ranges if call and item[1] <= call[1] <= item[2]]
        return min(inside, key=lambda item: item[2] - item[1])[0] if inside else None


def read(path: Path) -> Trace:
    """Reads a Chrome trace, plain or gzip.

    Raises:
        ProfileError: The file is no trace.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            document = json.load(file)
        events = document["traceEvents"]
        return _trace(event for event in events if isinstance(event, dict) and event.get("ph") == "X")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise ProfileError(f"{path}: not a torch.profiler trace: {error}") from None


def _trace(events: Iterator[dict[str, Any]]) -> Trace:
    activities: list[Activity] = []
    calls: dict[int, tuple[str, int]] = {}
    ranges: list[tuple[str, int, int]] = []
    for event in events:
        category = event.get("cat")
        if category in _DEVICE:
            activities.append(_activity(event))
        elif category in _HOST:
            calls[int(event["args"]["correlation"])] = (str(event["name"]), _ns(event["ts"]))
        elif category == "user_annotation":
            begin = _ns(event["ts"])
            ranges.append((str(event["name"]), begin, begin + _ns(event["dur"])))
    activities.sort(key=lambda item: (item.begin_ns, item.stream))
    return Trace(tuple(activities), calls, tuple(ranges))


def _activity(event: dict[str, Any]) -> Activity:
    details = event.get("args", {})
    return Activity(
        category=event["cat"],
        name=str(event["name"]),
        begin_ns=_ns(event["ts"]),
        duration_ns=_ns(event["dur"]),
        device=int(details.get("device", 0)),
        stream=int(details.get("stream", 0)),
        correlation=int(details.get("correlation", 0)),
        grid=shape(details.get("grid")),
        block=shape(details.get("block")),
        shared_bytes=int(details.get("shared memory", 0)),
        graph_node=int(details.get("graph node id", 0)),
        bytes=int(details.get("bytes", 0)),
    )


def _ns(microseconds: Any) -> int:
    return round(float(microseconds) * 1000)


def shape(value: Any) -> tuple[int, int, int]:
    """Three numbers; (1, 1, 1) for anything else."""
    x, y, z = value if isinstance(value, list) and len(value) == 3 else (1, 1, 1)
    return int(x), int(y), int(z)
