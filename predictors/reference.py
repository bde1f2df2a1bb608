"""Asking model files from Python: the rules of the format, one piece of work at a time.

`native/cost` follows the same rules; tests hold both against each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from revati.predictors.kinds import INPUTS, Kind
from revati.predictors.model_file import LEAF, Points, Record, TrainedModel
from revati.predictors.program import evaluate

_SMALLEST = 2.0**-20


@dataclass(frozen=True)
class Answer:
    """A duration, and where it comes from.

    Attributes:
        seconds: Of the kernels, without launch gaps.
        source: "measured" or "model".
        confidence: 0..1; the relative error to expect is about 1 - confidence.
        outside: Octaves outside of the model's range.
        record: Name of the record that answered.
    """

    seconds: float
    source: str
    confidence: float
    outside: float
    record: str


def ask(
    records: Sequence[Record], kind: Kind, inputs: Mapping[str, float], engine: str = ""
) -> Answer | None:
    """The first answer in the order of the format; None if no record knows such work in this range.

    Args:
        records: Of a file, or of several, the preferred file first.
        kind: Of work.
        inputs: By name; what is not named is 0.
        engine: Of the session, "vllm" or "sglang"; its own kernels are preferred.
    """
    values = np.array([float(inputs.get(name, 0.0)) for name in INPUTS[kind]])
    for record in sorted(records, key=lambda record: _rank(record, engine)):
        header = record.header
        if header.kind != kind:
            continue
        if not all(chosen.low <= values[chosen.index] <= chosen.high for chosen in header.selectors):
            continue
        answer = _measured(record, values) if isinstance(record, Points) else _modelled(record, values)
        if answer is not None:
            return answer
    return None


def _rank(record: Record, engine: str) -> tuple[bool, int]:
    own = record.header.engine
    return isinstance(record, TrainedModel), 0 if own == engine and own else 1 if not own else 2


def _measured(points: Points, values: npt.NDArray[np.float64]) -> Answer | None:
    wanted = values[list(points.columns)]
    low, high = 0, len(points.seconds)
    while low < high:
        middle = (low + high) // 2
        if tuple(points.keys[middle]) < tuple(wanted):
            low = middle + 1
        else:
            high = middle
    if low == len(points.seconds) or not np.array_equal(points.keys[low], wanted):
        return None
    header = points.header
    return Answer(float(points.seconds[low]), "measured", header.confidence_inside, 0.0, header.name)


def _modelled(model: TrainedModel, values: npt.NDArray[np.float64]) -> Answer | None:
    registers = [
        float(column[0])
        for column in evaluate(model.constants, model.instructions, list(values.reshape(-1, 1)))
    ]
    features = [registers[index] for index in model.features]
    needed = [registers[model.base], *features]
    needed += [registers[limit.index] for limit in model.limits]
    needed += [registers[curve.register] for curve in model.curves]
    if not all(map(math.isfinite, needed)):
        return None
    outside = 0.0
    for limit in model.limits:
        value, low, high = (max(x, _SMALLEST) for x in (registers[limit.index], limit.low, limit.high))
        outside = max(outside, math.log2(value / high), math.log2(low / value))
    if outside > model.reach:
        return None
    total = model.intercept + _walk(model, np.array(features, np.float32))
    for curve in model.curves:
        total += float(np.interp(registers[curve.register], curve.x, curve.y))
    seconds = registers[model.base] * 2.0 ** min(max(total, model.lowest), model.highest)
    if not (math.isfinite(seconds) and seconds > 0):
        return None
    header = model.header
    confidence = header.confidence_inside if outside <= _SMALLEST else header.confidence_outside
    return Answer(seconds, "model", confidence, outside, header.name)


def _walk(model: TrainedModel, features: npt.NDArray[np.float32]) -> float:
    total = 0.0
    value, feature, right = (model.nodes[name] for name in ("value", "feature", "right"))
    for root in model.roots:
        node = root
        while feature[node] != LEAF:
            node += 1 if features[feature[node]] <= value[node] else int(right[node])
        total += float(value[node])
    return total
