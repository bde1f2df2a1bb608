"""Mixtures of experts: routing, alignment, and the grouped products in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from revati.profile.cases.base import MODELS, TOKENS, Call, Case, Context, Model, levels
from revati.profile.schema import Value

Builder = Callable[[Context, Model, int], Sequence[Call]]


def cases() -> Iterator[Case]:
    """bf16 experts at tensor-parallel degrees 1 to 8; tokens go to uniformly drawn experts."""
    for index, model in enumerate(model for model in MODELS if model.experts):
        for level, tokens in levels(TOKENS):
            for degree in (1, 2, 4, 8):
                extra = index + (1 if degree > 1 else 0)
                yield _case(level + extra, "experts", model, tokens, degree, partial(_experts, degree=degree))
            yield _case(level + index, "topk", model, tokens, 1, _topk)
            yield _case(level + index, "align", model, tokens, 1, _align)


def _case(level: int, op: str, model: Model, tokens: int, degree: int, build: Builder) -> Case:
    features: dict[str, Value] = {
        "op": op,
        "tokens": tokens,
        "experts": model.experts,
        "top_k": model.top_k,
        "hidden": model.hidden,
        "intermediate": model.intermediate // degree,
        "a": "bf16",
        "b": "bf16",
        "active_experts": int(_routes(model, tokens).unique().numel()),
        "implementation": "triton" if op == "experts" else "vllm",
    }
    return Case("moe", level, "moe", features, lambda context: build(context, model, tokens))


def _routes(model: Model, tokens: int) -> torch.Tensor:
    """Distinct experts for every token, the same each time. On the host."""
    generator = torch.Generator().manual_seed(tokens * 257 + model.experts)
    return (
        torch.rand((tokens, model.experts), generator=generator)
        .topk(model.top_k, dim=1)
        .indices.to(torch.int32)
    )


def _experts(context: Context, model: Model, tokens: int, degree: int) -> Sequence[Call]:
    fused = context.module("vllm.model_executor.layers.fused_moe.fused_moe").fused_experts
    intermediate = model.intermediate // degree
    up = context.take((model.experts, 2 * intermediate, model.hidden))
    down = context.take((model.experts, model.hidden, intermediate))
    routes = _routes(model, tokens)
    weights = torch.full((tokens, model.top_k), 1 / model.top_k, dtype=torch.float32, device="cuda")
    # Few tokens use few experts, and those would stay in the L2 cache: each call goes to others, as many and as unevenly.
    active_bytes = 2 * 3 * intermediate * model.hidden * int(routes.unique().numel())
    count = max(4, context.sets(active_bytes))
    calls = []
    for index in range(count):
        ids = (routes + index * model.experts // count) % model.experts
        calls.append(
            partial(
                fused, context.take((tokens, model.hidden)), up, down, weights, ids.to(torch.int32).cuda()
            )
        )
    return calls


def _topk(context: Context, model: Model, tokens: int) -> Sequence[Call]:
    ops = context.module("vllm._custom_ops")
    weights = torch.empty((tokens, model.top_k), dtype=torch.float32, device="cuda")
    ids = torch.empty((tokens, model.top_k), dtype=torch.int32, device="cuda")
    indices = torch.empty_like(ids)
    logits = [context.take((tokens, model.experts)) for _ in range(8)]
    return [partial(ops.topk_softmax, weights, ids, indices, x, True) for x in logits]


def _align(context: Context, model: Model, tokens: int) -> Sequence[Call]:
    module = "vllm.model_executor.layers.fused_moe.moe_align_block_size"
    align = context.module(module).moe_align_block_size
    ids = _routes(model, tokens).cuda()
    block = 64 if tokens > 64 else 16
    return [partial(align, ids, block, model.experts)]
