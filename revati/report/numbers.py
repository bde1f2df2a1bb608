"""The numbers of a report: what the plots show, what the CSV and JSON files hold."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from revati.bench import Request, figures
from revati.bench.figures import METRICS, RequestLimits
from revati.report.collect import Run, Subject

STATISTICS = ("mean", "median", "p90", "p99")
SOURCES = ("measured", "model", "roofline", "guess")
_CONFIDENCE_PERCENT = 95
_RESAMPLES = 200
_RESAMPLED_AT_MOST = 20_000_000
_QUANTILES = 400


@dataclass(frozen=True)
class Deadlines:
    """For the fluidity index: the first token's, and each later one's."""

    first_s: float
    between_s: float


@dataclass(frozen=True)
class Figure:
    """A statistic over requests, with the interval that contains it with 95 % confidence if requests came again like these."""

    value: float
    low: float
    high: float


def figure(requests: Sequence[Request], metric: str, name: str) -> Figure | None:
    """A statistic with its bootstrap interval (whole requests are drawn, so tokens of one request stay together).

    None where no request has a value.
    """
    groups = [np.asarray(values) for request in requests if (values := figures.values_of([request], metric))]
    if not groups:
        return None
    pooled = np.concatenate(groups)
    value = figures.statistic(pooled.tolist(), name)
    resamples = max(20, min(_RESAMPLES, _RESAMPLED_AT_MOST // max(1, pooled.size)))
    source = np.random.default_rng(0)
    found = [
        _statistic(np.concatenate([groups[i] for i in source.integers(0, len(groups), len(groups))]), name)
        for _ in range(resamples)
    ]
    rest = (100 - _CONFIDENCE_PERCENT) / 2
    low, high = np.percentile(found, [rest, 100 - rest])
    return Figure(value, float(low), float(high))


def _statistic(values: np.ndarray[Any, Any], name: str) -> float:
    if name == "mean":
        return float(values.mean())
    if name == "max":
        return float(values.max())
    return float(np.percentile(values, 50 if name == "median" else float(name[1:])))


def cdf(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Values and the share of all that are at most that large; at most a few hundred points."""
    ordered = np.sort(np.asarray(values, dtype=float))
    if ordered.size == 0:
        return [], []
    shares = (np.arange(ordered.size) + 1) / ordered.size
    if ordered.size > _QUANTILES:
        chosen = np.unique(np.linspace(0, ordered.size - 1, _QUANTILES).round().astype(int))
        ordered, shares = ordered[chosen], shares[chosen]
    return ordered.tolist(), shares.tolist()


@dataclass(frozen=True)
class Timeline:
    """A run over virtual time, as the client saw it.

    Attributes:
        time_s: Since the first request was sent.
        queued: Requests that were sent and have no token yet.
        running: Requests that have one and wait for more.
        kv_tokens: Tokens of the prompts and answers of the running ones.
    """

    time_s: list[float]
    queued: list[int]
    running: list[int]
    kv_tokens: list[int]


def timeline(requests: Sequence[Request]) -> Timeline | None:
    """None where the client does not tell when requests were sent."""
    changes: list[tuple[float, int, int, int]] = []
    for request in requests:
        if request.start_s is None or request.error:
            continue
        now = request.start_s
        changes.append((now, 1, 0, 0))
        now += request.ttft_s
        held = request.input_tokens + 1
        changes.append((now, -1, 1, held))
        # Pieces may be several tokens: they are spread evenly.
        each = (request.output_tokens - 1) / len(request.itls_s) if request.itls_s else 0.0
        given = 0
        for number, itl_s in enumerate(request.itls_s, start=1):
            now += itl_s
            more = round(each * number) - given
            given += more
            held += more
            changes.append((now, 0, 0, more))
        changes.append((now, 0, -1, -held))
    if not changes:
        return None
    table = np.array(sorted(changes))
    sums = np.cumsum(table[:, 1:], axis=0).round().astype(int)
    # The last state of each moment; then no more points than a screen has.
    last = np.append(np.diff(table[:, 0]) > 0, True)
    time_s, sums = table[last, 0], sums[last]
    if len(time_s) > 4 * _QUANTILES:
        chosen = np.unique(np.linspace(0, len(time_s) - 1, 4 * _QUANTILES).round().astype(int))
        time_s, sums = time_s[chosen], sums[chosen]
    return Timeline(time_s.tolist(), *(column.tolist() for column in sums.T))


