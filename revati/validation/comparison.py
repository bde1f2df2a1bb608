"""Errors of replayed rows, apart for each metric: medians, 90th percentiles and bias."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from revati.validation.rows import Row

# Metric -> columns of the ground-truth file, the first that a row has is compared.
METRICS: Mapping[str, Sequence[str]] = {
    "ttft": ("ttft_mean_ms", "ttft_median_ms"),
    "tpot": ("tpot_mean_ms", "tpot_median_ms"),
    "throughput": ("output_tok_per_s", "req_per_s"),
}
# Median absolute errors that we want to reach (issue 5).
GOALS: Mapping[str, float] = {"ttft": 0.10, "tpot": 0.05, "throughput": 0.04}


@dataclass(frozen=True)
class Error:
    """One metric of one row."""

    column: str
    measured: float
    predicted: float

    @property
    def relative(self) -> float:
        """(predicted - measured) / measured."""
        return (self.predicted - self.measured) / self.measured


@dataclass
class Outcome:
    """What became of one row: `replayed`, `not replayed` (with a reason), or `failed` (with a reason)."""

    row: Row
    status: str
    reason: str = ""
    engine_version: str | None = None
    remarks: list[str] = field(default_factory=list)
    errors: dict[str, Error] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def worst(self) -> float:
        """The largest error of any metric, for sorting."""
        return max((abs(error.relative) for error in self.errors.values()), default=-1.0)

    def as_json(self) -> dict[str, Any]:
        """Flat enough for other tools."""
        return {
            "id": self.row.id,
            "status": self.status,
            "reason": self.reason,
            "engine_version": {"row": self.row.engine_version, "replayed": self.engine_version},
            "remarks": self.remarks,
            "errors": {
                metric: {
                    "column": error.column,
                    "measured": error.measured,
                    "predicted": error.predicted,
                    "error": error.relative,
                }
                for metric, error in self.errors.items()
            },
            **self.details,
        }


def compare(row: Row, predicted: Mapping[str, float]) -> dict[str, Error]:
    """The errors of the metrics that both sides have."""
    errors = {}
    for metric, columns in METRICS.items():
        for column in columns:
            measured = row.number(column)
            if measured and column in predicted:
                errors[metric] = Error(column, measured, predicted[column])
                break
    return errors


def summarise(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Statistic -> metric -> fraction, over all rows that were replayed."""
    found = {
        metric: [outcome.errors[metric].relative for outcome in outcomes if metric in outcome.errors]
        for metric in METRICS
    }
    found = {metric: errors for metric, errors in found.items() if errors}
    return {
        "median_abs_error": {metric: statistics.median(map(abs, errors)) for metric, errors in found.items()},
        "p90_abs_error": {metric: _p90([abs(error) for error in errors]) for metric, errors in found.items()},
        "bias": {metric: statistics.median(errors) for metric, errors in found.items()},
    }


def _p90(values: Sequence[float]) -> float:
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=10, method="inclusive")[-1]
