"""Figures over the requests of a benchmark: percentiles, service level objectives, goodput, fluidity."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from revati.bench.requests import Request
from revati.errors import UsageError

METRICS = ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms")
_STATISTIC = re.compile(r"p(\d+(?:\.\d+)?)")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` % lie, interpolated linearly as NumPy does by default; NaN of nothing."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def check_statistic(name: str) -> str:
    """Returns `name` if it is a statistic.

    Raises:
        UsageError: It is none.
    """
    match = _STATISTIC.fullmatch(name)
    if name in ("mean", "median", "max") or (match and float(match[1]) <= 100):
        return name
    raise UsageError(
        f"there is no statistic '{name}'; use mean, median, max, or a percentile such as p99 or p99.9."
    )


def statistic(values: Sequence[float], name: str) -> float:
    """`mean`, `median`, `max` or a percentile such as `p99`; NaN of nothing."""
    check_statistic(name)
    if not values:
        return math.nan
    if name == "mean":
        return math.fsum(values) / len(values)
    if name == "max":
        return max(values)
    return percentile(values, 50 if name == "median" else float(name[1:]))


def values_of(requests: Sequence[Request], metric: str) -> list[float]:
    """One of `METRICS` for every request that succeeded; inter-token latencies for every piece of every answer."""
    good = [request for request in requests if not request.error]
    if metric == "ttft_ms":
        return [request.ttft_s * 1e3 for request in good]
    if metric == "e2el_ms":
        return [request.e2el_s * 1e3 for request in good]
    if metric == "itl_ms":
        return [itl * 1e3 for request in good for itl in request.itls_s]
    return [request.tpot_s * 1e3 for request in good if request.tpot_s is not None]


@dataclass(frozen=True)
class RequestLimits:
    """What one request must keep to be a good one; None: no limit."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2el_ms: float | None = None

    def met_by(self, request: Request) -> bool:
        """Whether it keeps them all. A failed request does not."""
        if request.error:
            return False
        tpot = None if request.tpot_s is None else request.tpot_s * 1e3
        found = (
            (request.ttft_s * 1e3, self.ttft_ms),
            (tpot, self.tpot_ms),
            (request.e2el_s * 1e3, self.e2el_ms),
        )
        return all(limit is None or value is None or value <= limit for value, limit in found)


def good_share(requests: Sequence[Request], limits: RequestLimits) -> float:
    """The share of requests that keep the limits."""
    return sum(map(limits.met_by, requests)) / len(requests) if requests else 0.0


def fluidity(request: Request, first_s: float, between_s: float) -> float:
    """The fluidity index of Etalon: the share of token deadlines that one request met.

    Every token has a deadline, `first_s` after the request for the first and `between_s` after the one before for the others. A
    token that comes early leaves its slack to those after it. One that comes late misses its own deadline and another one for
    each `between_s` that it is later still; then the slack is gone:

        index = 1 - missed / deadlines

    Agrawal et al., "Etalon: Holistic Performance Evaluation Framework for LLM Inference Systems" (arXiv 2407.07000), section 4; the
    algorithm is written out in arXiv 2507.09019. There the first deadline grows with the prompt; here it is one figure.
    """
    slack = 0.0
    missed = deadlines = 0
    for index, took_s in enumerate((request.ttft_s, *request.itls_s)):
        allowed = first_s if index == 0 else between_s
        if took_s <= allowed + slack:
            slack += allowed - took_s
            deadlines += 1
            continue
        late = math.floor((took_s - slack - allowed) / between_s) + 1
        missed += late
        deadlines += late
        slack = 0.0
    return 1 - missed / deadlines
