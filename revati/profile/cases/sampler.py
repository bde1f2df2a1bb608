"""From logits to token ids: arg max, Gumbel sampling, top-k and top-p, log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from revati.profile.cases.base import Call, Case, Context
from revati.profile.schema import Value

ROWS = ((1, 16, 64, 256), (4, 8, 32, 128, 512))
VOCABULARIES = (128256, 151936)

Builder = Callable[[Context, int, int], Sequence[Call]]


def cases() -> Iterator[Case]:
    """Each step over batch and vocabulary; logits are f32, as the engines make them."""
    for level, row in enumerate(ROWS):
        for rows in row:
            for vocabulary in VOCABULARIES:
                yield _case(level, "argmax", rows, vocabulary, 1, "aten", _argmax)
                yield _case(level, "cast_logits", rows, vocabulary, 1.5, "aten", _cast_logits)
                yield _case(level, "gumbel_sample", rows, vocabulary, 1, "triton", _gumbel)
                yield _case(level, "topk_topp", rows, vocabulary, 2, "vllm", _top_k_top_p)
                yield _case(level, "token_logprobs", rows, vocabulary, 1, "triton", _logprobs)
                yield _case(level + 1, "softmax", rows, vocabulary, 2, "aten", _softmax)
                yield _case(level + 1, "topk", rows, vocabulary, 1, "aten", _topk)


def _case(
    level: int, op: str, rows: int, cols: int, moved: float, implementation: str, build: Builder
) -> Case:
    features: dict[str, Value] = {
        "op": op,
        "rows": rows,
        "cols": cols,
        "bytes": int(4 * moved * rows * cols),
        "dtype": "f32",
        "implementation": implementation,
    }
    return Case("sampler", level, "sampler", features, lambda context: build(context, rows, cols))


def _logits(context: Context, rows: int, cols: int) -> list[torch.Tensor]:
    return [context.take((rows, cols), "f32") for _ in range(context.sets(4 * rows * cols, most=16))]


def _argmax(context: Context, rows: int, cols: int) -> Sequence[Call]:
    return [partial(x.argmax, dim=-1) for x in _logits(context, rows, cols)]


def _softmax(context: Context, rows: int, cols: int) -> Sequence[Call]:
    return [partial(torch.softmax, x, dim=-1) for x in _logits(context, rows, cols)]


def _topk(context: Context, rows: int, cols: int) -> Sequence[Call]:
    return [partial(torch.topk, x, 20, dim=-1) for x in _logits(context, rows, cols)]


def _cast_logits(context: Context, rows: int, cols: int) -> Sequence[Call]:
    inputs = [context.take((rows, cols)) for _ in range(context.sets(6 * rows * cols, most=16))]
    return [partial(x.to, torch.float32) for x in inputs]


def _gumbel(context: Context, rows: int, cols: int) -> Sequence[Call]:
    sample = context.module("vllm.v1.worker.gpu.sample.gumbel").gumbel_sample
    mapping = torch.arange(rows, dtype=torch.int32, device="cuda")
    temperature = torch.ones(rows, dtype=torch.float32, device="cuda")
    seed = torch.arange(rows, dtype=torch.int64, device="cuda")
    position = torch.arange(rows, dtype=torch.int64, device="cuda")
    return [
        partial(sample, x, mapping, temperature, seed, position, apply_temperature=True)
        for x in _logits(context, rows, cols)
    ]


def _top_k_top_p(context: Context, rows: int, cols: int) -> Sequence[Call]:
    apply = context.module("vllm.v1.sample.ops.topk_topp_sampler").apply_top_k_top_p
    k = torch.full((rows,), 50, dtype=torch.int32, device="cuda")
    p = torch.full((rows,), 0.9, dtype=torch.float32, device="cuda")
    # It may work in place.
    inputs = [x.clone() for x in _logits(context, rows, cols)]
    return [partial(apply, x, k, p) for x in inputs]


def _logprobs(context: Context, rows: int, cols: int) -> Sequence[Call]:
    compute = context.module("vllm.v1.worker.gpu.sample.logprob").compute_token_logprobs
    ids = torch.zeros((rows, 1), dtype=torch.int64, device="cuda")
    return [partial(compute, x, ids) for x in _logits(context, rows, cols)]
