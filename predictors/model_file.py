"""The file format of trained models and measured points: `revati profile train` writes it, `native/cost` reads it.

One file describes one GPU. Everything is little-endian; `f32`/`f64` are IEEE 754; `str` is a u16 length and that
many bytes of UTF-8. A file holds data only: its formulas are straight-line arithmetic without loops, jumps or
memory, so that reading a stranger's file cannot run code.

File::

    0   char[8]  "RVTMODEL"
    8   u32      version, 1
    12  u32      CRC-32 (IEEE, as zlib) of every byte from 32 to the end
    16  u64      size of the file in bytes
    24  u32      number of records, at most 1024
    28  u32      0
    32  records, back to back

Record (starts on an 8-byte boundary of the file)::

    u32   bytes of the record, this field and the padding at its end included; a multiple of 8
    u16   kind of work (`Kind`), which fixes the raw inputs and their order (`kinds.INPUTS`)
    u16   type: 1 trained model, 2 measured points
    str   name, e.g. "gemm.bf16"
    str   engine whose kernels were timed: "vllm", "sglang", or "" for any
    u16   number of notes, then for each: str key, str value      (provenance, for people)
    f32   confidence inside the range, f32 confidence outside it
    u16   number of selectors, then for each: u16 input, f64 low, f64 high

A record applies to a piece of work when every selected input lies within [low, high]. Records are asked in this
order: points before models; then those of the session's engine, those for any engine, those of other engines; then
as they stand in the file. The first that answers wins.

The rest of a trained model (type 1)::

    f64   reach, in octaves
    u16   number of limits, then for each: u16 register, f64 low, f64 high
    u16   number of constants, then f64 each
    u16   number of instructions, then for each: u8 operation, u8 0, u16 a, u16 b
    u16   register of the base (seconds)
    f64   intercept, f64 lowest sum, f64 highest sum            (all log2 of a ratio to the base)
    u16   number of curves, then for each: u16 register, u16 points (2..256), f64 x[], f64 y[]
          (x strictly increasing)
    u16   number of features, then u16 register each
    u32   number of trees, then u32 index of each tree's root   (the first is 0, strictly increasing)
    u32   number of nodes
    ...   zero bytes up to the next 8-byte boundary of the file
    nodes of 8 bytes: f32 value, u16 feature, u16 right

*Registers* are the raw inputs, then the constants, then the result of each instruction; an instruction may use only
registers before its own. Operations (a, b are f64): 0 a+b, 1 a-b, 2 a*b, 3 a/b, 4 min(a,b), 5 max(a,b), 6 ceil(a),
7 floor(a), 8 log2(a), 9 exp2(a), 10 sqrt(a), 11 a<=b ? 1 : 0. Unary ones ignore b, which is 0.

*Trees*: the feature values are rounded to f32. At a node with feature < number of features: go to the next node if
value[feature] <= node.value, else to node + right. A node whose feature is 0xFFFF is a leaf and adds node.value to
the sum; its `right` is 0. 1 < right, and a child lies within its own tree: a walk only goes forward.
*Curves*: linear interpolation of y at the register's value, the end values beyond the ends; added to the sum.

    sum = intercept + leaves (in the order of the trees) + curves (in their order)      (f64)
    duration_s = base * exp2(min(max(sum, lowest), highest))

*Range*: outside = the largest, over the limits, of log2(value / high) and log2(low / value) (a value below 2^-20
counts as 2^-20, in the limits as well), at least 0. Up to 2^-20 the answer has the confidence inside; up to `reach`
octaves it is still the model's, with the confidence outside; beyond, the model does not answer. Nor does it when
the base, a feature, a limit's or a curve's register, or the duration is not finite, or the duration not positive.

The rest of measured points (type 2)::

    u16   number of columns, then u16 input each (strictly increasing)
    u32   number of rows
    ...   zero bytes up to the next 8-byte boundary of the file
    f64   keys[rows][columns], rows strictly increasing in lexicographic order
    f64   seconds[rows]

A row answers when the columns' inputs equal its key exactly.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from revati.predictors.kinds import INPUTS, Kind

from revati.errors import RevatiError

MAGIC = b"RVTMODEL"
VERSION = 1
HEADER = struct.Struct("<8sIIQII")

MAX_FILE_BYTES = 64 << 20
MAX_RECORDS = 1024
MAX_STRING = 4096
MAX_NOTES = 64
MAX_SELECTORS = 64
MAX_LIMITS = 64
MAX_CONSTANTS = 512
MAX_INSTRUCTIONS = 1024
MAX_CURVES = 64
MAX_CURVE_POINTS = 256
MAX_FEATURES = 64
MAX_TREES = 4096
MAX_NODES = 4_000_000
MAX_ROWS = 4_000_000

LEAF = 0xFFFF
NODE = np.dtype([("value", "<f4"), ("feature", "<u2"), ("right", "<u2")])

UNARY = frozenset({6, 7, 8, 9, 10})
LAST_OPERATION = 11


class ModelFileError(RevatiError):
    """A model file is malformed, damaged or of another version; the message names the file and what to do."""


@dataclass(frozen=True)
class Interval:
    """`low` <= an input or a register <= `high`."""

    index: int
    low: float
    high: float


@dataclass(frozen=True)
class Instruction:
    """One step of straight-line arithmetic on registers `a` and `b`."""

    operation: int
    a: int
    b: int = 0


@dataclass(frozen=True)
class Curve:
    """A piecewise linear function of one register."""

    register: int
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Header:
    """What trained models and measured points have in common."""

    kind: Kind
    name: str
    engine: str
    selectors: tuple[Interval, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    confidence_inside: float = 0.9
    confidence_outside: float = 0.6


@dataclass(frozen=True)
class TrainedModel:
    """base * exp2(intercept + trees + curves), with the range it was trained on."""

    header: Header
    reach: float
    limits: tuple[Interval, ...]
    constants: tuple[float, ...]
    instructions: tuple[Instruction, ...]
    base: int
    intercept: float
    lowest: float
    highest: float
    curves: tuple[Curve, ...]
    features: tuple[int, ...]
    roots: tuple[int, ...]
    nodes: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, NODE))


@dataclass(frozen=True)
class Points:
    """Measured durations, looked up exactly."""

    header: Header
    columns: tuple[int, ...]
    keys: npt.NDArray[np.float64]  # [rows, columns]
    seconds: npt.NDArray[np.float64]  # [rows]


Record = TrainedModel | Points


class _Writer:
    """Collects bytes; `offset` is where they will stand in the file, which alignment depends on."""

    def __init__(self, offset: int) -> None:
        self.start = offset
        self.data = bytearray()

    def pack(self, layout: str, *values: float) -> None:
        self.data += struct.pack("<" + layout, *values)

    def text(self, value: str) -> None:
        raw = value.encode()
        if len(raw) > MAX_STRING:
            raise ValueError(f"string of {len(raw)} bytes")
        self.pack("H", len(raw))
        self.data += raw

    def intervals(self, intervals: Sequence[Interval]) -> None:
        self.pack("H", len(intervals))
        for interval in intervals:
            self.pack("Hdd", interval.index, interval.low, interval.high)

    def align(self) -> None:
        self.data += bytes(-(self.start + len(self.data)) % 8)


def pack(records: Sequence[Record]) -> bytes:
    """The bytes of a file with these records, in their order. The same records give the same bytes."""
    body = bytearray()
    for record in records:
        writer = _Writer(HEADER.size + len(body))
        writer.pack("I", 0)
        _write_header(writer, record)
        if isinstance(record, TrainedModel):
            _write_trained(writer, record)
        else:
            _write_points(writer, record)
        writer.align()
        struct.pack_into("<I", writer.data, 0, len(writer.data))
        body += writer.data
    size = HEADER.size + len(body)
    data = HEADER.pack(MAGIC, VERSION, zlib.crc32(body), size, len(records), 0) + bytes(body)
    unpack(data, "the new file")  # what cannot be read back is never written
    return data


def _write_header(writer: _Writer, record: Record) -> None:
    header = record.header
    writer.pack("HH", header.kind, 1 if isinstance(record, TrainedModel) else 2)
    writer.text(header.name)
    writer.text(header.engine)
    writer.pack("H", len(header.notes))
    for key, value in header.notes:
        writer.text(key)
        writer.text(value)
    writer.pack("ff", header.confidence_inside, header.confidence_outside)
    writer.intervals(header.selectors)


def _write_trained(writer: _Writer, model: TrainedModel) -> None:
    writer.pack("d", model.reach)
    writer.intervals(model.limits)
    writer.pack("H", len(model.constants))
    writer.pack(f"{len(model.constants)}d", *model.constants)
    writer.pack("H", len(model.instructions))
    for step in model.instructions:
        writer.pack("BBHH", step.operation, 0, step.a, step.b)
    writer.pack("Hddd", model.base, model.intercept, model.lowest, model.highest)
    writer.pack("H", len(model.curves))
    for curve in model.curves:
        writer.pack("HH", curve.register, len(curve.x))
        writer.pack(f"{len(curve.x)}d", *curve.x)
        writer.pack(f"{len(curve.y)}d", *curve.y)
    writer.pack("H", len(model.features))
    writer.pack(f"{len(model.features)}H", *model.features)
    writer.pack("I", len(model.roots))
    writer.pack(f"{len(model.roots)}I", *model.roots)
    writer.pack("I", len(model.nodes))
    writer.align()
    writer.data += model.nodes.astype(NODE).tobytes()


def _write_points(writer: _Writer, points: Points) -> None:
    writer.pack("H", len(points.columns))
    writer.pack(f"{len(points.columns)}H", *points.columns)
    writer.pack("I", len(points.seconds))
    writer.align()
    writer.data += points.keys.astype("<f8").tobytes() + points.seconds.astype("<f8").tobytes()


class _Reader:
    """Reads within bounds or raises."""

    def __init__(self, data: bytes, name: str, position: int, end: int) -> None:
        self.data, self.name, self.position, self.end = data, name, position, end

    def fail(self, what: str) -> ModelFileError:
        return ModelFileError(
            f"{self.name}: not a usable model file: {what} (near byte {self.position}); "
            "make it again with `revati profile train` or `revati profile import`"
        )

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            raise self.fail(what)

    def take(self, count: int) -> bytes:
        self.check(0 <= count <= self.end - self.position, "it ends in the middle of a record")
        self.position += count
        return self.data[self.position - count : self.position]

    def read(self, layout: str) -> tuple[float, ...]:
        codec = struct.Struct("<" + layout)
        return codec.unpack(self.take(codec.size))

    def number(self, layout: str) -> int:
        return int(self.read(layout)[0])

    def count(self, layout: str, limit: int, what: str) -> int:
        value = self.number(layout)
        self.check(value <= limit, f"{value} {what}, at most {limit} are allowed")
        return value

    def real(self) -> float:
        value = self.read("d")[0]
        self.check(math.isfinite(value), "a number is not finite")
        return value

    def reals(self, count: int) -> tuple[float, ...]:
        return tuple(self.real() for _ in range(count))

    def text(self) -> str:
        raw = self.take(self.count("H", MAX_STRING, "bytes in a string"))
        try:
            value = raw.decode()
        except UnicodeDecodeError:
            raise self.fail("a string is not UTF-8") from None
        self.check(value.isprintable(), "a string has unprintable characters")
        return value

    def intervals(self, limit: int, registers: int, what: str) -> tuple[Interval, ...]:
        intervals = []
        for _ in range(self.count("H", limit, what)):
            interval = Interval(self.number("H"), self.real(), self.real())
            self.check(
                interval.index < registers and interval.low <= interval.high, f"{what}: a bad interval"
            )
            intervals.append(interval)
        return tuple(intervals)

    def align(self) -> None:
        self.check(not any(self.take(-self.position % 8)), "padding is not zero")

    def array(self, dtype: str | np.dtype[np.void], count: int) -> npt.NDArray[Any]:
        kind = np.dtype(dtype)
        return np.frombuffer(self.take(count * kind.itemsize), kind)


def read(path: Path) -> list[Record]:
    """Reads and checks a model file.

    Raises:
        ModelFileError: It cannot be read, is damaged, of another version, or breaks a rule of the format.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelFileError(
                f"{path}: {size} bytes is too large for a model file (at most {MAX_FILE_BYTES})"
            )
        return unpack(path.read_bytes(), str(path))
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error


