"""The estimator as an object: memo, threads, malformed input."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from revati import _native, catalogue

CONF = catalogue.get("h200-sxm").device_conf(1)


def test_the_memo_answers_what_a_fresh_estimator_answers(estimator: _native.Estimator) -> None:
    rng = random.Random(7)
    shapes = [(rng.randrange(1, 5000), rng.randrange(1, 5000), rng.randrange(1, 5000)) for _ in range(3000)]
    first = [estimator.gemm(*shape) for shape in shapes]
    assert [estimator.gemm(*shape) for shape in shapes] == first
    fresh = _native.Estimator(catalogue.get("h100-sxm").device_conf(1))
    assert [fresh.gemm(*shape) for shape in reversed(shapes)] == first[::-1]


def test_the_memo_tells_neighbours_apart(estimator: _native.Estimator) -> None:
    assert estimator.gemm(64, 128, 8192)[0] != estimator.gemm(64, 8192, 8192)[0]
    base = estimator.gemm(4096, 4096, 4096)
    assert estimator.gemm(4096, 4096, 4096, batch=2) != base
    assert estimator.gemm(4096, 4096, 4096, a="f8e4m3", b="f8e4m3") != base
    assert estimator.attention([1, 1], [4000, 100], 32, 8) != estimator.attention([1, 1], [4000, 8000], 32, 8)
    assert estimator.attention([1], [30000], 32, 8) != estimator.attention(
        [1], [30000], 32, 8, kv_dtype="f8e4m3"
    )
    assert estimator.by_bytes("norm", 1000)[2] == "norm"
    assert estimator.by_bytes("elementwise", 1000)[2] == "elementwise"


def test_threads_agree(estimator: _native.Estimator) -> None:
    shapes = [(m, n, 1024) for m in range(1, 200, 7) for n in range(64, 4096, 256)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: [estimator.gemm(*shape) for shape in shapes], range(8)))
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ("", "missing"),
        ("gpus = x\n", "gpus"),
        (CONF.replace("gpu.sm_count = 132", "gpu.sm_count = many"), "sm_count"),
        (CONF.replace("gpu.l2_bytes", "gpu.l2_byte"), "l2_byte"),
        (CONF.replace("gpu.memory_bandwidth = ", "gpu.memory_bandwidth = -"), "memory_bandwidth"),
        (CONF + "nonsense\n", "nonsense"),
    ],
)
def test_a_malformed_device_conf_is_named(conf: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.Estimator(conf)


def test_malformed_questions_are_refused(estimator: _native.Estimator) -> None:
    with pytest.raises(ValueError, match="unknown dtype"):
        estimator.gemm(1, 1, 1, a="float")
    with pytest.raises(ValueError, match="m must be at least 1"):
        estimator.gemm(0, 1, 1)
    with pytest.raises(ValueError, match="one entry per sequence"):
        estimator.attention([1], [1, 2], 8, 8)
    with pytest.raises(ValueError, match="unknown copy"):
        estimator.copy("sideways", 1)
    with pytest.raises(ValueError, match="unknown family"):
        estimator.by_bytes("magic", 1)
