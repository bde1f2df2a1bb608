"""The file format: what is written is read back, and what is malformed is refused with a reason."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")

from revati.predictors import model_file, program, reference  # noqa: E402
from revati.predictors.kinds import Kind  # noqa: E402
from revati.predictors.model_file import LEAF, NODE, Curve, Header, Interval, ModelFileError  # noqa: E402


def _trained() -> model_file.TrainedModel:
    m, n, k = (program.raw(name) for name in ("m", "n", "k"))
    compiled = program.compile_formulas(Kind.GEMM, [m * n * k * 2.0 / 1e15 + 1e-6, program.log2(m)])
    nodes = np.zeros(5, NODE)
    nodes["feature"] = [0, LEAF, 0, LEAF, LEAF]
    nodes["value"] = [3.0, 0.5, 6.0, -0.5, 1.0]
    nodes["right"] = [2, 0, 2, 0, 0]
    return model_file.TrainedModel(
        Header(Kind.GEMM, "gemm.test", "vllm", (Interval(4, 4, 5),), (("table", "none"),), 0.9, 0.5),
        2.0,
        (Interval(0, 1, 4096),),
        compiled.constants,
        compiled.instructions,
        compiled.outputs[0],
        0.25,
        -2.0,
        2.0,
        (Curve(compiled.outputs[1], (0.0, 12.0), (0.0, 0.5)),),
        compiled.outputs[1:],
        (0,),
        nodes,
    )


def _points() -> model_file.Points:
    header = Header(Kind.GEMM, "measured", "", confidence_inside=0.97)
    return model_file.Points(header, (0, 1), np.array([[1.0, 2.0], [16.0, 3.0]]), np.array([1e-6, 2e-6]))


def _file() -> bytes:
    return model_file.pack([_trained(), _points()])


def _resealed(data: bytes) -> bytes:
    """With a matching checksum and size: what a hostile writer would send."""
    body = bytes(data[32:])
    head = struct.pack("<8sIIQ", bytes(data[:8]), 1, zlib.crc32(body), len(body) + 32)
    return head + bytes(data[24:32]) + body


def test_round_trip_gives_the_same_bytes() -> None:
    data = _file()
    assert model_file.pack(model_file.unpack(data, "x")) == data


def test_trees_curves_and_clamps() -> None:
    inputs = {"m": 16.0, "n": 64.0, "k": 32.0, "a_dtype": 5.0}
    answer = reference.ask([_trained()], Kind.GEMM, inputs)
    assert answer is not None
    expected = (16 * 64 * 32 * 2 / 1e15 + 1e-6) * 2 ** (0.25 - 0.5 + 0.5 * 4 / 12)
    assert answer.seconds == pytest.approx(expected, rel=1e-12)
    assert (answer.source, answer.confidence) == ("model", pytest.approx(0.9))  # type: ignore[comparison-overlap]


def test_range_reach_and_selectors() -> None:
    inputs = {"n": 64.0, "k": 32.0, "a_dtype": 5.0}
    near = reference.ask([_trained()], Kind.GEMM, {**inputs, "m": 8192.0})
    assert near is not None
    assert (near.outside, near.confidence) == (1.0, pytest.approx(0.5))  # type: ignore[comparison-overlap]
    assert reference.ask([_trained()], Kind.GEMM, {**inputs, "m": 4096.0 * 5}) is None
    assert reference.ask([_trained()], Kind.GEMM, {**inputs, "m": 16.0, "a_dtype": 6.0}) is None
    assert reference.ask([_trained()], Kind.MOE, {}) is None


def test_measured_points_come_first() -> None:
    inputs = {"m": 16.0, "n": 3.0, "k": 32.0, "a_dtype": 5.0}
    answer = reference.ask([_trained(), _points()], Kind.GEMM, inputs)
    assert answer is not None
    assert (answer.seconds, answer.source) == (2e-6, "measured")


def test_every_truncation_is_refused() -> None:
    data = _file()
    for length in range(len(data)):
        with pytest.raises(ModelFileError):
            model_file.unpack(data[:length], "cut.rvm")
        if length >= 32:
            with pytest.raises(ModelFileError):
                model_file.unpack(_resealed(data[:length]), "cut.rvm")


def test_every_damaged_byte_is_noticed() -> None:
    data = bytearray(_file())
    for position in range(len(data)):
        data[position] ^= 0x40
        with pytest.raises(ModelFileError, match=r"damaged\.rvm"):
            model_file.unpack(bytes(data), "damaged.rvm")
        data[position] ^= 0x40


def test_hostile_files_give_an_error_or_a_usable_model() -> None:
    """Random edits under a valid checksum: refused, or readable and harmless to ask."""
    generator = random.Random(20261121)
    original, refused = _file(), 0
    for _ in range(3000):
        data = bytearray(original)
        for _ in range(generator.randint(1, 4)):
            position = generator.randrange(32, len(data))
            data[position] = generator.choice((0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256)))
        if generator.random() < 0.2:
            del data[generator.randrange(32, len(data)) :]
        try:
            records = model_file.unpack(_resealed(bytes(data)), "hostile.rvm")
        except ModelFileError:
            refused += 1
            continue
        for kind in Kind:
            answer = reference.ask(records, kind, {"m": 16.0, "n": 64.0, "k": 32.0, "a_dtype": 5.0})
            assert answer is None or 0 < answer.seconds < float("inf")
    assert refused > 1000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not start like one"),
        (b"\x80\x04cos\nsystem\n(S'echo'\ntR." + bytes(64), "does not start like one"),
        (_file()[:8] + struct.pack("<I", 2) + _file()[12:], "version 2"),
        (_file() + b"\0", "cut off or appended"),
    ],
)
def test_reasons(data: bytes, reason: str) -> None:
    with pytest.raises(ModelFileError, match=reason):
        model_file.unpack(data, "x.rvm")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"nothing\.rvm: cannot be read"):
        model_file.read(tmp_path / "nothing.rvm")
