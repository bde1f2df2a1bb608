"""The figures of a replay, from its client's request-by-request report, as the row's own client counted them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from revati.errors import ClientError
from revati.validation.workload import Workload

_LEAST_REQUESTS = 20


@dataclass(frozen=True)
class Request:
    """Seconds of virtual time."""

    start: float
    ttft: float
    end: float
    output_tokens: int


@dataclass(frozen=True)
class Figures:
    """What a serving's client reports.

    Attributes:
        values: Column of the ground-truth file -> figure: milliseconds, requests or tokens per second.
        requests: How many of the replayed requests they are about.
        window_s: Length of the time that they are about.
    """

    values: dict[str, float]
    requests: int
    window_s: float


def of_report(report: dict[str, Any], workload: Workload, warm_up: int) -> Figures:
    """Figures of `vllm bench serve --save-detailed`.

    A replay is shorter than most measurements. Where it is, the first requests (`warm_up`, or those of the first mean
    duration of a request) and those that end after the last has been sent are left out: they met another load.

    Raises:
        ClientError: The report is not detailed, or too short.
    """
    requests = _requests(report)
    kept, begin, end = _steady(requests, workload, warm_up)
    osl = workload.row.number("osl") or workload.prompts.output_len
    latencies = [request.end - request.start for request in kept]
    ttfts = [request.ttft for request in kept]
    tpots = [_tpot(request, osl) for request in kept if request.output_tokens > 1]
    finished = [request for request in requests if begin <= request.end <= end]
    rate = len(finished) / (end - begin)
    values = {
        **_statistics("ttft", ttfts),
        **_statistics("tpot", tpots),
        **_statistics("e2e", latencies),
        "req_per_s": rate,
        "output_tok_per_s": rate * osl,
    }
    return Figures(values, len(kept), end - begin)


def _tpot(request: Request, osl: float) -> float:
    """(end to end - first token) / (answer - 1), with the length of the answer that the row's client saw.

    Clients that encode the answer's text again see fewer tokens than were made, and divide by too few. Asked for the
    same definition, a replay answers the same question.
    """
    return (request.end - request.start - request.ttft) / max(1.0, osl - 1)


def _requests(report: dict[str, Any]) -> list[Request]:
    columns = [report.get(key) for key in ("start_times", "ttfts", "itls", "output_lens")]
    if not all(isinstance(column, list) and column for column in columns):
        raise ClientError("the client's report does not hold every request (--save-detailed).")
    made = [
        Request(start, ttft, start + ttft + sum(itls), int(tokens))
        for start, ttft, itls, tokens in zip(*columns, strict=True)
        if tokens
    ]
    return sorted(made, key=lambda request: request.start)


def _steady(
    requests: Sequence[Request], workload: Workload, warm_up: int
) -> tuple[list[Request], float, float]:
    """The requests that met a steady load, and from when to when it was."""
    first, last = requests[0].start, max(request.end for request in requests)
    whole = workload.measured_requests is not None and len(requests) >= workload.measured_requests
    if workload.arrivals.rate is None or whole:
        return list(requests), first, last
    mean = statistics.fmean(request.end - request.start for request in requests)
    begin = max(first + mean, requests[min(warm_up, len(requests) - 1)].start)
    end = requests[-1].start
    kept = [request for request in requests if request.start >= begin and request.end <= end]
    if len(kept) < _LEAST_REQUESTS:
        return list(requests), first, last
    return kept, begin, end


def _statistics(name: str, seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(1e3 * value for value in seconds)

    def quantile(share: float) -> float:
        position = share * (len(ordered) - 1)
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (position - low) * (ordered[high] - ordered[low])

    return {
        f"{name}_mean_ms": statistics.fmean(ordered),
        f"{name}_median_ms": quantile(0.5),
        f"{name}_p90_ms": quantile(0.9),
        f"{name}_p99_ms": quantile(0.99),
    }
