"""Two ranks under torch: NCCL in captured graphs, and all-reduce kernels on symmetric memory, wait for the late one."""

from __future__ import annotations

import time
import traceback
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed._symmetric_memory as symm_mem
import torch.multiprocessing

LATE_S = 0.2


def late_launch(rank: int, launch: Any) -> int:
    """Rank 1 launches later. Returns when rank 0's work was done, or when rank 1 launched."""
    dist.barrier(device_ids=[rank])
    torch.cuda.synchronize()
    if rank == 1:
        time.sleep(LATE_S)
    launched = time.monotonic_ns()
    launch()
    torch.cuda.synchronize()
    return launched if rank == 1 else time.monotonic_ns()


def graph_of_nccl(rank: int) -> tuple[list[int], int]:
    values = torch.tensor([1, 10], device="cuda") * (rank + 1)
    dist.all_reduce(values.clone())
    stream = torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        dist.all_reduce(values)
    moment = late_launch(rank, graph.replay)
    graph.replay()
    torch.cuda.synchronize()
    return values.tolist(), moment


def symmetric(rank: int) -> dict[str, int]:
    group = dist.group.WORLD
    assert group is not None
    buffer = symm_mem.empty(1 << 16, dtype=torch.bfloat16, device=f"cuda:{rank}")
    symm_mem.rendezvous(buffer, group.group_name)
    moments = {}
    for name in ("multimem_all_reduce_", "one_shot_all_reduce", "two_shot_all_reduce_"):
        kernel = getattr(torch.ops.symm_mem, name)
        moments[name] = late_launch(rank, lambda kernel=kernel: kernel(buffer, "sum", group.group_name))
    return moments


def work(rank: int, store: Path, queue: Queue[Any]) -> None:
    try:
        torch.cuda.set_device(rank)
        dist.init_process_group("nccl", f"file://{store}", rank=rank, world_size=2)
        queue.put((rank, graph_of_nccl(rank), symmetric(rank)))
        dist.destroy_process_group()
    except Exception:
        queue.put((rank, traceback.format_exc()))
        raise


def test_two_ranks(tmp_path: Path) -> None:
    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    ranks = [context.Process(target=work, args=(rank, tmp_path / "store", queue)) for rank in range(2)]
    for process in ranks:
        process.start()
    answers = [queue.get(timeout=300) for _ in ranks]
    assert all(len(answer) == 3 for answer in answers), answers
    (_, (values, waited), waits), (_, (_, launched), launches) = sorted(answers)
    # 1 + 2 at the first replay, twice that at the second.
    assert values == [6, 60]
    assert waited > launched
    for name, moment in waits.items():
        assert moment > launches[name], name
    for process in ranks:
        process.join(60)
        assert process.exitcode == 0
