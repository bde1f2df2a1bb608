"""Model files as `native/cost` reads them: right answers, right order, hostile input."""

from __future__ import annotations

import math
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from revati.predictors.kinds import INPUTS, DType, Kind
from revati.predictors.model_file import (
    LEAF,
    NODE,
    Curve,
    Header,
    Instruction,
    Interval,
    Points,
    Record,
    TrainedModel,
    pack,
)

from revati import _native

M, N, K = 0, 1, 2


def constant_model(seconds: float, kind: Kind = Kind.GEMM, engine: str = "", **changes: Any) -> TrainedModel:
    inputs = len(INPUTS[kind])
    model = TrainedModel(
        header=Header(kind, "constant", engine),
        reach=64.0,
        limits=(),
        constants=(seconds,),
        instructions=(),
        base=inputs,
        intercept=0.0,
        lowest=-10.0,
        highest=10.0,
        curves=(),
        features=(),
        roots=(),
    )
    return replace(model, **changes)


def save(path: Path, *records: Record) -> str:
    path.write_bytes(pack(records))
    return str(path)


def test_a_model_answers_before_the_roofline(tmp_path: Path, estimator: _native.Estimator) -> None:
    roofline = estimator.gemm(64, 4096, 4096)
    assert roofline[1] == "roofline"
    estimator.load(save(tmp_path / "m", constant_model(5e-3)))
    assert estimator.gemm(64, 4096, 4096)[:3] == (5_000_000, "model", "gemm")
    assert estimator.by_bytes("norm", 100)[1] == "roofline"


def reference(model: TrainedModel, inputs: list[float]) -> float:
    """The format's words in plain Python."""
    operations: dict[int, Callable[[float, float], float]] = {
        0: lambda a, b: a + b,
        1: lambda a, b: a - b,
        2: lambda a, b: a * b,
        3: lambda a, b: a / b,
        4: min,
        5: max,
        6: lambda a, _: math.ceil(a),
        7: lambda a, _: math.floor(a),
        8: lambda a, _: math.log2(a),
        9: lambda a, _: 2.0**a,
        10: lambda a, _: math.sqrt(a),
        11: lambda a, b: float(a <= b),
    }
    registers = [*inputs, *model.constants]
    for step in model.instructions:
        registers.append(operations[step.operation](registers[step.a], registers[step.b]))
    features = [np.float32(registers[register]) for register in model.features]
    total = model.intercept
    for root in model.roots:
        at = root
        while model.nodes[at]["feature"] != LEAF:
            node = model.nodes[at]
            at += 1 if features[node["feature"]] <= node["value"] else int(node["right"])
        total += float(model.nodes[at]["value"])
    for curve in model.curves:
        total += float(np.interp(registers[curve.register], curve.x, curve.y))
    return float(registers[model.base] * 2.0 ** min(max(total, model.lowest), model.highest))


def full_model() -> TrainedModel:
    """Every operation, two trees, a curve."""
    first = len(INPUTS[Kind.GEMM])
    c = first  # constants 2.0, 1e-9, 132.0
    program = [
        Instruction(2, M, N),  # 0: m n
        Instruction(2, first + 3, K),  # 1: m n k
        Instruction(2, first + 4, c + 1),  # 2: nanoseconds
        Instruction(3, first + 3, c + 2),  # 3
        Instruction(6, first + 6),  # 4 ceil
        Instruction(7, first + 6),  # 5 floor
        Instruction(8, M),  # 6 log2 m
        Instruction(9, c),  # 7 exp2
        Instruction(10, K),  # 8 sqrt
        Instruction(11, M, N),  # 9 m <= n
        Instruction(4, M, K),  # 10
        Instruction(5, M, K),  # 11
        Instruction(0, first + 10, first + 11),  # 12
        Instruction(1, first + 7, first + 8),  # 13
    ]
    nodes = np.array(
        [
            (7.0, 0, 2),
            (0.25, LEAF, 0),
            (1000.5, 1, 2),
            (-0.5, LEAF, 0),
            (0.125, LEAF, 0),
            (0.5, 2, 2),
            (0.0625, LEAF, 0),
            (-0.03125, LEAF, 0),
        ],
        NODE,
    )
    return TrainedModel(
        header=Header(Kind.GEMM, "all", "vllm", (Interval(0, 1, 1e6),), (("made by", "a test"),), 0.9, 0.5),
        reach=2.0,
        limits=(Interval(M, 1, 4096), Interval(first + 3, 1, 1 << 30)),
        constants=(2.0, 1e-9, 132.0),
        instructions=tuple(program),
        base=first + 5,
        intercept=0.1,
        lowest=-0.4,
        highest=0.9,
        curves=(Curve(first + 9, (0.0, 3.0, 9.0), (0.5, -0.2, 0.3)),),
        features=(first + 9, first + 14, first + 12),
        roots=(0, 5),
        nodes=nodes,
    )


