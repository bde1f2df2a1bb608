"""Kernels that read rows and write rows: norms, rotary embedding, activations, KV writes, embeddings, quantisation.

vLLM's own kernels and ATen's here; what `torch.compile` makes of the same functions in `inductor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from revati.profile.cases.base import ITEM_BYTES, MODELS, TOKENS, Call, Case, Context, levels
from revati.profile.schema import Value

HIDDEN = tuple(dict.fromkeys(model.hidden for model in MODELS))
INTERMEDIATE = tuple(dict.fromkeys(model.intermediate for model in MODELS))
HEADS = tuple(dict.fromkeys((model.q_heads, model.kv_heads) for model in MODELS))

Builder = Callable[[Context, int, int], Sequence[Call]]


def cases() -> Iterator[Case]:
    """Every kernel over token counts and widths."""
    for level, rows in levels(TOKENS):
        for index, cols in enumerate(HIDDEN):
            at = level + (1 if index > 1 else 0)
            yield _case(at, "norm", "rms_norm", rows, cols, 2, "vllm", _rms_norm)
            yield _case(at, "norm", "fused_add_rms_norm", rows, cols, 4, "vllm", _fused_add_rms_norm)
            yield _case(at, "embedding", "embedding", rows, cols, 2, "aten", _embedding)
            yield _case(at, "elementwise", "add", rows, cols, 3, "aten", _add)
            yield _case(at + 1, "elementwise", "per_token_fp8", rows, cols, 1.5, "vllm", _per_token_fp8)
            yield _case(at + 1, "elementwise", "cast_f32", rows, cols, 3, "aten", _cast)
            yield _case(at, "embedding", "index_select", rows, cols, 2, "aten", _index_select)
        for index, cols in enumerate(INTERMEDIATE):
            at = level + (1 if index > 1 else 0)
            yield _case(at, "elementwise", "silu_and_mul", rows, cols, 3, "vllm", _silu_and_mul)
        for q_heads, kv_heads in HEADS:
            yield _heads(
                level, "elementwise", "rotary_embedding", rows, q_heads + kv_heads, _rotary(q_heads, kv_heads)
            )
            yield _heads(level, "kv_cache", "reshape_and_cache_flash", rows, 2 * kv_heads, _kv_write)
            yield _heads(level + 1, "norm", "qk_rms_norm", rows, q_heads, _head_norm)


def _case(
    level: int, family: str, op: str, rows: int, cols: int, moved: float, implementation: str, build: Builder
) -> Case:
    """`moved`: elements read and written per element of the row, in units of bf16."""
    features: dict[str, Value] = {
        "op": op,
        "rows": rows,
        "cols": cols,
        "bytes": int(moved * rows * cols * ITEM_BYTES["bf16"]),
        "dtype": "bf16",
        "implementation": implementation,
    }
    return Case("rows", level, family, features, lambda context: build(context, rows, cols))


def _heads(level: int, family: str, op: str, rows: int, heads: int, build: Builder) -> Case:
    return _case(level, family, op, rows, heads * 128, 2, "vllm", build)


def _ops(context: Context) -> Any:
    context.module("vllm._custom_ops")  # registers torch.ops._C
    return torch.ops._C


def _rms_norm(context: Context, rows: int, cols: int) -> Sequence[Call]:
    ops, weight = _ops(context), context.take((cols,))
    pairs = [
        (context.empty((rows, cols)), context.take((rows, cols)))
        for _ in range(context.sets(4 * rows * cols))
    ]
    return [partial(ops.rms_norm, o, x, weight, 1e-5) for o, x in pairs]


def _head_norm(context: Context, rows: int, cols: int) -> Sequence[Call]:
    return _rms_norm(context, rows * cols // 128, 128)


def _fused_add_rms_norm(context: Context, rows: int, cols: int) -> Sequence[Call]:
    ops, weight = _ops(context), context.take((cols,))
    # In place: copies, so that the pool keeps its distribution.
    pairs = [
        (context.take((rows, cols)).clone(), context.take((rows, cols)).clone())
        for _ in range(context.sets(4 * rows * cols))
    ]
    return [partial(ops.fused_add_rms_norm, x, r, weight, 1e-5) for x, r in pairs]


def _silu_and_mul(context: Context, rows: int, cols: int) -> Sequence[Call]:
    ops = _ops(context)
    count = context.sets(6 * rows * cols)
    pairs = [(context.empty((rows, cols)), context.take((rows, 2 * cols))) for _ in range(count)]
    return [partial(ops.silu_and_mul, o, x) for o, x in pairs]


def _rotary(q_heads: int, kv_heads: int) -> Builder:
    def build(context: Context, rows: int, cols: int) -> Sequence[Call]:
        ops = _ops(context)
        table = context.take((131072, 128))
        positions = torch.arange(rows, device="cuda")
        pairs = [
            (context.take((rows, q_heads * 128)).clone(), context.take((rows, kv_heads * 128)).clone())
            for _ in range(context.sets(2 * rows * cols))
        ]
        return [partial(ops.rotary_embedding, positions, q, k, 128, table, True) for q, k in pairs]

    return build


def _kv_write(context: Context, rows: int, cols: int) -> Sequence[Call]:
    context.module("vllm._custom_ops")
    write = torch.ops._C_cache_ops.reshape_and_cache_flash
    heads = cols // 256
    # A cache larger than L2, and other slots in each call: new tokens go where nothing was of late.
    blocks = rows // 16 + max(64, 2 * context.l2_bytes // (2 * 16 * heads * 128 * 2))
    cache = context.empty((blocks, 2, 16, heads, 128))
    scale = torch.ones((), device="cuda")
    calls: list[Call] = []
    for _ in range(context.sets(4 * rows * cols)):
        keys, values = context.take((rows, heads, 128)), context.take((rows, heads, 128))
        slots = torch.randperm(blocks * 16, device="cuda")[:rows]
        calls.append(partial(write, keys, values, cache[:, 0], cache[:, 1], slots, "auto", scale, scale))
    return calls


def _per_token_fp8(context: Context, rows: int, cols: int) -> Sequence[Call]:
    ops = _ops(context)
    scale = torch.empty((rows, 1), dtype=torch.float32, device="cuda")
    count = context.sets(3 * rows * cols)
    pairs = [(context.empty((rows, cols), "f8e4m3"), context.take((rows, cols))) for _ in range(count)]
    return [partial(ops.dynamic_per_token_scaled_fp8_quant, o, x, scale, None) for o, x in pairs]


def _embedding(context: Context, rows: int, cols: int) -> Sequence[Call]:
    table = context.take((32768, cols))
    ids = [
        torch.randint(0, 32768, (rows,), device="cuda") for _ in range(context.sets(4 * rows * cols, most=16))
    ]
    return [partial(torch.nn.functional.embedding, i, table) for i in ids]


def _index_select(context: Context, rows: int, cols: int) -> Sequence[Call]:
    """The gather of each sequence's last token before the logits."""
    hidden = context.take((max(rows, 8192), cols))
    ids = torch.randperm(max(rows, 8192), device="cuda")[:rows]
    return [partial(torch.index_select, hidden, 0, ids)]


def _add(context: Context, rows: int, cols: int) -> Sequence[Call]:
    count = context.sets(6 * rows * cols)
    triples = [
        (context.take((rows, cols)), context.take((rows, cols)), context.empty((rows, cols)))
        for _ in range(count)
    ]
    return [partial(torch.add, a, b, out=o) for a, b, o in triples]


def _cast(context: Context, rows: int, cols: int) -> Sequence[Call]:
    count = context.sets(6 * rows * cols)
    pairs = [(context.take((rows, cols)), context.empty((rows, cols), "f32")) for _ in range(count)]
    return [partial(o.copy_, x) for x, o in pairs]