def limits_of(subject: Subject) -> RequestLimits | None:
    """What makes a request a good one: the goodput's limits, else the objectives' on TTFT, TPOT and end-to-end latency."""
    if subject.slo.goodput is not None:
        return subject.slo.goodput.limits
    found = {
        metric: min(values.values())
        for metric in ("ttft_ms", "tpot_ms", "e2el_ms")
        if (values := getattr(subject.slo, metric))
    }
    return RequestLimits(**found) if found else None


def summary(run: Run, limits: RequestLimits | None, deadlines: Deadlines) -> dict[str, Any]:
    """A run's numbers, flat: a line of the CSV file."""
    values = run.values
    line: dict[str, Any] = {
        "configuration": run.label,
        **{key: values.get(key) for key in ("model", "engine", "engine_version", "gpu", "gpus", "tp")},
        "pp": values.get("pp", 1),
        "dp": values.get("dp", 1),
        "completed": values.get("completed"),
        "failed": values.get("failed"),
        "request_throughput": values.get("request_throughput"),
        "output_throughput": values.get("output_throughput"),
        "output_throughput_per_gpu": run.throughput_per_gpu,
        "virtual_seconds": values.get("virtual_seconds"),
        "wall_seconds": values.get("wall_seconds"),
    }
    for metric in METRICS:
        for name in STATISTICS:
            found = figure(run.requests, metric, name)
            stem = f"{name}_{metric}"
            line |= {
                stem: found.value if found else None,
                f"{stem}_low95": found.low if found else None,
                f"{stem}_high95": found.high if found else None,
            }
    indices = fluidity(run, deadlines)
    line["fluidity_mean"] = figures.statistic(indices, "mean") if indices else None
    line["fluidity_p10"] = figures.statistic(indices, "p10") if indices else None
    if limits is not None and run.requests:
        share = figures.good_share(run.requests, limits)
        line["good_share"] = share
        line["goodput"] = share * len(run.requests) / values["virtual_seconds"]
    sources = values.get("duration_sources", {})
    line |= {f"time_{source}": sources.get(source, {}).get("share", 0.0) for source in SOURCES}
    line["meets_slo"] = run.meets_slo
    if run.cost:
        line |= {f"cost_{key}": value for key, value in run.cost.items()}
    if run.capacity:
        line["highest_rate"] = run.capacity["rate"]
    return line


def fluidity(run: Run, deadlines: Deadlines) -> list[float]:
    """The fluidity index of every request."""
    return [
        figures.fluidity(request, deadlines.first_s, deadlines.between_s)
        for request in run.requests
        if not request.error
    ]


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points no other beats, when more of the first and less of the second is better; in the order of the first."""
    order = sorted(range(len(points)), key=lambda index: (-points[index][0], points[index][1]))
    best, front = math.inf, []
    for index in order:
        if points[index][1] < best:
            best = points[index][1]
            front.append(index)
    return front[::-1]


def write_csv(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """One line for each."""
    columns = list(dict.fromkeys(key for line in lines for key in line))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


def request_lines(runs: Sequence[Run], deadlines: Deadlines) -> list[dict[str, Any]]:
    """Every request of every run: the lines of the second CSV file."""
    return [
        {
            "configuration": run.label,
            "start_s": request.start_s,
            "ttft_ms": request.ttft_s * 1e3,
            "tpot_ms": None if request.tpot_s is None else request.tpot_s * 1e3,
            "e2el_ms": request.e2el_s * 1e3,
            "input_tokens": request.input_tokens,
            "output_tokens": request.output_tokens,
            "fluidity": None
            if request.error
            else figures.fluidity(request, deadlines.first_s, deadlines.between_s),
            "error": request.error,
        }
        for run in runs
        for request in run.requests
    ]