def test_every_operation_tree_and_curve(tmp_path: Path, estimator: _native.Estimator) -> None:
    model = full_model()
    estimator.load(save(tmp_path / "m", model), "vllm")
    rng = random.Random(3)
    seen = set()
    for _ in range(2000):
        m, n, k = (rng.randrange(1, 4000) for _ in range(3))
        ns, source, _, confidence = estimator.gemm(m, n, k)
        bf16 = float(DType.BF16)
        expected = reference(model, [m, n, k, 1, bf16, bf16, bf16, 0])
        assert source == "model"
        assert ns == pytest.approx(max(1, round(expected * 1e9)), abs=1)
        assert confidence == pytest.approx(0.9)
        seen.add(ns)
    assert len(seen) > 1500


def test_range_reach_and_selectors(tmp_path: Path, estimator: _native.Estimator) -> None:
    estimator.load(save(tmp_path / "m", full_model()))
    assert estimator.gemm(4096, 1, 8)[3] == pytest.approx(0.9)
    assert estimator.gemm(4097, 1, 8)[3] == pytest.approx(0.5)
    assert estimator.gemm(16384, 1, 8)[1] == "model"
    assert estimator.gemm(16385, 1, 8)[1] == "roofline"
    assert estimator.gemm(1, 1 << 31, 8)[3] == pytest.approx(0.5)
    assert estimator.gemm(1_000_001, 1, 8)[1] == "roofline"


def points(rows: list[tuple[int, int, int]], seconds: list[float], engine: str = "") -> Points:
    return Points(Header(Kind.GEMM, "points", engine), (M, N, K), np.array(rows, float), np.array(seconds))


def test_a_measured_point_answers_before_a_model(tmp_path: Path, estimator: _native.Estimator) -> None:
    rows = [(1, 2, 3), (1, 2, 4), (64, 4096, 4096), (64, 4096, 4097), (500, 1, 1)]
    table = points(rows, [1e-6, 2e-6, 3e-6, 4e-6, 5e-6])
    estimator.load(save(tmp_path / "m", constant_model(1.0), table))
    for index, row in enumerate(rows):
        assert estimator.gemm(*row)[:2] == ((index + 1) * 1000, "measured")
    assert estimator.gemm(64, 4096, 4095)[:2] == (1_000_000_000, "model")
    assert estimator.gemm(501, 1, 1)[1] == "model"


def test_the_sessions_engine_comes_first(
    tmp_path: Path, make_estimator: Callable[[str], _native.Estimator]
) -> None:
    path = save(
        tmp_path / "m",
        constant_model(1e-3, engine="sglang"),
        constant_model(2e-3),
        constant_model(3e-3, engine="vllm"),
    )
    for engine, ns in (("sglang", 1_000_000), ("vllm", 3_000_000), ("", 2_000_000), ("other", 2_000_000)):
        e = make_estimator("h100-sxm")
        e.load(path, engine)
        assert e.gemm(1, 1, 1)[0] == ns


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_an_impossible_answer_is_none(seconds: float, tmp_path: Path, estimator: _native.Estimator) -> None:
    estimator.load(save(tmp_path / "m", constant_model(seconds)))
    assert estimator.gemm(1, 1, 1)[1] == "roofline"
    divided = constant_model(1.0, constants=(1.0, 0.0), instructions=(Instruction(3, 8, 9),), base=10)
    estimator.load(save(tmp_path / "n", divided))
    assert estimator.gemm(1, 1, 1)[1] == "roofline"


def attention_model(kind: Kind, seconds_for_a_key: float) -> TrainedModel:
    inputs = len(INPUTS[kind])
    keys = INPUTS[kind].index("keys")
    program = (Instruction(2, keys, inputs), Instruction(0, inputs + 2, inputs + 1))
    return constant_model(
        1.0, kind, constants=(seconds_for_a_key, 1e-5), instructions=program, base=inputs + 3
    )


