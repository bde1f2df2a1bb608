"""Figures over requests, against values worked out by hand."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from revati.bench import Request, figures
from revati.bench.figures import RequestLimits
from revati.errors import UsageError


def request(ttft_s: float, *itls_s: float, error: str = "") -> Request:
    return Request(0.0, ttft_s, itls_s, 10, len(itls_s) + 1, error)


def test_percentiles_are_those_of_numpy() -> None:
    source = random.Random(1)
    for size in (1, 2, 7, 100):
        values = [source.random() for _ in range(size)]
        for percent in (0, 12.5, 50, 99, 99.9, 100):
            assert figures.percentile(values, percent) == pytest.approx(np.percentile(values, percent))
    assert math.isnan(figures.percentile([], 50))


def test_statistics() -> None:
    values = [1.0, 2.0, 6.0]
    assert [figures.statistic(values, name) for name in ("mean", "median", "max", "p0")] == [3, 2, 6, 1]
    with pytest.raises(UsageError, match="there is no statistic 'p101'"):
        figures.statistic(values, "p101")


def test_values() -> None:
    requests = [request(0.1, 0.02, 0.04), request(0.2), request(9.0, error="timeout")]
    assert figures.values_of(requests, "ttft_ms") == pytest.approx([100, 200])
    assert figures.values_of(requests, "tpot_ms") == pytest.approx([30])
    assert figures.values_of(requests, "itl_ms") == pytest.approx([20, 40])
    assert figures.values_of(requests, "e2el_ms") == pytest.approx([160, 200])


def test_goodput() -> None:
    requests = [request(0.1, 0.02), request(0.3, 0.02), request(0.1, 0.2), request(0.1, error="timeout")]
    assert figures.good_share(requests, RequestLimits(ttft_ms=200, tpot_ms=50)) == 0.25
    assert figures.good_share(requests, RequestLimits(ttft_ms=300)) == 0.75
    assert figures.good_share([], RequestLimits(ttft_ms=300)) == 0


@pytest.mark.parametrize(
    ("times", "index"),
    [
        ((0.1, 0.02, 0.02), 1.0),  # all early
        ((0.1, 0.05, 0.05), 1.0),  # just in time
        ((0.04, 0.10, 0.05), 1.0),  # the first one's slack pays for the second
        ((0.2, 0.05, 0.05), 1 - 3 / 5),  # 0.1 s late: its own deadline and two more at 0.05 s each, of 3 + 2
        ((0.1, 0.07, 0.05), 1 - 1 / 3),  # late by less than one period: one deadline
        ((0.1, 0.07, 0.03), 1 - 1 / 3),  # what comes early later does not undo it
    ],
)
def test_fluidity(times: tuple[float, ...], index: float) -> None:
    assert figures.fluidity(request(*times), 0.1, 0.05) == pytest.approx(index)
