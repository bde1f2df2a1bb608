"""How well models predict ranges that they have not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from revati.predictors import fit, training
from revati.predictors.families.base import Family
from revati.predictors.program import Column
from revati.predictors.samples import Band, Samples

from revati.catalogue.gpu import Gpu

_FOLDS = 3


@dataclass(frozen=True)
class Errors:
    """Relative errors of predictions: (predicted - measured) / measured."""

    rows: int
    median: float
    p90: float
    mape: float
    bias: float

    @classmethod
    def of(cls, relative: Column) -> Errors:
        """Median, 90th percentile and mean of the absolute values; the bias is the median with its sign."""
        size = np.abs(relative)
        return cls(
            len(relative),
            float(np.median(size)),
            float(np.quantile(size, 0.9)),
            float(np.mean(size)),
            float(np.median(relative)),
        )


@dataclass(frozen=True)
class Evaluation:
    """One model, evaluated on one quantity's bands.

    Attributes:
        gpu: Catalogue name.
        family: Name of the family.
        model: Name of the model.
        engine: Framework whose kernels were timed, or "".
        held_out: The quantity whose ranges were held out, e.g. "batch".
        errors: Over all bands.
        bands: Errors of each band, lowest first, as (lowest, highest, errors).
        goal_median: What we want of the median.
        goal_p90: What we want of the 90th percentile.
    """

    gpu: str
    family: str
    model: str
    engine: str
    held_out: str
    errors: Errors
    bands: tuple[tuple[float, float, Errors], ...]
    goal_median: float
    goal_p90: float

    @property
    def met(self) -> bool:
        """Whether both goals are met over all bands."""
        return self.errors.median <= self.goal_median and self.errors.p90 <= self.goal_p90

    def as_json(self) -> dict[str, object]:
        """Everything, as JSON has it."""
        return {**asdict(self), "met": self.met}


def evaluate(
    gpus: Sequence[Gpu],
    families: Sequence[Family],
    report: Callable[[Evaluation], None],
    most_rows: int | None = None,
) -> list[Evaluation]:
    """Holds out bands of each quantity of each model.

    Args:
        gpus: With tables.
        families: Of those, e.g. from `training.choose_families`.
        report: Called after each result.
        most_rows: Of a table; from larger ones, that many at equal distances, with which models are worse rather than better.

    Returns:
        All results.
    """
    results = []
    with training.one_thread():
        for gpu in gpus:
            for family, samples in training.samples_of(gpu, families):
                few = samples if most_rows is None else samples.take(_spread(len(samples), most_rows))
                for quantity in samples.bands:
                    result = _evaluate(gpu, family, few, quantity)
                    report(result)
                    results.append(result)
    return results


def _spread(rows: int, most: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Places of at most so many rows, at equal distances."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).astype(np.int64))


def _evaluate(gpu: Gpu, family: Family, samples: Samples, quantity: str) -> Evaluation:
    """Every third band is held out at once, so that each has seen neighbours on both sides but nothing within."""
    column, bands = samples.bands[quantity]
    relative = np.full(len(samples), np.nan)
    for fold in range(_FOLDS):
        held = np.zeros(len(samples), bool)
        for band in bands[fold::_FOLDS]:
            held |= _inside(column, band)
        if held.any() and not held.all():
            fitted = fit.fit(family, gpu, samples.take(~held))
            relative[held] = fitted.seconds(samples.take(held)) / samples.seconds[held] - 1
    known = np.isfinite(relative)
    by_band = []
    for band in bands:
        rows = _inside(column, band) & known
        if rows.any():
            by_band.append((*band, Errors.of(relative[rows])))
    return Evaluation(
        gpu.name,
        family.name,
        samples.name,
        samples.engine,
        quantity,
        Errors.of(relative[known]),
        tuple(by_band),
        *family.goal,
    )


def _inside(column: Column, band: Band) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray((column >= band[0]) & (column <= band[1]))


def misses(results: Sequence[Evaluation]) -> list[str]:
    """One line for each goal that is missed, and for each band beyond it, worst first."""
    lines = []
    for result in results:
        what = (
            f"{result.gpu} {result.model}{' ' + result.engine if result.engine else ''} by {result.held_out}"
        )
        if not result.met:
            lines.append(
                (result.errors.p90, f"{what}: median {result.errors.median:.1%}, P90 {result.errors.p90:.1%}")
            )
        for low, high, errors in result.bands:
            if errors.median > result.goal_median or errors.p90 > result.goal_p90:
                band = f"{low:g}" if low == high else f"{low:g}-{high:g}"
                lines.append((errors.p90, f"{what} {band}: median {errors.median:.1%}, P90 {errors.p90:.1%}"))
    return [line for _, line in sorted(lines, reverse=True)]
