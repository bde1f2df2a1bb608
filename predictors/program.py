"""Formulas: written with Python operators, stored as straight-line arithmetic, evaluated on whole columns.

The same formula serves training (here, on numpy columns) and the emulation (`native/cost`, one value at a time).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from revati.predictors.kinds import INPUTS, Kind
from revati.predictors.model_file import UNARY, Instruction

Column = npt.NDArray[np.float64]

_ADD, _SUB, _MUL, _DIV, _MIN, _MAX, _CEIL, _FLOOR, _LOG2, _EXP2, _SQRT, _LE = range(12)


@dataclass(frozen=True)
class Node:
    """A part of a formula: an input, a constant, or an operation on other parts. Built with operators."""

    operation: int | None
    a: Node | None = None
    b: Node | None = None
    name: str = ""
    value: float = 0.0

    def __add__(self, other: Node | float) -> Node:
        return _binary(_ADD, self, other)

    def __radd__(self, other: float) -> Node:
        return _binary(_ADD, other, self)

    def __sub__(self, other: Node | float) -> Node:
        return _binary(_SUB, self, other)

    def __rsub__(self, other: float) -> Node:
        return _binary(_SUB, other, self)

    def __mul__(self, other: Node | float) -> Node:
        return _binary(_MUL, self, other)

    def __rmul__(self, other: float) -> Node:
        return _binary(_MUL, other, self)

    def __truediv__(self, other: Node | float) -> Node:
        return _binary(_DIV, self, other)

    def __rtruediv__(self, other: float) -> Node:
        return _binary(_DIV, other, self)


def _node(value: Node | float) -> Node:
    return value if isinstance(value, Node) else Node(None, value=float(value))


def _binary(operation: int, a: Node | float, b: Node | float) -> Node:
    return Node(operation, _node(a), _node(b))


def raw(name: str) -> Node:
    """The raw input of that name; see `kinds.INPUTS`."""
    return Node(None, name=name)


def const(value: float) -> Node:
    """A number."""
    return _node(value)


def minimum(a: Node | float, b: Node | float) -> Node:
    """The smaller one."""
    return _binary(_MIN, a, b)


def maximum(a: Node | float, b: Node | float) -> Node:
    """The larger one."""
    return _binary(_MAX, a, b)


def ceil(a: Node) -> Node:
    """The next whole number."""
    return Node(_CEIL, a)


def floor(a: Node) -> Node:
    """The whole part."""
    return Node(_FLOOR, a)


def log2(a: Node) -> Node:
    """Binary logarithm."""
    return Node(_LOG2, a)


def exp2(a: Node) -> Node:
    """Power of two."""
    return Node(_EXP2, a)


def sqrt(a: Node) -> Node:
    """Square root."""
    return Node(_SQRT, a)


def at_most(a: Node | float, b: Node | float) -> Node:
    """1 if a <= b, else 0."""
    return _binary(_LE, a, b)


def log_or_zero(a: Node) -> Node:
    """log2(1 + a): finite at 0."""
    return log2(a + 1.0)


@dataclass(frozen=True)
class Program:
    """Formulas of one kind of work, compiled: registers are the inputs, the constants, then the results."""

    kind: Kind
    constants: tuple[float, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]

    def registers(self, inputs: Sequence[Column]) -> list[Column]:
        """Every register for columns of raw inputs."""
        return evaluate(self.constants, self.instructions, inputs)


def evaluate(
    constants: Sequence[float], instructions: Sequence[Instruction], inputs: Sequence[Column]
) -> list[Column]:
    """Runs the instructions; returns all registers, each as long as the inputs."""
    rows = len(inputs[0])
    registers = [np.asarray(column, np.float64) for column in inputs]
    registers += [np.full(rows, value) for value in constants]
    with np.errstate(all="ignore"):  # what is not finite makes the model decline
        for step in instructions:
            registers.append(_apply(step.operation, registers[step.a], registers[step.b]))
    return registers


def _apply(operation: int, a: Column, b: Column) -> Column:
    match operation:
        case 0:
            return a + b
        case 1:
            return a - b
        case 2:
            return a * b
        case 3:
            return a / b
        case 4:
            return np.minimum(a, b)
        case 5:
            return np.maximum(a, b)
        case 6:
            return np.ceil(a)
        case 7:
            return np.floor(a)
        case 8:
            return np.log2(a)
        case 9:
            return np.exp2(a)
        case 10:
            return np.sqrt(a)
        case 11:
            return (a <= b).astype(np.float64)
    raise ValueError(f"unknown operation {operation}")


def compile_formulas(kind: Kind, formulas: Sequence[Node]) -> Program:
    """Compiles formulas; equal parts are computed once."""
    names = INPUTS[kind]
    constants: dict[float, int] = {}
    order: list[tuple[int, Node]] = []
    seen: dict[int, object] = {}

    def key_of(node: Node) -> object:
        """A value that is equal for equal parts."""
        if id(node) not in seen:
            if node.operation is None:
                seen[id(node)] = ("input", node.name) if node.name else ("constant", node.value)
                if not node.name:
                    constants.setdefault(node.value, len(constants))
            else:
                children = tuple(interned(key_of(child)) for child in (node.a, node.b) if child is not None)
                seen[id(node)] = (node.operation, *children)
                order.append((interned(seen[id(node)]), node))
        return seen[id(node)]

    table: dict[object, int] = {}

    def interned(key: object) -> int:
        return table.setdefault(key, len(table))

    keys = [interned(key_of(node)) for node in formulas]
    place: dict[int, int] = {table[key]: names.index(_second(key)) for key in table if _is(key, "input")}
    place |= {table[key]: len(names) + constants[_second(key)] for key in table if _is(key, "constant")}
    instructions: list[Instruction] = []
    for key_number, node in order:
        if key_number in place:
            continue
        assert node.operation is not None
        assert node.a is not None
        a = place[interned(key_of(node.a))]
        b = place[interned(key_of(node.b))] if node.b is not None else 0
        assert (node.operation in UNARY) == (node.b is None)
        instructions.append(Instruction(node.operation, a, b))
        place[key_number] = len(names) + len(constants) + len(instructions) - 1
    return Program(kind, tuple(constants), tuple(instructions), tuple(place[key] for key in keys))


def _is(key: object, tag: str) -> bool:
    return isinstance(key, tuple) and len(key) == 2 and key[0] == tag


def _second(key: object) -> Any:
    assert isinstance(key, tuple)
    return key[1]
