"""What a family of GPU work brings for training: its rows, an analytic estimate, and features of the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from revati.predictors.kinds import Kind
from revati.predictors.program import Node, exp2, log2
from revati.predictors.samples import Samples

from revati.catalogue.gpu import Gpu


class Family(ABC):
    """One family: `fit.train` turns what it says into a model.

    Attributes:
        name: For the command line and reports.
        kind: What its models are asked about.
        goal: Median and 90th percentile of the relative error that we want on held-out ranges.
        reach: Octaves beyond the range in which the model still answers.
        confidence: Inside and outside of the range; about 1 - expected relative error, from `revati profile evaluate`.
        parameters: Of the analytic estimate: start, lowest and highest value of each.
        trees: How many; 0 for families that are fully described by the estimate and curves.
        leaves: Of each tree.
        leaf_rows: The fewest rows of a leaf; 0 to choose by the number of rows.
    """

    name: str
    kind: Kind
    goal: tuple[float, float] = (0.06, 0.15)
    reach: float = 2.0
    confidence: tuple[float, float] = (0.93, 0.8)
    parameters: Sequence[tuple[float, float, float]] = ()
    trees: int = 160
    leaves: int = 31
    leaf_rows: int = 0

    @abstractmethod
    def read(self, gpu: Gpu) -> list[Samples]:
        """The tables of this GPU; one entry for each model to train."""

    @abstractmethod
    def estimate(self, gpu: Gpu, parameters: Sequence[Node]) -> Node:
        """The analytic estimate in seconds, as a formula of the raw inputs."""

    @abstractmethod
    def features(self, gpu: Gpu, estimate: Node) -> list[Node]:
        """What the ratio of the measured duration to the estimate may depend on."""


def ceiling(gpu: Gpu, name: str) -> float:
    """A figure of the catalogue."""
    return float(gpu.values[name])


def smooth_max(a: Node, b: Node) -> Node:
    """About the larger one; up to a fifth more where both are equal, as overlap is never perfect."""
    square_a, square_b = a * a, b * b
    return exp2(log2(square_a * square_a + square_b * square_b) * 0.25)
