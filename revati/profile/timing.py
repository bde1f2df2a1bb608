"""How a duration is measured on a GPU: three ways, each the median of many samples (see docs/measuring.md)."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from revati.profile.spread import spread_of

Call = Callable[[], Any]

_MAX_GRAPH_CALLS: Final = 2048


@dataclass(frozen=True)
class Settings:
    """How much effort one measurement is worth."""

    sample_us: float = 1000.0  # at least so long is one sample, so that what surrounds it does not count
    budget_ms: float = 30.0  # device time for all samples of a case
    min_samples: int = 10
    max_samples: int = 40
    warm_ups: int = 2
    host_repeats: int = 200


QUICK: Final = Settings(
    sample_us=20.0, budget_ms=0.5, min_samples=3, max_samples=4, warm_ups=1, host_repeats=5
)


@dataclass(frozen=True)
class Timing:
    """A measured duration of one call."""

    duration_ns: float
    spread: float
    count: int
    method: str


def summarise(samples_ns: Sequence[float], method: str) -> Timing:
    """The median and its spread."""
    return Timing(statistics.median(samples_ns), spread_of(samples_ns), len(samples_ns), method)


def time_graph(calls: Sequence[Call], settings: Settings) -> Timing:
    """Captures the calls, over and over, in one graph and times its replays with events.

    The calls work on different buffers (see `cases.base.Context.sets`), so weights come from memory as in serving.
    """
    _warm_up(calls, settings)
    graph = _capture(calls, 1)
    pass_ns = min(_replay_ns(graph, 3))
    passes = max(
        1, min(_MAX_GRAPH_CALLS // len(calls), math.ceil(settings.sample_us * 1e3 / max(pass_ns, 1.0)))
    )
    if passes > 1:
        del graph
        graph = _capture(calls, passes)
        pass_ns = min(_replay_ns(graph, 2))
    count = _sample_count(pass_ns, settings)
    samples = _replay_ns(graph, count)
    torch.cuda.synchronize()
    return summarise([sample / (passes * len(calls)) for sample in samples], "graph")


def time_events(calls: Sequence[Call], settings: Settings) -> Timing:
    """Times calls submitted one by one, many in a row so that the host is not what is measured."""
    _warm_up(calls, settings)
    once_ns = _events_ns(calls, 1)
    rounds = max(1, min(64, math.ceil(settings.sample_us * 1e3 / max(once_ns, 1.0))))
    count = _sample_count(once_ns * rounds, settings)
    samples = [_events_ns(calls, rounds) / (rounds * len(calls)) for _ in range(count)]
    torch.cuda.synchronize()
    return summarise(samples, "events")


def time_host(call: Call, settings: Settings, drain_every: int = 32) -> Timing:
    """Times the calling thread alone; the device is drained often enough that its queue never blocks the caller."""
    _warm_up([call], settings)
    samples = []
    for index in range(settings.host_repeats):
        if index % drain_every == 0:
            torch.cuda.synchronize()
        begin = time.perf_counter_ns()
        call()
        samples.append(float(time.perf_counter_ns() - begin))
    torch.cuda.synchronize()
    return summarise([max(sample, 1.0) for sample in samples], "host")


def _warm_up(calls: Sequence[Call], settings: Settings) -> None:
    for _ in range(settings.warm_ups):
        for call in calls[:4]:
            call()
    torch.cuda.synchronize()


def _capture(calls: Sequence[Call], passes: int) -> Any:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(passes):
            for call in calls:
                call()
    return graph


def _replay_ns(graph: Any, count: int) -> list[float]:
    """Device time of each of `count` replays, all submitted before the first is waited for."""
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(2 * count)]
    for index in range(count):
        marks[2 * index].record()
        graph.replay()
        marks[2 * index + 1].record()
    torch.cuda.synchronize()
    return [marks[2 * index].elapsed_time(marks[2 * index + 1]) * 1e6 for index in range(count)]


def _events_ns(calls: Sequence[Call], rounds: int) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(rounds):
        for call in calls:
            call()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end)) * 1e6


def _sample_count(sample_ns: float, settings: Settings) -> int:
    wanted = settings.budget_ms * 1e6 / max(sample_ns, 1.0)
    return int(max(settings.min_samples if wanted > 1 else 3, min(settings.max_samples, wanted)))
