"""How far the samples of a measurement lie apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def spread_of(samples: Sequence[float]) -> float:
    """(90th - 10th percentile) / median; 0 for a single sample."""
    ordered = sorted(samples)
    median = statistics.median(ordered)
    last = len(ordered) - 1
    low, high = ordered[math.floor(0.1 * last)], ordered[math.ceil(0.9 * last)]
    return (high - low) / median if median > 0 else 0.0
