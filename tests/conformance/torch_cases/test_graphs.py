"""CUDA graphs: capture, replay, fork and join, and what a capture forbids."""

from __future__ import annotations

import pytest
import torch


def test_replay_repeats_copies() -> None:
    source = torch.arange(16, dtype=torch.int64, device="cuda")
    target = torch.zeros_like(source)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        target.copy_(source)
    assert torch.equal(target.cpu(), torch.zeros(16, dtype=torch.int64)), (
        "a capture must not run what it captures"
    )
    for value in (3, 4):
        source.copy_(torch.full((16,), value))
        graph.replay()
        assert torch.equal(target.cpu(), torch.full((16,), value))


def test_replay_takes_device_time() -> None:
    left = torch.empty(4096, 4096, dtype=torch.bfloat16, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(8):
            left @ left
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    singles = []
    for _ in range(10):
        torch.cuda.synchronize()
        start.record()
        left @ left
        end.record()
        end.synchronize()
        singles.append(start.elapsed_time(end))
    one = min(singles)  # of the others, the host may have been away between the event and the launch
    start.record()
    graph.replay()
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) > 4 * one


def test_capture_follows_fork_and_join() -> None:
    source = torch.zeros(8, dtype=torch.int64, device="cuda")
    first, second = torch.zeros_like(source), torch.zeros_like(source)
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        first.copy_(source)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            second.copy_(first)
        torch.cuda.current_stream().wait_stream(side)
    source.fill_(9)
    graph.replay()
    torch.cuda.synchronize()
    assert second.cpu().tolist() == [9] * 8


def test_synchronizing_inside_a_capture_is_an_error_and_leaves_the_device_usable() -> None:
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError), torch.cuda.graph(graph):
        torch.zeros(4, device="cuda")
        torch.cuda.current_stream().synchronize()
    torch.cuda.synchronize()
    assert torch.full((3,), 2, device="cuda").cpu().tolist() == [2, 2, 2]


def test_unjoined_work_fails_the_capture() -> None:
    side = torch.cuda.Stream()
    left = torch.empty(64, 64, dtype=torch.bfloat16, device="cuda")
    left @ left
    with torch.cuda.stream(side):
        left @ left
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError), torch.cuda.graph(graph):
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            left @ left
    torch.cuda.synchronize()


def test_graph_memory_pools_can_be_shared() -> None:
    left = torch.empty(64, 64, dtype=torch.bfloat16, device="cuda")
    pool = torch.cuda.graph_pool_handle()
    graphs = []
    for _ in range(3):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            left @ left
        graphs.append(graph)
    for graph in graphs:
        graph.replay()
    torch.cuda.synchronize()
