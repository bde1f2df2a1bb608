"""Training of one model: fit the analytic estimate, then trees for the ratio that remains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from revati.predictors import program
from revati.predictors.families.base import Family
from revati.predictors.kinds import INPUTS
from revati.predictors.model_file import LEAF, NODE, Header, Interval, TrainedModel
from revati.predictors.program import Column
from revati.predictors.samples import Samples

from revati.catalogue.gpu import Gpu

_FIT_ROWS = 4000  # enough for three to six parameters


@dataclass(frozen=True)
class Fitted:
    """A trained model in the form that predicts many rows quickly."""

    family: Family
    program: program.Program
    regressor: Any  # sklearn's; None for a family without trees
    ratio_bounds: tuple[float, float]

    def part_seconds(self, part: list[Column] | Any) -> Column:
        """Predicted seconds of one launch per row."""
        registers = self.program.registers(part)
        outputs = [registers[index] for index in self.program.outputs]
        low, high = self.ratio_bounds
        return np.asarray(outputs[0] * np.exp2(np.clip(self._ratio(outputs[1:]), low, high)))

    def seconds(self, samples: Samples) -> Column:
        """Predicted seconds of each row, its parts together."""
        return np.asarray(np.sum([self.part_seconds(part) for part in samples.parts], axis=0))

    def _ratio(self, features: list[Column]) -> Column:
        if self.regressor is None:
            return np.zeros(len(features[0]) if features else 1)
        matrix = np.stack(features, axis=1).astype(np.float32)
        return np.asarray(self.regressor.predict(matrix), np.float64)


def fit(family: Family, gpu: Gpu, samples: Samples) -> Fitted:
    """Trains on all rows of `samples`."""
    parameters = _fit_estimate(family, gpu, samples)
    estimate = family.estimate(gpu, [program.const(value) for value in parameters])
    compiled = program.compile_formulas(family.kind, [estimate, *family.features(gpu, estimate)])
    estimates, matrices = [], []
    for part in samples.parts:
        registers = compiled.registers(part)
        estimates.append(registers[compiled.outputs[0]])
        features = [registers[index] for index in compiled.outputs[1:]]
        matrices.append(np.stack(features, axis=1) if features else np.zeros((len(samples), 0)))
    ratio = np.log2(samples.seconds / np.sum(estimates, axis=0))
    # Launches that were timed together share the ratio of the whole.
    matrix = np.concatenate(matrices).astype(np.float32)
    target = np.tile(ratio, len(samples.parts))
    assert np.isfinite(matrix).all(), f"{samples.name}: a feature is not finite"
    regressor = _trees(family, matrix, target) if family.trees else None
    margin = 0.25
    bounds = (
        float(np.floor((target.min() - margin) * 8) / 8),
        float(np.ceil((target.max() + margin) * 8) / 8),
    )
    return Fitted(family, compiled, regressor, bounds)


def _trees(family: Family, matrix: npt.NDArray[np.float32], target: Column) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 (the training extra)

    regressor = HistGradientBoostingRegressor(
        max_iter=family.trees,
        learning_rate=0.1,
        max_leaf_nodes=family.leaves,
        min_samples_leaf=family.leaf_rows or max(8, min(20, len(target) // 200)),
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    )
    return regressor.fit(matrix, target)


def _fit_estimate(family: Family, gpu: Gpu, samples: Samples) -> list[float]:
    """The parameters with the least absolute error in the logarithm; two significant digits of them."""
    from scipy.optimize import least_squares  # noqa: PLC0415 (the training extra)

    step = max(1, len(samples) // _FIT_ROWS)
    few = samples.take(np.arange(0, len(samples), step))
    measured = np.log2(few.seconds)

    def error(values: npt.NDArray[np.float64]) -> Column:
        node = family.estimate(gpu, [program.const(float(value)) for value in values])
        compiled = program.compile_formulas(family.kind, [node])
        total = np.sum([compiled.registers(part)[compiled.outputs[0]] for part in few.parts], axis=0)
        return np.asarray(np.log2(total) - measured)

    if not family.parameters:
        return []
    start, low, high = (np.array(column, np.float64) for column in zip(*family.parameters, strict=True))
    best = least_squares(
        error, start, bounds=(low, high), loss="soft_l1", f_scale=0.1, x_scale=high - low, max_nfev=60
    )
    # Few digits: the last bits of an optimum differ between processors, and with them every byte of the model would.
    return [float(f"{value:.2g}") for value in best.x]


def export(fitted: Fitted, samples: Samples, gpu: Gpu) -> TrainedModel:
    """The model as the file format has it."""
    family = fitted.family
    roots, nodes, intercept = _export_trees(fitted.regressor)
    names = INPUTS[family.kind]
    limits = []
    for name in samples.limits:
        index = names.index(name)
        low = min(float(part[index].min()) for part in samples.parts)
        high = max(float(part[index].max()) for part in samples.parts)
        limits.append(Interval(index, low, high))
    notes = {"gpu": gpu.name, "rows": str(len(samples)), **samples.notes}
    notes["gap_ns"] = str(gpu.values["graph_kernel_gap_ns"])
    header = Header(
        family.kind,
        samples.name,
        samples.engine,
        samples.header_selectors(),
        tuple(sorted(notes.items())),
        *family.confidence,
    )
    compiled = fitted.program
    return TrainedModel(
        header,
        family.reach,
        tuple(limits),
        compiled.constants,
        compiled.instructions,
        compiled.outputs[0],
        intercept,
        *fitted.ratio_bounds,
        (),
        compiled.outputs[1:] if len(roots) else (),
        roots,
        nodes,
    )


def _export_trees(regressor: Any) -> tuple[tuple[int, ...], npt.NDArray[np.void], float]:
    if regressor is None:
        return (), np.zeros(0, NODE), 0.0
    roots: list[int] = []
    trees: list[npt.NDArray[np.void]] = []
    size = 0
    # sklearn keeps its trees in private attributes; pyproject.toml pins the version that this is written for.
    for (predictor,) in regressor._predictors:
        tree = _preorder(predictor.nodes)
        roots.append(size)
        trees.append(tree)
        size += len(tree)
    return tuple(roots), np.concatenate(trees), float(np.ravel(regressor._baseline_prediction)[0])


def _preorder(nodes: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """A tree with each left child right behind its parent."""
    result = np.zeros(len(nodes), NODE)
    position = 0

    def place(index: int) -> None:
        nonlocal position
        node, here = nodes[index], position
        position += 1
        if node["is_leaf"]:
            result[here] = (node["value"], LEAF, 0)
            return
        place(int(node["left"]))
        right = position - here
        place(int(node["right"]))
        result[here] = (_round_down(float(node["num_threshold"])), int(node["feature_idx"]), right)

    place(0)
    return result


def _round_down(threshold: float) -> np.float32:
    """The largest f32 that is not above it: for f32 values, `<=` decides the same with both."""
    rounded = np.float32(threshold)
    return rounded if float(rounded) <= threshold else np.nextafter(rounded, np.float32(-np.inf))
