"""A small torch and Triton program that says at its end what the emulator counted. Run under `revati profile record`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import triton
import triton.language as tl

from revati.launcher.session import Stats


@triton.jit  # type: ignore[untyped-decorator]
def triton_poi_fused_scale(source, target, size, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Named as inductor names such a kernel."""
    place = tl.program_id(0) * block + tl.arange(0, block)
    values = tl.load(source + place, mask=place < size)
    tl.store(target + place, values * 2, mask=place < size)


def step(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A product, an ATen kernel and a Triton kernel."""
    y = torch.nn.functional.linear(x, weight)
    z = y + y
    triton_poi_fused_scale[(triton.cdiv(z.numel(), 1024),)](z, y, z.numel(), block=1024)
    return y


weight = torch.ones(256, 128, device="cuda", dtype=torch.bfloat16)
for rows in (8, 8, 100):
    step(torch.ones(rows, 128, device="cuda", dtype=torch.bfloat16), weight).sum()
static = torch.ones(64, 128, device="cuda", dtype=torch.bfloat16)
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    step(static, weight)
    step(static[:32], weight)
for _ in range(3):
    static.copy_(torch.ones(64, 128, dtype=torch.bfloat16).pin_memory(), non_blocking=True)
    graph.replay()
torch.zeros(1000, device="cuda").cpu()
torch.cuda.synchronize()

stats = Stats.parse((Path(os.environ["REVATI_SESSION"]) / f"stats.{os.getpid()}").read_bytes())
counted = [
    [family, source, n, stats.duration_ns[family, source]] for (family, source), n in stats.count.items()
]
Path(sys.argv[1]).write_text(json.dumps(counted))
