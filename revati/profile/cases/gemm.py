"""Matrix products of the linear layers, the logits included, at every tensor-parallel degree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from revati.profile.cases.base import MODELS, TOKENS, Call, Case, Context, Model, UnreachableError, levels
from revati.profile.schema import Value


def cases() -> Iterator[Case]:
    """Logits (which no public table has) apart from the rest; bf16 everywhere, fp8 for the inner layers."""
    seen: set[tuple[int, int, str, str]] = set()
    for index, model in enumerate(MODELS):
        for degree in (1, 2, 4, 8):
            extra = (1 if degree > 1 else 0) + (1 if index > 2 else 0)
            yield from _sweep(
                "lm_head", extra, model.vocabulary // degree, model.hidden, "cublas", seen, most=1024
            )
            for n, k in _layers(model, degree):
                yield from _sweep("gemm", extra, n, k, "cublas", seen)
                yield from _sweep("gemm", extra + 1, n, k, "cutlass", seen)
                yield from _sweep("gemm", extra + 2, n, k, "cublas_fp8", seen)


def _layers(model: Model, degree: int) -> list[tuple[int, int]]:
    """(n, k) of qkv, output, gate and up, down."""
    heads = model.q_heads // degree + 2 * max(1, model.kv_heads // degree)
    shapes = [
        (heads * model.head_dim, model.hidden),
        (model.hidden, model.q_heads * model.head_dim // degree),
    ]
    if model.experts:
        return [*shapes, (model.experts, model.hidden)]  # the router
    intermediate = model.intermediate // degree
    return [*shapes, (2 * intermediate, model.hidden), (model.hidden, intermediate)]


def _sweep(
    tier: str,
    extra: int,
    n: int,
    k: int,
    kind: str,
    seen: set[tuple[int, int, str, str]],
    most: int | None = None,
) -> Iterator[Case]:
    if (n, k, kind, tier) in seen:
        return
    seen.add((n, k, kind, tier))
    fp8 = kind != "cublas"
    if fp8 and (n % 16 or k % 16):
        return
    item = "f8e4m3" if fp8 else "bf16"
    for level, m in levels(TOKENS, most):
        features: dict[str, Value] = {"m": m, "n": n, "k": k, "a": item, "b": item, "d": "bf16"}
        features["implementation"] = kind.removesuffix("_fp8")
        build = {"cublas": _bf16, "cutlass": _cutlass_fp8, "cublas_fp8": _cublas_fp8}[kind]
        yield Case(
            tier,
            level + extra,
            "gemm",
            features,
            partial(build, m=m, n=n, k=k),
        )


def _bf16(context: Context, m: int, n: int, k: int) -> Sequence[Call]:
    count = context.sets(2 * (m * k + n * k + m * n), most=256)
    pairs = [(context.take((m, k)), context.take((n, k))) for _ in range(count)]
    return [partial(torch.nn.functional.linear, x, w) for x, w in pairs]


def _cublas_fp8(context: Context, m: int, n: int, k: int) -> Sequence[Call]:
    scale = torch.ones((), device="cuda")
    count = context.sets(m * k + n * k + 2 * m * n, most=256)
    pairs = [(context.take((m, k), "f8e4m3"), context.take((n, k), "f8e4m3")) for _ in range(count)]
    return [
        partial(torch._scaled_mm, x, w.t(), scale_a=scale, scale_b=scale, out_dtype=torch.bfloat16)
        for x, w in pairs
    ]


def _cutlass_fp8(context: Context, m: int, n: int, k: int) -> Sequence[Call]:
    """VLLM's own kernel: a scale per token and per output feature, as its fp8 linear layers call it."""
    ops = context.module("vllm._custom_ops")
    if not hasattr(ops, "cutlass_scaled_mm"):
        raise UnreachableError("this vLLM has no cutlass_scaled_mm")
    scale_a = torch.ones((m, 1), dtype=torch.float32, device="cuda")
    scale_b = torch.ones((1, n), dtype=torch.float32, device="cuda")
    count = context.sets(m * k + n * k + 2 * m * n, most=256)
    pairs = [(context.take((m, k), "f8e4m3"), context.take((n, k), "f8e4m3")) for _ in range(count)]
    return [partial(ops.cutlass_scaled_mm, x, w.t(), scale_a, scale_b, torch.bfloat16) for x, w in pairs]