def unpack(data: bytes, name: str) -> list[Record]:
    """The records of a file's bytes; `name` is what errors call it.

    Raises:
        ModelFileError: The bytes break a rule of the format.
    """
    reader = _Reader(data, name, 0, len(data))
    reader.check(len(data) >= HEADER.size and data[:8] == MAGIC, "it does not start like one")
    _, version, checksum, size, count, reserved = HEADER.unpack(reader.take(HEADER.size))
    if version != VERSION:
        raise ModelFileError(
            f"{name}: model file of version {version}, this Revati reads version {VERSION}; train it again"
        )
    reader.check(
        size == len(data), f"it should have {size} bytes and has {len(data)}: it was cut off or appended to"
    )
    reader.check(
        zlib.crc32(memoryview(data)[HEADER.size :]) == checksum, "its checksum does not match: it was damaged"
    )
    reader.check(
        reserved == 0 and count <= MAX_RECORDS, f"{count} records, at most {MAX_RECORDS} are allowed"
    )
    records: list[Record] = []
    for _ in range(count):
        start = reader.position
        length = reader.number("I")
        reader.check(
            length % 8 == 0 and 8 <= length <= len(data) - start, "a record has an impossible length"
        )
        records.append(_read_record(_Reader(data, name, start + 4, start + length)))
        reader.position = start + length
    reader.check(reader.position == len(data), "there are bytes after the last record")
    return records


