"""Integer operations of torch on the virtual GPU, compared with torch on the CPU. Run it under `revati run`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Operation = Callable[..., Tensor]

INTEGERS = [torch.int32, torch.int64, torch.int16, torch.uint8, torch.int8]
ALL = [*INTEGERS, torch.bool, torch.float32, torch.bfloat16, torch.float16]

checks: list[str] = []
failures: list[str] = []


def random(dtype: torch.dtype, *shape: int, low: int = -9) -> Tensor:
    if dtype == torch.bool:
        return torch.randint(0, 2, shape).bool()
    if dtype.is_floating_point:
        return torch.randn(*shape).to(dtype)
    return torch.randint(0 if dtype == torch.uint8 else low, 9, shape, dtype=dtype)


def spread(values: Tensor) -> Tensor:
    """The same values with gaps between them; `[:, ::2]` gives them back, strided."""
    wide = torch.zeros(*values.shape[:-1], values.shape[-1] * 2, dtype=values.dtype)
    wide[..., ::2] = values
    return wide


def compare(name: str, operation: Operation, *operands: Tensor) -> None:
    checks.append(name)
    want = operation(*[operand.clone() for operand in operands])
    got = operation(*[operand.to("cuda") for operand in operands]).cpu()
    if want.dtype != got.dtype or want.shape != got.shape or not torch.equal(want, got):
        types = ", ".join(str(operand.dtype) for operand in operands)
        failures.append(
            f"{name} ({types}): {got.flatten()[:8].tolist()} instead of {want.flatten()[:8].tolist()}"
        )


def assign(target: Tensor, index: Tensor | tuple[Tensor, ...], value: Tensor | int) -> Tensor:
    target[index] = value
    return target


BINARY: dict[str, Operation] = {
    "add": lambda x, y: x + y,
    "add scaled": lambda x, y: torch.add(x, y, alpha=3),
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "where": lambda x, y: torch.where(x > y, x, y),
}
UNARY: dict[str, Operation] = {
    "x + 3": lambda x: x + 3,
    "3 - x": lambda x: 3 - x,
    "x - 2": lambda x: x - 2,
    "x * 4": lambda x: x * 4,
    "x > 2": lambda x: x > 2,
    "x <= 2": lambda x: x <= 2,
    "x == 2": lambda x: x == 2,
    "x != 2": lambda x: x != 2,
    "clamp": lambda x: x.clamp(1, 3),
    "clamp_min": lambda x: x.clamp_min(2),
    "clamp_max": lambda x: x.clamp_max(2),
    "abs": lambda x: x.abs(),
    "negate": lambda x: -x,
    "masked_fill": lambda x: x.masked_fill(x > 2, 5),
    "fill": lambda x: x.fill_(7),
    "zero": lambda x: x.zero_(),
    "not": torch.logical_not,
    "bool": lambda x: x.bool(),
    "long": lambda x: x.long(),
    "int": lambda x: x.int(),
    "float": lambda x: x.float(),
}
INTEGER_BINARY: dict[str, Operation] = {
    "floor divide": lambda x, y: x // y,
    "remainder": lambda x, y: x % y,
    "truncating divide": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "xor": lambda x, y: x ^ y,
}
INTEGER_UNARY: dict[str, Operation] = {
    "x // 4": lambda x: x // 4,
    "x % 4": lambda x: x % 4,
    "x & 3": lambda x: x & 3,
    "~x": lambda x: ~x,
    "x << 2": lambda x: x << 2,
    "x >> 1": lambda x: x >> 1,
    "sum": lambda x: x.sum(),
    "sum of columns": lambda x: x.sum(0),
    "sum of rows": lambda x: x.sum(-1),
    "max": lambda x: x.max(),
    "min": lambda x: x.min(),
    "amax": lambda x: x.amax(1),
    "amin": lambda x: x.amin(0),
    "any": lambda x: x.any(),
    "all": lambda x: x.all(),
    "any in rows": lambda x: (x > 2).any(1),
    "all in columns": lambda x: (x > -9).all(0),
    "count": lambda x: (x > 2).sum(1),
    "cumsum": lambda x: x.flatten().cumsum(0),
    "cumsum down": lambda x: x.cumsum(0),
    "cumsum along": lambda x: x.cumsum(1),
}


def elementwise(dtypes: Iterable[torch.dtype]) -> None:
    for dtype in dtypes:
        a, b = random(dtype, 7, 9), random(dtype, 7, 9)
        for name, operation in BINARY.items():
            compare(name, operation, a, b)
            compare(f"{name}, broadcast", lambda x, y, f=operation: f(x, y[:1]), a, b)
            compare(
                f"{name}, strided", lambda x, y, f=operation: f(x[:, ::2], y[:, ::2]), spread(a), spread(b)
            )
            compare(f"{name}, transposed", lambda x, y, f=operation: f(x.t(), y.t()), a, b)
        for name, operation in UNARY.items():
            compare(name, operation, a)
            compare(f"{name}, strided", lambda x, f=operation: f(x[:, ::2]), spread(a))
            compare(f"{name}, one column", lambda x, f=operation: f(x[:, 3]), a)
        if dtype.is_floating_point:
            continue
        divisor = torch.where(b == 0, torch.tensor(3, dtype=dtype), b)
        for name, operation in INTEGER_BINARY.items():
            compare(name, operation, a, divisor)
        for name, operation in INTEGER_UNARY.items():
            compare(name, operation, a)


def casts() -> None:
    for source in ALL:
        for target in ALL:
            a = random(source, 5, 6)
            if source.is_floating_point and target == torch.uint8:
                a = a.abs()
            compare(f"to {target}", lambda x, t=target: x.to(t), a)
            compare(f"to {target}, strided", lambda x, t=target: x[:, ::2].to(t), a)
            compare(
                f"copy_ to {target}",
                lambda x, t=target: torch.zeros(6, 5, dtype=t, device=x.device).t().copy_(x),
                a,
            )
            half = {torch.bfloat16, torch.float16} & {source, target}
            if not half and (source, target) != (torch.bool, torch.bool):
                compare(f"add {target}", lambda x, y: x + y, a, random(target, 5, 6, low=0))


def booleans() -> None:
    a, b = random(torch.bool, 5, 6), random(torch.bool, 5, 6)
    for name, operation in {
        **INTEGER_BINARY,
        "logical and": torch.logical_and,
        "logical or": torch.logical_or,
        "logical xor": torch.logical_xor,
    }.items():
        if "div" not in name and name != "remainder":
            compare(name, operation, a, b)
    for name, operation in {
        "~x": lambda x: ~x,
        "any": lambda x: x.any(),
        "all": lambda x: x.all(1),
        "sum": lambda x: x.sum(),
        "where": lambda x: torch.where(x, 3, -1),
    }.items():
        compare(name, operation, a)


def indexing(dtypes: Iterable[torch.dtype]) -> None:
    index, unique, columns = (
        torch.tensor([3, 0, 6, 6, 1]),
        torch.tensor([3, 0, 6, 1]),
        torch.tensor([1, 2, 3, 4]),
    )
    permuted = torch.stack([torch.randperm(9)[:4] for _ in range(7)])
    for dtype in dtypes:
        m, s = random(dtype, 7, 9), random(dtype, 7, 4)
        compare("gather", lambda x, i: x.gather(1, i), m, permuted)
        compare("gather down", lambda x, i: x.gather(0, i), m, torch.randint(0, 7, (3, 9)))
        compare("scatter", lambda x, i, v: x.scatter_(1, i, v), m, permuted, s)
        compare("scatter a value", lambda x, i: x.scatter_(1, i, 5), m, permuted)
        compare("index rows", lambda x, i: x[i], m, index)
        compare("index", lambda x, i: x[i], m[:, 0].contiguous(), index)
        compare("index by two", lambda x, i, j: x[i, j], m, unique, columns)
        compare("index columns", lambda x, i: x[:, i], m, index)
        compare("negative index", lambda x, i: x[i], m, torch.tensor([-1, -2]))
        compare("index_select", lambda x, i: x.index_select(0, i), m, index)
        compare("index_select, int32", lambda x, i: x.index_select(0, i), m, index.int())
        compare("index_select columns", lambda x, i: x.index_select(1, i), m, index)
        compare("index_select many", lambda x, i: x.index_select(1, i), m, torch.randint(0, 9, (40,)))
        compare("index_put", assign, m, unique, random(dtype, 4, 9))
        compare("index_put a value", lambda x, i: assign(x, i, 4), m[:, 0].contiguous(), unique)
        compare(
            "index_put by two", lambda x, i, j, v: assign(x, (i, j), v), m, unique, columns, random(dtype, 4)
        )
        compare("index_fill", lambda x, i: x.index_fill_(0, i, 5), m, unique)
        compare("index_fill columns", lambda x, i: x.index_fill_(1, i, 5), m, unique)
        compare("index_copy", lambda x, i, v: x.index_copy_(0, i, v), m, unique, random(dtype, 4, 9))
        distinct = torch.randperm(63).view(7, 9).to(dtype)
        compare("argmax", lambda x: x.argmax(-1), distinct)
        compare("argmax down", lambda x: x.argmax(0, keepdim=True), distinct)
        compare("argmin", lambda x: x.argmin(-1), distinct)
    compare(
        "scatter_add",
        lambda x, i, v: x.scatter_add_(1, i, v),
        random(torch.int64, 7, 9),
        permuted,
        random(torch.int64, 7, 4),
    )


def joining(dtypes: Iterable[torch.dtype]) -> None:
    for dtype in dtypes:
        m, aligned = random(dtype, 7, 9), random(dtype, 4, 16)
        compare("cat", lambda x: torch.cat([x, x]), m)
        compare("cat columns", lambda x: torch.cat([x, x[:, :1]], 1), m)
        compare("cat strided", lambda x: torch.cat([x.t(), x.t()], 1), m)
        compare("cat of two lengths", lambda x: torch.cat([x[:, 0], x[:3, 1]]), m)
        compare("cat aligned", lambda x: torch.cat([x, x, x], 1), aligned)
        compare(
            "cat in three dimensions", lambda x: torch.cat([x.view(2, 2, 16), x.view(2, 2, 16)], 1), aligned
        )
        compare("stack", lambda x: torch.stack([x, x], -1), m)
        compare("contiguous", lambda x: x.t().contiguous(), m)
        compare("repeat", lambda x: x.repeat(3, 2), m)
        compare("expand", lambda x: x[:, :1].expand(7, 5).contiguous(), m)


def creation() -> None:
    ranges: list[tuple[tuple[int, ...], torch.dtype]] = [
        ((2, 20, 3), torch.int64),
        ((0, 20), torch.int32),
        ((5,), torch.float32),
        ((10, 0, -2), torch.int64),
        ((7,), torch.int16),
        ((9,), torch.uint8),
    ]
    for arguments, dtype in ranges:
        compare(
            f"arange{arguments}",
            lambda x, a=arguments, t=dtype: torch.arange(*a, dtype=t, device=x.device),
            torch.zeros(1),
        )
    for dtype, value in {
        torch.int32: -1,
        torch.int64: 5,
        torch.float32: 0.5,
        torch.bfloat16: 2.0,
        torch.bool: True,
    }.items():
        compare(
            "full",
            lambda x, t=dtype, v=value: torch.full((3, 4), v, dtype=t, device=x.device),
            torch.zeros(1),
        )


def drawing() -> None:
    """Over a vocabulary nothing is computed; what comes out must be valid and distinct."""
    for size, low in ((1000, 0), (50000, 256)):
        top = torch.zeros(4, size, device="cuda").topk(5).indices.cpu()
        if not (bool((top >= low).all()) and bool((top < size).all()) and len(set(top[0].tolist())) == 5):
            failures.append(f"topk of {size}: {top.tolist()}")
    ids = torch.zeros(4, 50000, device="cuda").argmax(-1).cpu()
    if not (bool((ids >= 256).all()) and bool((ids < 50000).all()) and len(set(ids.tolist())) == 4):
        failures.append(f"argmax: {ids.tolist()}")


def main() -> None:
    torch.manual_seed(0)
    elementwise([*INTEGERS, torch.float32])
    casts()
    booleans()
    indexing([*INTEGERS, torch.float32])
    joining([*INTEGERS, torch.float32])
    creation()
    drawing()
    print(f"{len(checks)} checks, {len(failures)} failures")
    print("\n".join(failures[:20]))
    sys.exit(1 if failures or len(checks) < 1000 else 0)


if __name__ == "__main__":
    main()
