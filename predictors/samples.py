"""Measured durations of one family on one GPU, in the form that training and evaluation share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from revati.predictors.kinds import INPUTS, Kind
from revati.predictors.model_file import Interval
from revati.predictors.program import Column

Band = tuple[float, float]


@dataclass(frozen=True)
class Samples:
    """Rows of a measured table.

    Attributes:
        name: Name of the model, e.g. "gemm.bf16".
        kind: What the model is asked about.
        engine: Framework whose kernels were timed, "" for any.
        parts: The launches that one row timed, each as columns in the order of `INPUTS[kind]`: one, or several whose
            durations add up (the two grouped GEMMs of a mixture of experts).
        seconds: [rows] duration of the parts together, overheads of the measurement taken off.
        selectors: Raw inputs, by name, that decide whether the model applies, with the interval they must lie in.
        limits: Raw inputs, by name, whose range in `parts` is the range of the model.
        bands: Ways to hold out whole ranges: by name, a column and the bands that are held out in turn.
        notes: Where the rows come from and what was taken off.
    """

    name: str
    kind: Kind
    engine: str
    parts: Sequence[Sequence[Column]]
    seconds: Column
    selectors: Mapping[str, Band]
    limits: Sequence[str]
    bands: Mapping[str, tuple[Column, Sequence[Band]]]
    notes: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.seconds)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Samples:
        """The same with some rows only."""
        return Samples(
            self.name,
            self.kind,
            self.engine,
            [[column[rows] for column in part] for part in self.parts],
            self.seconds[rows],
            self.selectors,
            self.limits,
            {name: (column[rows], bands) for name, (column, bands) in self.bands.items()},
            self.notes,
        )

    def header_selectors(self) -> tuple[Interval, ...]:
        """`selectors` as the file format has them."""
        names = INPUTS[self.kind]
        return tuple(Interval(names.index(name), low, high) for name, (low, high) in self.selectors.items())


def columns(kind: Kind, rows: int, values: Mapping[str, Column | float]) -> list[Column]:
    """Columns of raw inputs in the order of the kind; what is not named is 0."""
    unknown = set(values) - set(INPUTS[kind])
    assert not unknown, f"no such inputs: {unknown}"
    return [np.broadcast_to(np.asarray(values.get(name, 0.0), np.float64), rows) for name in INPUTS[kind]]