def _read_record(reader: _Reader) -> Record:
    kind_number, record_type = reader.number("H"), reader.number("H")
    reader.check(kind_number in list(Kind), f"unknown kind of work {kind_number}")
    kind = Kind(kind_number)
    inputs = len(INPUTS[kind])
    name, engine = reader.text(), reader.text()
    notes = tuple((reader.text(), reader.text()) for _ in range(reader.count("H", MAX_NOTES, "notes")))
    inside, outside = reader.read("ff")
    reader.check(0 <= inside <= 1 and 0 <= outside <= 1, "a confidence lies outside of 0..1")
    selectors = reader.intervals(MAX_SELECTORS, inputs, "selectors")
    header = Header(kind, name, engine, selectors, notes, inside, outside)
    reader.check(record_type in (1, 2), f"unknown record type {record_type}")
    record = (
        _read_trained(reader, header, inputs) if record_type == 1 else _read_points(reader, header, inputs)
    )
    reader.align()
    reader.check(reader.position == reader.end, "a record is longer than its contents")
    return record


def _read_trained(reader: _Reader, header: Header, inputs: int) -> TrainedModel:
    reach = reader.real()
    reader.check(0 <= reach <= 64, "reach lies outside of 0..64")
    # Limits name registers whose number is known only after the program: checked below.
    limits = reader.intervals(MAX_LIMITS, 1 << 16, "limits")
    constants = reader.reals(reader.count("H", MAX_CONSTANTS, "constants"))
    first = inputs + len(constants)
    instructions = _read_program(reader, first)
    registers = first + len(instructions)
    reader.check(all(limit.index < registers for limit in limits), "a limit names an unknown register")
    base = reader.number("H")
    reader.check(base < registers, "the base names an unknown register")
    intercept, lowest, highest = reader.reals(3)
    reader.check(lowest <= highest, "the lowest ratio lies above the highest")
    curves = tuple(_read_curve(reader, registers) for _ in range(reader.count("H", MAX_CURVES, "curves")))
    features = tuple(reader.number("H") for _ in range(reader.count("H", MAX_FEATURES, "features")))
    reader.check(all(register < registers for register in features), "a feature names an unknown register")
    roots = tuple(reader.number("I") for _ in range(reader.count("I", MAX_TREES, "trees")))
    count = reader.count("I", MAX_NODES, "nodes")
    reader.align()
    nodes = reader.array(NODE, count)
    _check_trees(reader, roots, nodes, len(features))
    return TrainedModel(
        header,
        reach,
        limits,
        constants,
        instructions,
        base,
        intercept,
        lowest,
        highest,
        curves,
        features,
        roots,
        nodes,
    )