def test_attention_is_put_together_from_its_parts(tmp_path: Path, estimator: _native.Estimator) -> None:
    decode, prefill = (
        attention_model(Kind.ATTENTION_DECODE, 1e-9),
        attention_model(Kind.ATTENTION_PREFILL, 1e-8),
    )
    estimator.load(save(tmp_path / "m", decode, prefill))
    assert estimator.attention([1, 1], [1000, 2000], 32, 8)[:2] == (13_000, "model")
    assert estimator.attention([1000], [1000], 32, 8)[0] == 20_000
    mixed = estimator.attention([1, 1, 1000], [1000, 2000, 1000], 32, 8)
    assert mixed[0] == 13_000 + 20_000 - 10_001
    plain, prefix = (
        estimator.attention([1000], [1000], 32, 8)[3],
        estimator.attention([1000], [2000], 32, 8)[3],
    )
    assert mixed[3] == pytest.approx(plain * 0.85)
    assert prefix == pytest.approx(plain * 0.9)
    # Of 5000 keys, a window of 100 leaves those of the first query's and of the ones behind it.
    assert estimator.attention([1], [5000], 32, 8, window=100)[0] == 10_100
    assert estimator.attention([50], [5000], 32, 8, window=100)[0] == 10_000 + 149 * 10


def test_collectives_copies_and_bytes(tmp_path: Path, estimator: _native.Estimator) -> None:
    records = [constant_model(1e-3 * kind, kind) for kind in (Kind.COLLECTIVE, Kind.BYTES, Kind.COPY)]
    estimator.load(save(tmp_path / "m", *records))
    assert estimator.collective("all_reduce", 2, 64)[0] == 5_000_000
    assert estimator.by_bytes("sampler", 64)[0] == 6_000_000
    assert estimator.copy("peer", 64)[0] == 7_000_000


def resealed(data: bytes) -> bytes:
    """With a checksum and a size that match."""
    return data[:12] + struct.pack("<IQ", zlib.crc32(data[32:]), len(data)) + data[24:]


def test_damage_is_noticed(tmp_path: Path, estimator: _native.Estimator) -> None:
    good = pack([full_model()])
    cases = {
        "RVTMODEL": b"",
        "start with RVTMODEL": b"PK" + good[2:],
        "version is 9": good[:8] + struct.pack("<I", 9) + good[12:],
        "checksum": good[:-1] + bytes([good[-1] ^ 1]),
        "size is not": good[:-8],
        "ends in the middle|impossible": resealed(good[:-8]),
        "behind its last": resealed(good + bytes(8)),
    }
    for message, data in cases.items():
        (tmp_path / "m").write_bytes(data)
        with pytest.raises(ValueError, match=message):
            estimator.load(str(tmp_path / "m"))
    with pytest.raises(ValueError, match="cannot be read"):
        estimator.load(str(tmp_path / "missing"))
    assert estimator.gemm(64, 64, 64)[1] == "roofline"


def test_hostile_files_are_refused_or_answer(
    tmp_path: Path, make_estimator: Callable[[str], _native.Estimator]
) -> None:
    good = pack([full_model(), points([(1, 2, 3), (1, 2, 4)], [1e-6, 2e-6])])
    rng = random.Random(11)
    refused = 0
    for _ in range(1200):
        data = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(32, len(data))
            if rng.random() < 0.5:
                data[at] = rng.randrange(256)
            else:
                width = rng.choice((2, 4))
                data[at : at + width] = rng.choice((0, 1, 0x7FFF, 0xFFFF, 0x80000000, 0xFFFFFFFF)).to_bytes(
                    4, "little"
                )[:width]
        if rng.random() < 0.1:
            del data[rng.randrange(32, len(data)) :]
        (tmp_path / "m").write_bytes(resealed(bytes(data)))
        e = make_estimator("h100-sxm")
        try:
            e.load(str(tmp_path / "m"))
        except ValueError as error:
            refused += "not a usable model file" in str(error)
            continue
        for shape in ((1, 2, 3), (4000, 4000, 4000), (1, 1, 1 << 40)):
            assert e.gemm(*shape)[0] > 0
    assert refused > 400
