"""Microseconds per call of torch, Triton and a graph replay on the virtual GPU; one JSON line on standard output."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import torch
import triton
import triton.language as tl


@triton.jit
def add_kernel(left, right, out, count, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Adds two vectors."""
    index = tl.program_id(0) * block + tl.arange(0, block)
    mask = index < count
    tl.store(out + index, tl.load(left + index, mask=mask) + tl.load(right + index, mask=mask), mask=mask)


def microseconds(body: Callable[[], object], calls: int = 3000) -> float:
    """Best of five rounds, per call."""
    best = float("inf")
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            body()
        best = min(best, (time.perf_counter() - start) / calls * 1e6)
    return best


def captured_chain(length: int) -> torch.cuda.CUDAGraph:
    """A graph of `length` additions."""
    value = torch.zeros(1024, device="cuda")
    value += 1
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(length):
            value += 1
    return graph


def main() -> None:
    """Measures and prints."""
    value = torch.ones(1024, device="cuda")
    out = torch.empty_like(value)
    graph = captured_chain(370)
    add_kernel[(4,)](value, value, out, 1000, block=256)
    figures = {
        "no_op_us": microseconds(torch._C._cuda_getDevice),
        "torch_add_us": microseconds(lambda: torch.add(value, value, out=out)),
        "triton_launch_us": microseconds(lambda: add_kernel[(4,)](value, value, out, 1000, block=256)),
        "graph_replay_370_nodes_us": microseconds(graph.replay),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
