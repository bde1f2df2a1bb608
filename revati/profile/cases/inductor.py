"""The row kernels as `torch.compile` writes them: what vLLM runs by default instead of its own norms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from revati.profile.cases.base import TOKENS, Call, Case, Context, levels
from revati.profile.schema import Value

_compiled: dict[tuple[str, int], Callable[..., Any]] = {}


def cases() -> Iterator[Case]:
    """One compilation (dynamic in the rows) serves all rows of a width."""
    for level, rows in levels(TOKENS):
        for extra, cols in ((0, 4096), (1, 5120), (1, 2048), (2, 8192)):
            yield _case(level + extra, "norm", "add_rms_norm", rows, cols, 4, _norm_calls)
        for extra, cols in ((0, 14336), (1, 25600), (2, 28672)):
            yield _case(level + extra, "elementwise", "silu_and_mul", rows, cols, 3, _silu_calls)
        for extra, cols in ((0, 5120), (1, 9216)):
            yield _case(level + extra, "elementwise", "rotary_embedding", rows, cols, 2, _rotary_calls)


def _case(
    level: int,
    family: str,
    op: str,
    rows: int,
    cols: int,
    moved: int,
    build: Callable[[Context, int, int], Sequence[Call]],
) -> Case:
    features: dict[str, Value] = {
        "op": op,
        "rows": rows,
        "cols": cols,
        "bytes": moved * rows * cols * 2,
        "dtype": "bf16",
        "implementation": "inductor",
    }
    return Case("inductor", level, family, features, lambda context: build(context, rows, cols))


def _compile(name: str, cols: int, function: Callable[..., Any]) -> Callable[..., Any]:
    if (name, cols) not in _compiled:
        _compiled[name, cols] = torch.compile(function, dynamic=None)
    return _compiled[name, cols]


def _mark(*tensors: torch.Tensor) -> None:
    """The number of rows varies; a single row is compiled apart, as the compiler insists."""
    for tensor in tensors:
        if tensor.shape[0] > 1:
            torch._dynamo.mark_dynamic(tensor, 0)


def _add_rms_norm(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    total = x.float() + residual.float()
    variance = total.pow(2).mean(dim=-1, keepdim=True)
    return (total * torch.rsqrt(variance + 1e-5)).to(x.dtype) * weight, total.to(x.dtype)


def _norm_calls(context: Context, rows: int, cols: int) -> Sequence[Call]:
    function, weight = _compile("add_rms_norm", cols, _add_rms_norm), context.take((cols,))
    pairs = [
        (context.take((rows, cols)), context.take((rows, cols))) for _ in range(context.sets(8 * rows * cols))
    ]
    for pair in pairs:
        _mark(*pair)
    return [partial(function, x, r, weight) for x, r in pairs]


def _silu_and_mul(x: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return torch.nn.functional.silu(x[..., :half]) * x[..., half:]


def _silu_calls(context: Context, rows: int, cols: int) -> Sequence[Call]:
    function = _compile("silu_and_mul", cols, _silu_and_mul)
    inputs = [context.take((rows, 2 * cols)) for _ in range(context.sets(6 * rows * cols))]
    _mark(*inputs)
    return [partial(function, x) for x in inputs]


def _rotate(x: torch.Tensor, positions: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    cos, sin = table[positions].chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    first, second = x.view(x.shape[0], -1, 128).chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).view(x.shape)


def _rotary_calls(context: Context, rows: int, cols: int) -> Sequence[Call]:
    function, table = _compile("rotary_embedding", cols, _rotate), context.take((131072, 128))
    positions = torch.arange(rows, device="cuda")
    inputs = [context.take((rows, cols)) for _ in range(context.sets(4 * rows * cols))]
    _mark(positions, *inputs)
    return [partial(function, x, positions, table) for x in inputs]
