"""Dense matrix products: bf16, fp8 with scales per tensor or token, fp8 with scales per block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from revati.predictors import tables
from revati.predictors.families.base import Family, ceiling, smooth_max
from revati.predictors.kinds import DType, Kind
from revati.predictors.program import Column, Node, at_most, ceil, floor, log2, raw
from revati.predictors.samples import Band, Samples, columns

from revati.catalogue.gpu import Gpu

# Whole ranges of tokens, and of output and input features, that are held out in turn.
_M: tuple[Band, ...] = (
    (1, 2),
    (3, 4),
    (5, 8),
    (9, 16),
    (17, 33),
    (48, 65),
    (80, 129),
    (160, 257),
    (512, 513),
    (768, 1025),
    (1280, 2049),
    (2304, 4353),
    (8192, 16384),
    (32768, 32768),
)
_NK: tuple[Band, ...] = (
    (32, 64),
    (128, 256),
    (512, 768),
    (1024, 1536),
    (2048, 2560),
    (3072, 3584),
    (4096, 5120),
    (6144, 7168),
    (8192, 10240),
    (12288, 16384),
    (51200, 65536),
)

_HEADS: tuple[Band, ...] = ((2, 2), (4, 4), (8, 8), (12, 16), (24, 32), (48, 64), (96, 128))

_HOPPER = 9
_BATCHED_REPLAYS = 10.0

# Square tiles and those that libraries use for few tokens or few features.
_TILES = ((128, 128), (128, 256), (256, 128), (64, 128), (192, 128), (128, 192))


class Gemm(Family):
    """One model for each element type; m counts tokens."""

    name = "gemm"
    kind = Kind.GEMM
    # Framework, type in its table, and type in the model's name.
    models: Sequence[tuple[str, str, str]] = (
        ("vllm", "bfloat16", "bf16"),
        ("sglang", "fp8_block", "fp8_block"),
    )
    confidence = (0.95, 0.82)
    # Fixed microseconds; shares of the peak FLOPs and of the bandwidth.
    parameters = ((2.0, 0.5, 8.0), (0.75, 0.3, 1.0), (0.8, 0.4, 1.0))

    def read(self, gpu: Gpu) -> list[Samples]:
        """VLLM's tables where they time kernels, SGLang's where vLLM's were timed without a graph (fp8 blocks)."""
        found = []
        for framework, table_dtype, name in self.models:
            table = tables.read(gpu, "gemm", framework, "gemm_perf")
            if table is not None:
                table = table.take(table.text("gemm_dtype") == table_dtype)
            if table is not None and len(table) > 500:
                found.append(_samples(gpu, table, name))
        return found

    def estimate(self, gpu: Gpu, parameters: Sequence[Node]) -> Node:
        """A fixed part, and the larger of computing and moving."""
        fixed, flops_share, bandwidth_share = parameters
        compute = raw("batch") * raw("m") * raw("n") * raw("k") * 2.0 / (_peak(gpu) * flops_share)
        return fixed * 1e-6 + smooth_max(
            compute, _bytes() / (bandwidth_share * ceiling(gpu, "memory_bandwidth"))
        )

    def features(self, gpu: Gpu, estimate: Node) -> list[Node]:
        """Sizes, intensity, and how well tiles and waves of tiles fill the GPU."""
        m, n, k = raw("m"), raw("n"), raw("k")
        sms = ceiling(gpu, "sm_count")
        outputs = m * n
        waves = [
            log2(ceil(ceil(m / rows) * ceil(n / width) / sms) * (rows * width * sms) / outputs)
            for rows, width in _TILES
        ]
        tiles = ceil(m / 128.0) * ceil(n / 128.0)
        padding = [log2(ceil(m / rows) * rows / m) for rows in (16.0, 64.0, 128.0, 256.0)]
        in_waves = tiles / sms
        return [
            log2(estimate),
            log2(m),
            log2(n),
            log2(k),
            log2(outputs),
            log2(outputs * k),
            log2(_bytes()),
            log2(outputs * k / _bytes()),
            log2(n * k),
            log2(n / k),
            log2(tiles),
            log2(ceil(m / 64.0) * ceil(n / 64.0)),
            in_waves - floor(in_waves),
            *waves,
            *padding,
        ]


class ScaledGemm(Gemm):
    """Fp8 with scales for each token and output feature."""

    name = "gemm_fp8"
    models = (("vllm", "fp8", "fp8"), ("sglang", "fp8", "fp8"))

    def features(self, gpu: Gpu, estimate: Node) -> list[Node]:
        """On Hopper also what follows from the tile that vLLM's library takes for a number of tokens and of outputs."""
        features = super().features(gpu, estimate)
        if gpu.values["compute_major"] != _HOPPER:
            return features
        m, n, k = raw("m"), raw("n"), raw("k")
        sms = ceiling(gpu, "sm_count")
        rows, width = _hopper_tile()
        tiles = ceil(m / rows) * ceil(n / width)
        waves = ceil(tiles / sms)
        return [
            *features,
            log2(tiles),
            tiles / sms - floor(tiles / sms),
            log2(waves),
            log2(waves * (rows * width * sms) / (m * n)),
            log2(waves * k * (rows + width) * sms / _bytes()),
            log2(rows),
            log2(width),
        ]


