"""FlashAttention 3 on a paged KV cache, called as vLLM calls it, with the lengths that schedulers make."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import torch

from revati.profile.cases.base import Call, Case, Context
from revati.profile.schema import Value

PAGE: Final = 16

# vLLM bounds the splits of a sequence for what full CUDA graphs may hold, and leaves larger batches to FA3's heuristics: the
# kernels differ (`flash_attn_max_num_splits_for_cuda_graph`, `max_cudagraph_capture_size`; the defaults of 0.24.0).
_GRAPH_TOKENS: Final = 512
_GRAPH_SPLITS: Final = 32

# (query heads, KV heads) of the reference models, then of their tensor-parallel shards.
HEADS: Final = (((32, 8), (64, 8), (32, 4)), ((16, 4), (8, 2), (8, 1), (16, 2)))

Lengths = list[tuple[int, int]]


def cases() -> Iterator[Case]:
    """Mixed batches, cached prefixes and verify steps first: no public table has them."""
    for extra, row in enumerate(HEADS):
        for heads in row:
            for level, lengths in _mixed():
                yield _case("attention_mixed", level + extra, lengths, heads)
            for level, lengths in _plain():
                yield _case("attention_plain", level + extra, lengths, heads)


def _mixed() -> Iterator[tuple[int, Lengths]]:
    """Prefill chunks among decodes, chunks after a cached prefix, several query tokens each, uneven contexts."""
    for level, decodes, context, chunk, prefix in (
        (0, 16, 1024, 512, 0),
        (0, 64, 1024, 2048, 0),
        (0, 64, 4096, 512, 4096),
        (0, 255, 1024, 1793, 2048),
        (1, 32, 512, 1024, 0),
        (1, 128, 2048, 8064, 0),
        (1, 128, 512, 128, 16384),
        (1, 8, 16384, 2048, 0),
    ):
        yield level, [(1, context + 37 * i % 512) for i in range(decodes)] + [(chunk, prefix + chunk)]
    for level, chunk, prefix in (
        (0, 512, 1536),
        (0, 2048, 6144),
        (0, 512, 32256),
        (1, 128, 1920),
        (1, 2048, 30720),
        (1, 8192, 24576),
    ):
        yield level, [(chunk, prefix + chunk)]
    for level, queries, batch, context in (
        (0, 4, 16, 2048),
        (1, 2, 64, 1024),
        (1, 8, 8, 8192),
        (1, 4, 128, 2048),
    ):
        yield level, [(queries, context)] * batch
    for level, batch, middle in ((0, 64, 1024), (1, 256, 1024), (1, 16, 8192)):
        yield level, _uneven(batch, middle)


def _plain() -> Iterator[tuple[int, Lengths]]:
    """Decodes of equal length and whole prompts: to check against public tables."""
    for level, batches, contexts in (
        (0, (1, 16, 64, 256), (512, 2048, 8192)),
        (1, (4, 32, 128), (128, 1024, 4096)),
        (2, (1, 8, 64), (16384, 32768, 131072)),
    ):
        for batch in batches:
            for context in contexts:
                if batch * context <= 2**21:
                    yield level, [(1, context)] * batch
    for level, prompts in (
        (0, ((512, 1), (2048, 1), (8192, 1), (512, 16))),
        (1, ((128, 1), (1024, 1), (4096, 1), (1024, 8), (128, 64))),
        (2, ((16384, 1), (256, 1), (256, 32))),
    ):
        for length, batch in prompts:
            yield level, [(length, length)] * batch


def _uneven(batch: int, middle: int) -> Lengths:
    """Contexts as real traffic has them: log-normal, the same ones every time."""
    source = random.Random(batch * 1_000_003 + middle)
    return [(1, max(16, min(32768, round(middle * source.lognormvariate(0.0, 0.8))))) for _ in range(batch)]


def _case(tier: str, level: int, lengths: Lengths, heads: tuple[int, int]) -> Case:
    features: dict[str, Value] = {
        "q_lengths": tuple(q for q, _ in lengths),
        "kv_lengths": tuple(kv for _, kv in lengths),
        "q_heads": heads[0],
        "kv_heads": heads[1],
        "head_dim": 128,
        "q_dtype": "bf16",
        "kv_dtype": "bf16",
        "page": PAGE,
        "implementation": "fa3",
    }
    return Case(tier, level, "attention", features, lambda context: _build(context, lengths, heads))


def _build(context: Context, lengths: Lengths, heads: tuple[int, int], head_dim: int = 128) -> Sequence[Call]:
    flash = context.module("vllm.vllm_flash_attn.flash_attn_interface")
    queries, keys = [q for q, _ in lengths], [kv for _, kv in lengths]
    pages = [-(-kv // PAGE) for kv in keys]
    cu_queries = torch.tensor([0, *queries], device="cuda").cumsum(0, dtype=torch.int32)
    splits = _GRAPH_SPLITS if sum(queries) <= _GRAPH_TOKENS else 0
    used = torch.tensor(keys, dtype=torch.int32, device="cuda")
    metadata = flash.get_scheduler_metadata(
        batch_size=len(lengths),
        max_seqlen_q=max(queries),
        max_seqlen_k=max(keys),
        num_heads_q=heads[0],
        num_heads_kv=heads[1],
        headdim=head_dim,
        cache_seqlens=used,
        cu_seqlens_q=cu_queries,
        page_size=PAGE,
        causal=True,
        num_splits=splits,
    )
    table = _block_table(pages)
    cache_bytes = 2 * 2 * sum(pages) * PAGE * heads[1] * head_dim
    calls: list[Call] = []
    for _ in range(context.sets(cache_bytes, most=256)):
        # vLLM's layout: keys and values of one page side by side, pages of a sequence anywhere.
        cache = context.take((sum(pages) + 1, 2, PAGE, heads[1], head_dim))
        query = context.take((sum(queries), heads[0], head_dim))
        arguments = {
            "q": query,
            "k": cache[:, 0],
            "v": cache[:, 1],
            "out": torch.empty_like(query),
            "cu_seqlens_q": cu_queries,
            "max_seqlen_q": max(queries),
            "seqused_k": used,
            "max_seqlen_k": max(keys),
            "softmax_scale": head_dim**-0.5,
            "causal": True,
            "block_table": table,
            "scheduler_metadata": metadata,
            "num_splits": splits,
            "fa_version": 3,
        }
        calls.append(partial(flash.flash_attn_varlen_func, **arguments))
    return calls


def _block_table(pages: Sequence[int]) -> torch.Tensor:
    """Every sequence's pages, scattered over the cache. Page 0 is the padding."""
    order = list(range(1, sum(pages) + 1))
    random.Random(len(order)).shuffle(order)
    widest, begin, rows = max(pages), 0, []
    for count in pages:
        rows.append(order[begin : begin + count] + [0] * (widest - count))
        begin += count
    return torch.tensor(rows, dtype=torch.int32, device="cuda")
