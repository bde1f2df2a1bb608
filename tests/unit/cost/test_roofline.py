"""Durations are positive, grow with the work, and follow the GPU's ceilings."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from revati import _native, catalogue

Estimate = tuple[int, str, str, float]
SIZES = [1, 2, 7, 8, 16, 33, 64, 100, 128, 256, 300, 512, 1024, 2048, 4096, 8192, 20000]
FAMILIES = [
    "gemm",
    "attention",
    "moe",
    "norm",
    "elementwise",
    "reduce",
    "sampler",
    "embedding",
    "kv_cache",
    "other",
]


def check(estimate: Estimate) -> int:
    ns, source, family, confidence = estimate
    assert ns > 0
    assert source in {"measured", "model", "roofline", "guess"}
    assert family in {*FAMILIES, "copy", "fill", "collective"}
    assert 0 < confidence <= 1
    return ns


def nearly_rising(values: list[int], slack: float = 0.0) -> None:
    for smaller, larger in itertools.pairwise(values):
        assert larger >= smaller * (1 - slack), values


@pytest.mark.parametrize("gpu", sorted(catalogue.gpus()))
def test_every_gpu_answers(gpu: str, make_estimator: Callable[[str], _native.Estimator]) -> None:
    e = make_estimator(gpu)
    for dtype in ("f64", "f32", "tf32", "f16", "bf16", "f8e4m3", "f8e5m2", "f4", "i8"):
        check(e.gemm(128, 4096, 4096, a=dtype, b=dtype))
    check(e.attention([1, 5, 512], [900, 5, 4096], 32, 8))
    for kind in ("host_to_device", "device_to_host", "device_to_device", "peer", "host_to_host"):
        check(e.copy(kind, 1 << 20))
    for kind in (
        "all_reduce",
        "all_gather",
        "reduce_scatter",
        "broadcast",
        "reduce",
        "all_to_all",
        "send",
        "recv",
    ):
        check(e.collective(kind, 2, 1 << 20))
    check(e.fill(0))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gemm_grows_with_every_size(axis: int, estimator: _native.Estimator) -> None:
    rng = random.Random(axis)
    for _ in range(40):
        shape = [rng.choice(SIZES) for _ in range(3)]
        durations = []
        for size in SIZES:
            shape[axis] = size
            durations.append(check(estimator.gemm(shape[0], shape[1], shape[2])))
        nearly_rising(durations)


def test_gemm_grows_with_the_batch(estimator: _native.Estimator) -> None:
    nearly_rising([check(estimator.gemm(64, 128, 512, batch=batch)) for batch in SIZES])


def test_narrower_operands_are_faster(estimator: _native.Estimator) -> None:
    for m in (1, 64, 8192):
        order = [
            check(estimator.gemm(m, 8192, 8192, a=t, b=t)) for t in ("f8e4m3", "bf16", "tf32", "f32", "f64")
        ]
        nearly_rising(order)
        assert order[0] < order[1] < order[2]
    assert (
        estimator.gemm(64, 4096, 4096, a="f8e4m3", b="f8e4m3", block_scaled=True)[0]
        >= (estimator.gemm(64, 4096, 4096, a="f8e4m3", b="f8e4m3")[0])
    )


def test_no_gemm_beats_the_ceilings(estimator: _native.Estimator) -> None:
    gpu = catalogue.get("h100-sxm").values
    rng = random.Random(1)
    for _ in range(500):
        m, n, k = (rng.choice(SIZES) for _ in range(3))
        ns = estimator.gemm(m, n, k)[0]
        assert ns >= 2 * m * n * k / float(gpu["bf16_flops"]) * 1e9
        assert ns >= 2 * (m * k + n * k + m * n) / float(gpu["memory_bandwidth"]) * 1e9


def test_attention_grows_with_keys_queries_and_batch(estimator: _native.Estimator) -> None:
    nearly_rising([check(estimator.attention([1] * 16, [kv] * 16, 32, 8)) for kv in SIZES])
    nearly_rising([check(estimator.attention([q], [20000], 32, 8)) for q in SIZES], slack=0.02)
    # A few more sequences may use the SMs better, hence the slack.
    nearly_rising([check(estimator.attention([1] * b, [2048] * b, 32, 8)) for b in SIZES[:-3]], slack=0.12)
    nearly_rising([check(estimator.attention([512], [512], h, 8)) for h in (8, 16, 32, 64)])


def test_a_window_bounds_attention(estimator: _native.Estimator) -> None:
    full = estimator.attention([1] * 64, [32768] * 64, 64, 8)[0]
    windowed = estimator.attention([1] * 64, [32768] * 64, 64, 8, window=128)[0]
    assert windowed < full / 4
    assert estimator.attention([1] * 64, [100] * 64, 64, 8, window=128) == estimator.attention(
        [1] * 64, [100] * 64, 64, 8
    )


def test_a_mixed_batch_costs_at_least_its_parts(estimator: _native.Estimator) -> None:
    decode = estimator.attention([1] * 64, [3000] * 64, 32, 8)[0]
    prefill = estimator.attention([4096], [4096], 32, 8)[0]
    both = estimator.attention([1] * 64 + [4096], [3000] * 64 + [4096], 32, 8)[0]
    assert max(decode, prefill) < both < decode + prefill


@pytest.mark.parametrize("family", FAMILIES)
def test_bytes_cost_time(family: str, estimator: _native.Estimator) -> None:
    durations = [check(estimator.by_bytes(family, 1 << power)) for power in range(34)]
    nearly_rising(durations)
    assert durations[-1] > (1 << 33) / 3352  # 8 GiB at less than the ceiling


def test_copies_and_collectives_grow(estimator: _native.Estimator) -> None:
    sizes = [0] + [1 << power for power in range(33)]
    for kind in ("host_to_device", "device_to_host", "device_to_device", "peer"):
        nearly_rising([check(estimator.copy(kind, size)) for size in sizes])
    assert estimator.copy("host_to_device", 1 << 26, pinned=False) > estimator.copy("host_to_device", 1 << 26)
    for custom, ranks in itertools.product((False, True), (1, 2, 4, 8)):
        nearly_rising([check(estimator.collective("all_reduce", ranks, size, custom)) for size in sizes])


def test_llama_8b_is_in_the_range_of_real_gpus(make_estimator: Callable[[str], _native.Estimator]) -> None:
    def linears(e: _native.Estimator, tokens: int) -> float:
        layer = sum(
            e.gemm(n, tokens, k)[0] for n, k in ((6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336))
        )
        return (32 * layer + e.gemm(128256, min(tokens, 1), 4096)[0]) / 1e6

    h100, h200 = make_estimator("h100-sxm"), make_estimator("h200-sxm")
    assert 4.7 < linears(h100, 1) < 6.2
    assert 3.4 < linears(h200, 1) < 4.4
    assert 140 < linears(h100, 8192) < 230
    assert linears(h200, 8192) == pytest.approx(linears(h100, 8192), rel=0.05)
