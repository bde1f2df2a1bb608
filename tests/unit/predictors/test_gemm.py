"""Products in fp8: the tiles that vLLM's library takes."""

from __future__ import annotations

import pytest
from revati.predictors import program
from revati.predictors.families import gemm
from revati.predictors.kinds import Kind
from revati.predictors.samples import columns

from revati import catalogue


@pytest.mark.parametrize(
    ("m", "n", "tile"),
    [
        (1, 4096, (16, 64)),
        (16, 64, (16, 64)),
        (17, 1280, (16, 64)),
        (17, 1281, (64, 64)),
        (64, 4096, (64, 64)),
        (65, 1280, (64, 128)),
        (128, 4096, (64, 128)),
        (129, 128, (128, 128)),
        (8192, 8192, (128, 128)),
    ],
)
def test_hopper_tiles(m: int, n: int, tile: tuple[int, int]) -> None:
    compiled = program.compile_formulas(Kind.GEMM, list(gemm._hopper_tile()))
    registers = compiled.registers(columns(Kind.GEMM, 1, {"m": m, "n": n, "k": 1024}))
    assert tuple(int(registers[index][0]) for index in compiled.outputs) == tile


def test_only_hopper_has_hopper_tiles() -> None:
    family = gemm.ScaledGemm()
    counts = {}
    for name in ("h100-sxm", "l40s"):
        gpu = catalogue.get(name)
        counts[name] = len(family.features(gpu, family.estimate(gpu, [program.const(1.0)] * 3)))
    assert counts["h100-sxm"] == counts["l40s"] + 7 <= 64
