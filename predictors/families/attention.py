"""Attention over a paged KV cache: prefill and decode, with grouped heads and sliding windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from revati.predictors import tables
from revati.predictors.families.base import Family, ceiling, smooth_max
from revati.predictors.kinds import DType, Kind
from revati.predictors.program import Column, Node, at_most, ceil, floor, log2, maximum, minimum, raw
from revati.predictors.samples import Band, Samples, columns

from revati.catalogue.gpu import Gpu

_BATCH: tuple[Band, ...] = tuple((float(1 << i), float(1 << i)) for i in range(12))
_DECODE_CONTEXT: tuple[Band, ...] = tuple((float(1 << i), float((2 << i) - 1)) for i in range(1, 18))
_PREFILL_CONTEXT: tuple[Band, ...] = (
    (1, 16),
    (32, 32),
    (64, 64),
    (128, 128),
    (256, 256),
    (512, 512),
    (1024, 1024),
    (1536, 2048),
    (3072, 4096),
    (6144, 8192),
    (10240, 12288),
    (16384, 16384),
)
# Replays of the graph between two events, by framework; see `tables`.
_REPLAYS = {"vllm": 6.0, "sglang": 20.0}
_ROWS = 128.0  # query rows (tokens x query heads of one KV head) of a block


class Attention(Family):
    """What decode and prefill share: the tables, and the work in terms of sums over sequences."""

    phase: str
    bands: tuple[Band, ...]
    batches = _BATCH

    def read(self, gpu: Gpu) -> list[Samples]:
        """One model for each framework: they bring their own builds of the kernels."""
        found = []
        for framework, replays in _REPLAYS.items():
            table = tables.read(gpu, "attention", framework, f"{self.phase}_attention_perf")
            if table is not None:
                table = table.take(
                    (table.number("head_dim") <= 256) & (table.text("kernel_source") != "triton")
                )
            if table is not None and len(table) > 500:
                found.append(self._samples(gpu, table, replays))
        return found

    def kv_bytes(self) -> Node:
        """Bytes of the cache that must be read."""
        return raw("keys") * raw("kv_heads") * (raw("head_dim") + raw("v_head_dim")) * _kv_size()

    def _samples(self, gpu: Gpu, table: tables.Table, replays: float) -> Samples:
        decode = self.kind == Kind.ATTENTION_DECODE
        batch, kv_heads, dim = (
            table.number(name) for name in ("batch_size", "num_key_value_heads", "head_dim")
        )
        tokens = np.ones_like(batch) if decode else table.number("isl")
        keys = table.number("step") + 1 if decode else tokens
        fp8 = table.text("kv_cache_dtype") == "fp8"
        window = table.number("window_size") if "window_size" in table.columns else np.zeros_like(batch)
        pairs, read = sums_of_equal_sequences(tokens, keys, window)
        inputs = {
            "batch": batch,
            "tokens": batch * tokens,
            "pairs": batch * pairs,
            "keys": batch * read,
            "max_keys": read,
            "max_pairs": pairs,
            "max_tokens": tokens,
            "q_heads": table.number("num_heads"),
            "kv_heads": kv_heads,
            "head_dim": dim,
            "v_head_dim": dim,
            "q_dtype": np.where(table.text("attn_dtype") == "fp8", float(DType.F8E4M3), float(DType.BF16)),
            "kv_dtype": np.where(fp8, float(DType.F8E4M3), float(DType.BF16)),
            "window": window,
        }
        # The call also writes the new keys and values to the cache, which is a launch of its own.
        written = tables.streamed_seconds(gpu, batch * tokens * kv_heads * 2 * dim * np.where(fp8, 3, 4))
        seconds = tables.kernel_seconds(
            table.number("latency"), gpu, replays=replays, kernels=2, other=written
        )
        return Samples(
            f"attention.{'decode' if decode else 'prefill'}",
            self.kind,
            table.framework,
            [columns(self.kind, len(batch), inputs)],
            seconds,
            {"head_dim": (64, 256), "kv_dtype": (float(DType.F16), float(DType.F8E5M2))},
            ("batch", "max_keys", "tokens", "q_heads", "kv_heads", "head_dim"),
            {"batch": (batch, self.batches), "context": (keys, self.bands)},
            {
                "table": table.source,
                "timed": f"one call in a graph, {replays:g} replays",
                "other kernels": "write of new keys and values, by bytes",
            },
        )


def sums_of_equal_sequences(tokens: Column, keys: Column, window: Column) -> tuple[Column, Column]:
    """(query, key) pairs and keys to read of one sequence; `attention.Sums.add` for columns."""
    wide = np.where(window > 0, window, np.inf)
    first = keys - tokens + 1
    rising = np.clip(np.where(np.isinf(wide), tokens, wide - first), 0, tokens)
    full = np.where(keys <= wide, 0.0, tokens - rising)
    rising = np.where(keys <= wide, tokens, rising)
    pairs = rising * (2 * first + rising - 1) / 2 + full * np.where(np.isinf(wide), 0.0, wide)
    return pairs, np.where(keys <= wide, keys, np.minimum(keys, tokens + wide - 1))


def _kv_size() -> Node:
    return 1.0 + at_most(raw("kv_dtype"), float(DType.BF16))


def _group() -> Node:
    return raw("q_heads") / raw("kv_heads")


def _fraction(value: Node) -> Node:
    return value - floor(value)


class Decode(Attention):
    """One or few tokens for each sequence: the KV cache streams by."""

    name = "attention.decode"
    kind = Kind.ATTENTION_DECODE
    phase = "generation"
    bands = _DECODE_CONTEXT
    confidence = (0.94, 0.8)
    # Fixed us; share of bandwidth; ns of a block; ns of a key in a block of head size 128; ns of a split's second pass.
    parameters = ((3, 1, 12), (0.8, 0.3, 1.0), (1000, 50, 6000), (4, 0.2, 40), (1000, 1, 6000))

    def _blocks(self) -> Node:
        rows = raw("tokens") / raw("batch") * _group()
        return raw("batch") * raw("kv_heads") * ceil(rows / _ROWS)

    def estimate(self, gpu: Gpu, parameters: Sequence[Node]) -> Node:
        """A fixed part, and the larger of reading the cache and of the blocks' own pace, in as many waves as it takes.

        With fewer blocks than SMs the keys are split over the idle ones, which costs a second pass.
        """
        fixed, share, block_ns, key_ns, split_ns = parameters
        sms = ceiling(gpu, "sm_count")
        memory = self.kv_bytes() / (share * ceiling(gpu, "memory_bandwidth"))
        keys = raw("keys") / raw("batch")
        splits = maximum(1.0, minimum(floor(sms / self._blocks()), ceil(keys / 256.0)))
        waves = maximum(1.0, self._blocks() / sms)
        pace = waves * (block_ns + key_ns * (keys / splits) * raw("head_dim") / 128.0) * 1e-9
        second = split_ns * 1e-9 * (1.0 - at_most(splits, 1.0))
        return fixed * 1e-6 + smooth_max(memory, pace) + second

    def features(self, gpu: Gpu, estimate: Node) -> list[Node]:
        """Bytes, blocks and waves, lengths, heads."""
        sms = ceiling(gpu, "sm_count")
        waves = self._blocks() / sms
        keys = raw("keys") / raw("batch")
        return [
            log2(estimate),
            log2(self.kv_bytes()),
            log2(self._blocks()),
            log2(ceil(waves) / waves),
            _fraction(waves),
            log2(keys),
            log2(raw("keys")),
            log2(raw("batch")),
            log2(_group()),
            log2(raw("kv_heads")),
            raw("head_dim"),
            _kv_size(),
            log2(keys * self._blocks() / sms),
            log2(raw("max_keys") / keys),
            log2(raw("tokens") / raw("batch")),
            log2(estimate / self.kv_bytes()),
            log2(raw("keys") * raw("kv_heads")),
            at_most(raw("window"), 0.0),
            ceil(keys / 128.0) * 128.0 / keys,
        ]


class Prefill(Attention):
    """Many tokens for each sequence: the tensor cores are busy."""

    name = "attention.prefill"
    kind = Kind.ATTENTION_PREFILL
    phase = "context"
    bands = _PREFILL_CONTEXT
    confidence = (0.93, 0.78)
    # Fixed us; shares of the peak FLOPs and of the bandwidth; ns of a block.
    parameters = ((4, 1, 12), (0.6, 0.2, 1.0), (0.7, 0.2, 1.0), (1000, 20, 6000))

    def _rows(self) -> Node:
        """Query rows of one KV head in one sequence, whole blocks of them."""
        return ceil(raw("tokens") / raw("batch") * _group() / _ROWS) * _ROWS

    def _blocks(self) -> Node:
        return raw("batch") * raw("kv_heads") * self._rows() / _ROWS

    def _padding(self) -> Node:
        return self._rows() / (raw("tokens") / raw("batch") * _group())

    def estimate(self, gpu: Gpu, parameters: Sequence[Node]) -> Node:
        """A fixed part, and the larger of computing whole blocks and of moving queries, keys and results."""
        fixed, flops_share, share, block_ns = parameters
        sms = ceiling(gpu, "sm_count")
        size = raw("head_dim") + raw("v_head_dim")
        per_sm = flops_share * (ceiling(gpu, "bf16_flops") / sms)
        work = raw("pairs") * raw("q_heads") * size * 2.0 * self._padding() / (per_sm * sms)
        # Few blocks with a long context, as a short piece behind a prefix has: the keys are split over idle SMs.
        splits = maximum(1.0, minimum(floor(sms / self._blocks()), ceil(raw("max_keys") / 256.0)))
        longest = raw("max_keys") * size * (2.0 * _ROWS) / per_sm / splits
        waves = maximum(1.0, self._blocks() / sms)
        moved = self.kv_bytes() + raw("tokens") * raw("q_heads") * size * 2.0
        memory = moved / (share * ceiling(gpu, "memory_bandwidth"))
        return fixed * 1e-6 + smooth_max(memory, maximum(work, longest) + waves * block_ns * 1e-9)

    def features(self, gpu: Gpu, estimate: Node) -> list[Node]:
        """Blocks and waves, how many keys a query sees, heads.

        Nothing that a prefix changes but blocks do not: no table has prefixes, and a model must not take a piece of
        2048 tokens behind 30,000 others for something it knows.
        """
        waves = self._blocks() / ceiling(gpu, "sm_count")
        span = raw("pairs") / raw("tokens")
        return [
            log2(estimate),
            log2(self._blocks()),
            log2(ceil(waves) / waves),
            _fraction(waves),
            log2(self._padding()),
            log2(span),
            log2(self._blocks() * span * raw("head_dim")),
            log2(raw("batch")),
            log2(_group()),
            log2(raw("kv_heads")),
            log2(raw("q_heads")),
            raw("head_dim"),
            _kv_size(),
            at_most(raw("q_dtype"), float(DType.BF16)),
            at_most(raw("window"), 0.0),
        ]