class BatchedGemm(Gemm):
    """A product for each head, as latent attention has in front of and behind its decode step."""

    name = "gemm_batched"
    confidence = (0.92, 0.75)

    def read(self, gpu: Gpu) -> list[Samples]:
        """Of 128 by 512 and of 512 by 128, in bf16."""
        table = tables.read(gpu, "mla_bmm", "vllm", "mla_bmm_perf")
        if table is None:
            return []
        table = table.take((table.text("bmm_dtype") == "bfloat16") & (table.number("num_heads") >= 2))
        m, heads = table.number("num_tokens"), table.number("num_heads")
        before = table.text("op_name") == "mla_gen_pre"
        n, k = np.where(before, 512.0, 128.0), np.where(before, 128.0, 512.0)
        inputs: dict[str, Column | float] = {"m": m, "n": n, "k": k, "batch": heads}
        inputs |= dict.fromkeys(("a_dtype", "b_dtype", "d_dtype"), float(DType.BF16))
        seconds = tables.kernel_seconds(table.number("latency"), gpu, replays=_BATCHED_REPLAYS)
        half = (float(DType.F16), float(DType.BF16))
        samples = Samples(
            "gemm.batched",
            Kind.GEMM,
            "",
            [columns(Kind.GEMM, len(m), inputs)],
            seconds,
            {"a_dtype": half, "b_dtype": half, "block_scaled": (0, 0), "batch": (2, 1024)},
            ("m", "n", "k", "batch"),
            {"m": (m, _M), "heads": (heads, _HEADS)},
            {"table": table.source, "timed": f"one call in a graph, {_BATCHED_REPLAYS:g} replays"},
        )
        return [samples]

    def features(self, gpu: Gpu, estimate: Node) -> list[Node]:
        """Sizes, and waves of tiles over all products."""
        m, n, k, batch = raw("m"), raw("n"), raw("k"), raw("batch")
        tiles = batch * ceil(m / 128.0) * ceil(n / 128.0)
        in_waves = tiles / ceiling(gpu, "sm_count")
        return [
            log2(estimate),
            log2(m),
            log2(n / k),
            log2(batch),
            log2(batch * m),
            log2(_bytes()),
            log2(tiles),
            log2(ceil(in_waves) / in_waves),
            in_waves - floor(in_waves),
            log2(ceil(m / 64.0) * 64.0 / m),
        ]


def _hopper_tile() -> tuple[Node, Node]:
    """Tokens and outputs of a tile of vLLM's CUTLASS kernels for sm_90.

    From csrc/quantization/w8a8/cutlass/c3x/scaled_mm_sm90_fp8_dispatch.cuh (vLLM, Apache-2.0): 16 x 64 up to 16 tokens, and up
    to 64 where there are at most 1280 outputs; 64 x 64 up to 64 tokens; 64 x 128 up to 128; 128 x 128 beyond.
    """
    m = raw("m")
    few, some, more = at_most(m, 16.0), at_most(m, 64.0), at_most(m, 128.0)
    narrow = at_most(raw("n"), 1280.0)
    rows = 128.0 - 64.0 * more - 48.0 * (few + narrow * (some - few))
    return rows, 128.0 - 64.0 * some


def _bytes() -> Node:
    m, n, k = raw("m"), raw("n"), raw("k")
    return raw("batch") * (m * k * _size("a_dtype") + n * k * _size("b_dtype") + m * n * 2.0)


def _size(name: str) -> Node:
    """Bytes of an element: 2 for f16 and bf16, 1 for both kinds of fp8."""
    return 1.0 + at_most(raw(name), float(DType.BF16))


def _peak(gpu: Gpu) -> Node:
    half, full = ceiling(gpu, "bf16_flops"), max(ceiling(gpu, "fp8_flops"), ceiling(gpu, "bf16_flops"))
    return full - (full - half) * at_most(raw("a_dtype"), float(DType.BF16))


def _samples(gpu: Gpu, table: tables.Table, name: str) -> Samples:
    m, n, k = table.number("m"), table.number("n"), table.number("k")
    other: Column | float = 0.0
    kernels = 1
    notes = {"timed": "6 layers in a graph, 6 replays"}
    if name != "bf16":
        # The layer is timed with the kernel that quantises its input.
        kernels = 2
        other = tables.streamed_seconds(gpu, m * k * 3)
        notes["other kernels"] = "quantisation of the input, by bytes"
    seconds = tables.kernel_seconds(
        table.number("latency"), gpu, replays=6, calls=6, kernels=kernels, other=other
    )
    dtype = DType.BF16 if name == "bf16" else DType.F8E4M3
    inputs: dict[str, Column | float] = {
        "m": m,
        "n": n,
        "k": k,
        "batch": 1.0,
        "a_dtype": float(dtype),
        "b_dtype": float(dtype),
        "d_dtype": float(DType.BF16),
        "block_scaled": float(name == "fp8_block"),
    }
    codes = (
        (float(DType.F16), float(DType.BF16))
        if name == "bf16"
        else (float(DType.F8E4M3), float(DType.F8E5M2))
    )
    scaled = float(name == "fp8_block")
    return Samples(
        f"gemm.{name}",
        Kind.GEMM,
        "" if name == "bf16" else table.framework,
        [columns(Kind.GEMM, len(m), inputs)],
        np.asarray(seconds),
        {"a_dtype": codes, "b_dtype": codes, "block_scaled": (scaled, scaled)},
        ("m", "n", "k", "batch"),
        {"m": (m, _M), "n": (n, _NK), "k": (k, _NK)},
        {"table": table.source, **notes},
    )
