"""Grouped matrix products of a mixture of experts, as Triton's fused kernel computes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from revati.predictors import tables
from revati.predictors.families.base import Family, ceiling, smooth_max
from revati.predictors.kinds import DType, Kind
from revati.predictors.program import Column, Node, at_most, ceil, exp2, floor, log2, maximum, raw
from revati.predictors.samples import Band, Samples, columns

from revati.catalogue.gpu import Gpu

_TOKENS: tuple[Band, ...] = (
    (1, 1),
    (2, 2),
    (4, 4),
    (8, 8),
    (16, 16),
    (32, 48),
    (64, 96),
    (128, 192),
    (256, 384),
    (512, 768),
    (1024, 1536),
    (2048, 3072),
    (4096, 6144),
    (8192, 12288),
    (16384, 16384),
)
# Mildly skewed routing, between the tables' balanced one and their stronger skew: real routers are not balanced.
_ROUTING = "power_law_1.01"


class Moe(Family):
    """One grouped product; the tables time a whole layer, which holds two of them."""

    name = "moe"
    kind = Kind.MOE
    goal = (0.08, 0.2)
    confidence = (0.9, 0.72)
    # Fixed us; shares of the peak FLOPs and of the bandwidth.
    parameters = ((5, 1, 20), (0.5, 0.15, 1.0), (0.7, 0.3, 1.0))

    def read(self, gpu: Gpu) -> list[Samples]:
        """Layers on one rank with all experts, split by tensor parallelism or whole."""
        found = []
        for framework in ("vllm", "sglang"):
            table = tables.read(gpu, "moe", framework, "moe_perf")
            for table_dtype, name in (("bfloat16", "bf16"), ("fp8_block", "fp8_block")):
                if table is None:
                    continue
                triton = np.char.find(table.text("kernel_source").astype(str), "triton") >= 0
                chosen = (
                    triton & (table.text("moe_dtype") == table_dtype) & (table.number("moe_ep_size") == 1)
                )
                rows = table.take(chosen & (table.text("distribution") == _ROUTING))
                if len(rows) > 200:
                    found.append(_samples(gpu, rows, name))
        return found

    def estimate(self, gpu: Gpu, parameters: Sequence[Node]) -> Node:
        """A fixed part, and the larger of computing blocks of rows and reading the experts that got any."""
        fixed, flops_share, share = parameters
        full = max(ceiling(gpu, "fp8_flops"), ceiling(gpu, "bf16_flops"))
        half = ceiling(gpu, "bf16_flops")
        peak = full - (full - half) * at_most(raw("weight_dtype"), float(DType.BF16))
        compute = maximum(raw("rows"), _touched() * 16.0) * raw("n") * raw("k") * 2.0 / (peak * flops_share)
        return fixed * 1e-6 + smooth_max(compute, _bytes() / (share * ceiling(gpu, "memory_bandwidth")))

    def features(self, gpu: Gpu, estimate: Node) -> list[Node]:
        """Rows for each expert, sizes, and waves of blocks."""
        sms = ceiling(gpu, "sm_count")
        rows, n, k = raw("rows"), raw("n"), raw("k")
        each = rows / _touched()
        waves = _touched() * ceil(each / 64.0) * ceil(n / 128.0) / sms
        return [
            log2(estimate),
            log2(rows),
            log2(each),
            log2(n),
            log2(k),
            log2(n / k),
            log2(raw("experts")),
            log2(rows / raw("experts")),
            log2(_touched()),
            log2(_bytes()),
            log2(rows * n * k / _bytes()),
            log2(waves),
            waves - floor(waves),
            log2(ceil(each / 16.0) * 16.0 / each),
        ]


def _touched() -> Node:
    """Experts that get at least one row when rows fall on them at random."""
    experts = raw("experts")
    return experts * (1.0 - exp2(raw("rows") * log2(1.0 - 1.0 / maximum(experts, 1.0001))))


def _bytes() -> Node:
    size = 1.0 + at_most(raw("weight_dtype"), float(DType.BF16))
    activation = 1.0 + at_most(raw("activation_dtype"), float(DType.BF16))
    rows, n, k = raw("rows"), raw("n"), raw("k")
    return _touched() * n * k * size + rows * (k * activation + n * 2.0)


def _samples(gpu: Gpu, table: tables.Table, name: str) -> Samples:
    tokens, hidden, experts, topk = (
        table.number(column) for column in ("num_tokens", "hidden_size", "num_experts", "topk")
    )
    inner = table.number("inter_size") / table.number("moe_tp_size")
    rows = tokens * topk
    fp8 = name == "fp8_block"
    dtype = float(DType.F8E4M3 if fp8 else DType.BF16)
    common: dict[str, Column | float] = {
        "rows": rows,
        "experts": experts,
        "activation_dtype": dtype,
        "weight_dtype": dtype,
    }
    other = tables.streamed_seconds(gpu, rows * inner * 6) + tables.streamed_seconds(
        gpu, (rows + tokens) * hidden * 2
    )
    other = other + 2 * tables.streamed_seconds(gpu, rows * 12)  # sorting the rows by expert
    kernels = 6
    if table.framework == "vllm":
        other = other + tables.streamed_seconds(gpu, tokens * experts * 4)  # choosing the experts
        kernels += 1
    if fp8:
        other = (
            other
            + tables.streamed_seconds(gpu, tokens * hidden * 3)
            + tables.streamed_seconds(gpu, rows * inner * 3)
        )
        kernels += 2
    replays, calls = (1, 5) if table.framework == "vllm" else (10, 1)
    seconds = tables.kernel_seconds(
        table.number("latency"), gpu, replays=replays, calls=calls, kernels=kernels, other=other
    )
    codes = (float(DType.F8E4M3), float(DType.F8E5M2)) if fp8 else (float(DType.F16), float(DType.BF16))
    parts = [
        columns(Kind.MOE, len(rows), {**common, "n": 2 * inner, "k": hidden}),
        columns(Kind.MOE, len(rows), {**common, "n": hidden, "k": inner}),
    ]
    return Samples(
        f"moe.{name}",
        Kind.MOE,
        table.framework,
        parts,
        seconds,
        {"weight_dtype": codes},
        ("rows", "n", "k", "experts"),
        {"tokens": (tokens, _TOKENS)},
        {
            "table": table.source,
            "timed": "a whole layer; both grouped products share its ratio to the estimate",
            "other kernels": "choice of experts, sorting, activation, sum, quantisation, by bytes",
            "routing": _ROUTING,
        },
    )