def _read_program(reader: _Reader, first: int) -> tuple[Instruction, ...]:
    instructions: list[Instruction] = []
    for index in range(reader.count("H", MAX_INSTRUCTIONS, "instructions")):
        operation, zero, a, b = (int(value) for value in reader.read("BBHH"))
        known = operation <= LAST_OPERATION and zero == 0 and (operation not in UNARY or b == 0)
        reader.check(known and max(a, b) < first + index, f"instruction {index} is impossible")
        instructions.append(Instruction(operation, a, b))
    return tuple(instructions)


def _read_curve(reader: _Reader, registers: int) -> Curve:
    register = reader.number("H")
    count = reader.count("H", MAX_CURVE_POINTS, "points of a curve")
    curve = Curve(register, reader.reals(count), reader.reals(count))
    rising = all(a < b for a, b in itertools.pairwise(curve.x))
    reader.check(register < registers and count >= 2 and rising, "a curve is impossible")
    return curve


def _check_trees(reader: _Reader, roots: Sequence[int], nodes: npt.NDArray[np.void], features: int) -> None:
    reader.check((len(roots) == 0) == (len(nodes) == 0), "trees without nodes, or nodes without trees")
    if not roots:
        return
    starts = np.array(roots, np.int64)
    reader.check(
        starts[0] == 0 and bool((np.diff(starts) > 0).all()) and starts[-1] < len(nodes),
        "a tree starts at an impossible node",
    )
    ends = np.repeat(np.append(starts[1:], len(nodes)), np.diff(np.append(starts, len(nodes))))
    index = np.arange(len(nodes))
    leaf = nodes["feature"] == LEAF
    right = nodes["right"].astype(np.int64)
    reader.check(bool(np.isfinite(nodes["value"]).all()), "a node's value is not finite")
    reader.check(bool((leaf | (nodes["feature"] < features)).all()), "a node names an unknown feature")
    inside = (right > 1) & (index + right < ends)
    reader.check(bool(np.where(leaf, right == 0, inside).all()), "a node's child lies outside of its tree")


def _read_points(reader: _Reader, header: Header, inputs: int) -> Points:
    columns = tuple(reader.number("H") for _ in range(reader.count("H", inputs, "columns")))
    rising = all(a < b for a, b in itertools.pairwise(columns))
    reader.check(bool(columns) and rising and columns[-1] < inputs, "impossible columns")
    rows = reader.count("I", MAX_ROWS, "rows")
    reader.align()
    keys = reader.array("<f8", rows * len(columns)).reshape(rows, len(columns)).astype(np.float64)
    seconds = reader.array("<f8", rows).astype(np.float64)
    reader.check(bool(np.isfinite(keys).all()), "a key is not finite")
    reader.check(bool((np.isfinite(seconds) & (seconds > 0)).all()), "a measured duration is not positive")
    ordered = all(tuple(a) < tuple(b) for a, b in itertools.pairwise(keys))
    reader.check(ordered, "measured points are not in order")
    return Points(header, columns, keys, seconds)
