"""Launches, graphs, events and small host calls: what a step costs beyond its kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from revati.profile.cases.base import Call, Case, Context
from revati.profile.schema import Value
from revati.profile.timing import Settings, Timing, time_events, time_graph, time_host

GRAPH_NODES = (1, 4, 16, 64, 256, 400)

Build = Callable[[Context], Sequence[Call]]


def cases() -> Iterator[Case]:
    """Device side first, then the host's share."""
    yield _device("null_kernel", None, lambda _: [_null] * 8, time_events)
    for nodes in GRAPH_NODES:
        yield _device("node_pitch", nodes, partial(_nulls, nodes=nodes), time_graph)
        yield _device("launch", nodes, partial(_replay, nodes=nodes), time_events)
        yield _host("graph_launch", partial(_replay, nodes=nodes), nodes=nodes)
    yield _device("event", None, _event_pairs, time_events)
    yield _host("kernel_launch", lambda _: [_null])
    yield _host("torch_add", _torch_add)
    yield _host("event_record", lambda _: [torch.cuda.Event().record])
    yield _host("event_query", _event_query)
    yield _host("stream_wait", _stream_wait)
    yield _host("synchronize", lambda _: [torch.cuda.current_stream().synchronize])
    yield _host("launch_and_wait", lambda _: [_launch_and_wait])
    yield _host("read_back", _read_back)
    for size in (4, 4096, 1 << 20):
        yield _host("copy_async", partial(_copy_async, size=size), bytes=size)
        yield _host("allocate", partial(_allocate, size=size), bytes=size)


def _device(
    what: str, nodes: int | None, build: Build, measure: Callable[[Sequence[Call], Settings], Timing]
) -> Case:
    features: dict[str, Value] = {"what": what} if nodes is None else {"what": what, "nodes": nodes}
    return Case("overheads", 0, "graph_overhead", features, build, measure, kernels=False)


def _host(what: str, build: Build, **sizes: int) -> Case:
    return Case("overheads", 0, "host_overhead", {"what": what, **sizes}, build, _time_host, kernels=False)


def _time_host(calls: Sequence[Call], settings: Settings) -> Timing:
    return time_host(calls[0], settings)


def _null() -> None:
    """The nearest to an empty kernel that torch has: it spins for zero cycles."""
    torch.cuda._sleep(0)


def _nulls(_: Context, nodes: int) -> Sequence[Call]:
    return [_null] * nodes


def _replay(_: Context, nodes: int) -> Sequence[Call]:
    _null()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _node in range(nodes):
            _null()
    return [graph.replay]


def _event_pairs(_: Context) -> Sequence[Call]:
    return [torch.cuda.Event(enable_timing=True).record for _mark in range(64)]


def _launch_and_wait() -> None:
    """From the launch to the moment when the waiting thread runs again."""
    _null()
    torch.cuda.current_stream().synchronize()


def _read_back(_: Context) -> Sequence[Call]:
    """One value copied back and waited for, as an engine fetches its token ids."""
    device, host = torch.zeros(1, device="cuda"), torch.zeros(1, pin_memory=True)
    done = torch.cuda.Event()

    def fetch() -> None:
        host.copy_(device, non_blocking=True)
        done.record()
        done.synchronize()

    return [fetch]


def _torch_add(context: Context) -> Sequence[Call]:
    return [partial(torch.add, context.take((16,)), context.take((16,)), out=context.empty((16,)))]


def _event_query(_: Context) -> Sequence[Call]:
    event = torch.cuda.Event()
    event.record()
    return [event.query]


def _stream_wait(_: Context) -> Sequence[Call]:
    event, stream = torch.cuda.Event(), torch.cuda.Stream()
    event.record()
    return [partial(stream.wait_event, event)]


def _copy_async(_: Context, size: int) -> Sequence[Call]:
    host = torch.zeros(size, dtype=torch.uint8, pin_memory=True)
    device = torch.zeros(size, dtype=torch.uint8, device="cuda")
    return [partial(device.copy_, host, non_blocking=True)]


def _allocate(_: Context, size: int) -> Sequence[Call]:
    return [partial(torch.empty, size, dtype=torch.uint8, device="cuda")]
