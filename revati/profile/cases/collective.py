"""Collectives between the GPUs of one machine. They need several GPUs, and this kit does not measure them yet.

They are in the plan all the same, so that the most wanted list names what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from revati.profile.cases.base import Call, Case, Context, UnreachableError

SIZES = (8 << 10, 64 << 10, 512 << 10, 4 << 20, 32 << 20, 128 << 20)


def cases() -> Iterator[Case]:
    """NCCL and custom all-reduce, all-gather, reduce-scatter."""
    for ranks in (2, 4, 8):
        for size in SIZES:
            for kind, custom in (
                ("all_reduce", True),
                ("all_reduce", False),
                ("all_gather", False),
                ("reduce_scatter", False),
            ):
                features = {"kind": kind, "ranks": ranks, "bytes": size, "custom": custom}
                yield Case(
                    "collective", 0, "collective", features, partial(_build, ranks=ranks), kernels=False
                )


def _build(context: Context, ranks: int) -> Sequence[Call]:
    raise UnreachableError(
        f"collectives are not measured by this kit yet; they need {ranks} GPUs in one machine ({context.gpus} here)"
    )
