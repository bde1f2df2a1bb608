"""Copies by size: host to device and back, page-locked or not, and within the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from revati.profile.cases.base import Call, Case, Context, time_events, time_graph

SIZES = (
    (4, 4096, 1 << 16, 1 << 20, 1 << 24, 1 << 28),
    (64, 1024, 1 << 14, 1 << 18, 1 << 22, 1 << 26, 1 << 30),
)

_RANDOM_BYTES = 1 << 24  # drawing more on the host takes longer than the measurement


def cases() -> Iterator[Case]:
    """Every kind over every size."""
    for level, row in enumerate(SIZES):
        for size in row:
            for kind in ("host_to_device", "device_to_host"):
                for pinned in (True, False):
                    yield Case(
                        "copies",
                        level,
                        "copy",
                        {"kind": kind, "bytes": size, "pinned": pinned},
                        partial(_host_copy, kind=kind, size=size, pinned=pinned),
                        time_events,
                        kernels=False,
                    )
            yield Case(
                "copies",
                level,
                "copy",
                {"kind": "device_to_device", "bytes": size},
                partial(_device_copy, size=size),
                time_graph,
                kernels=False,
            )
            yield Case("copies", level, "fill", {"bytes": size}, partial(_fill, size=size))


def _host_copy(context: Context, kind: str, size: int, pinned: bool) -> Sequence[Call]:
    calls: list[Call] = []
    for _ in range(context.sets(2 * size, most=8)):
        host = torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
        # Pages that nobody has written to are one and the same page of zeros.
        host.fill_(93) if size > _RANDOM_BYTES else host.random_()
        device = torch.empty(size, dtype=torch.uint8, device="cuda").random_()
        target, origin = (device, host) if kind == "host_to_device" else (host, device)
        # A pageable copy blocks in any case; `non_blocking` makes the page-locked one asynchronous.
        calls.append(partial(target.copy_, origin, non_blocking=True))
    return calls


def _device_copy(context: Context, size: int) -> Sequence[Call]:
    calls: list[Call] = []
    for _ in range(context.sets(2 * size)):
        origin = torch.empty(size, dtype=torch.uint8, device="cuda").random_()
        target = torch.empty_like(origin)
        calls.append(partial(target.copy_, origin))
    return calls


def _fill(context: Context, size: int) -> Sequence[Call]:
    targets = [torch.empty(size, dtype=torch.uint8, device="cuda") for _ in range(context.sets(size))]
    return [target.zero_ for target in targets]
