"""Which kernels a case launched: one profiler pass over a batch of cases, each in a range of its own."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from revati.profile import trace
from revati.profile.cases.base import Case, Context
from revati.profile.schema import Kernel

_RANGE: Final = "revati:"
_CALLS: Final = 3


def name_kernels(cases: Sequence[Case], context: Context) -> dict[str, tuple[Kernel, ...]]:
    """Runs each case a few times under the profiler. Returns its kernels, in order, by the case's key.

    Empty where the device gives no time stamps (a virtual GPU; a machine whose driver forbids it).
    """
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    ) as profiler:
        for case in cases:
            calls = case.build(context)[:_CALLS]
            calls[0]()
            torch.cuda.synchronize()
            for index, call in enumerate(calls):
                with torch.profiler.record_function(f"{_RANGE}{case.key}:{index}"):
                    call()
            torch.cuda.synchronize()
            del calls
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return _kernels(trace.read(path))


def _kernels(found: trace.Trace) -> dict[str, tuple[Kernel, ...]]:
    launches: dict[str, dict[str, list[trace.Activity]]] = {}
    for activity in found.activities:
        name = found.range_of(activity.correlation) if activity.category == "kernel" else None
        if name and name.startswith(_RANGE):
            key, _, index = name.removeprefix(_RANGE).partition(":")
            launches.setdefault(key, {}).setdefault(index, []).append(activity)
    return {key: _median_kernels(list(calls.values())) for key, calls in launches.items()}


def _median_kernels(calls: list[list[trace.Activity]]) -> tuple[Kernel, ...]:
    """One list for all calls, where they launched the same; the first call's otherwise."""
    same = [call for call in calls if [item.name for item in call] == [item.name for item in calls[0]]]
    return tuple(
        Kernel(
            first.name,
            first.grid,
            first.block,
            first.shared_bytes,
            statistics.median(call[position].duration_ns for call in same),
        )
        for position, first in enumerate(calls[0])
    )
