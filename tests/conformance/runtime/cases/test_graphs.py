"""Capture, graphs and their nodes, instantiation, launch and update."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from runtime_api import (
    CAPTURE_UNJOINED,
    CAPTURE_UNMATCHED,
    CAPTURE_UNSUPPORTED,
    DEFAULT,
    DISABLE_TIMING,
    GLOBAL,
    HOST_TO_DEVICE,
    ILLEGAL_STATE,
    INVALID_VALUE,
    MAJOR,
    NULL,
    RELAXED,
    THREAD_LOCAL,
    UPDATE_FAILURE,
    Kernel,
    Runtime,
    arguments,
    dim3,
    ffi,
)

KERNEL, MEMCPY, MEMSET, HOST, CHILD, EMPTY, WAIT, RECORD = range(8)
NONE, ACTIVE, INVALIDATED = range(3)
EDGES = () if MAJOR == 12 else (NULL,)  # CUDA 13 has an array of edge data there


@contextmanager
def executable(rt: Runtime, graph: Any) -> Iterator[Any]:
    exec_ = rt.get("cudaGraphInstantiate", "handle", graph, 0)
    yield exec_
    rt.ok("cudaGraphExecDestroy", exec_)


def run(rt: Runtime, exec_: Any) -> None:
    rt.ok("cudaGraphLaunch", exec_, NULL)
    rt.ok("cudaStreamSynchronize", NULL)


def nodes_of(rt: Runtime, graph: Any, name: str = "cudaGraphGetNodes") -> list[Any]:
    count = ffi.new("size_t*")
    rt.ok(name, graph, NULL, count)
    nodes = ffi.new("handle[]", max(count[0], 1))
    rt.ok(name, graph, nodes, count)
    return list(nodes[0 : count[0]])


def type_of(rt: Runtime, node: Any) -> int:
    out = ffi.new("int*")
    rt.ok("cudaGraphNodeGetType", node, out)
    return int(out[0])


def edges_of(rt: Runtime, graph: Any) -> list[tuple[Any, Any]]:
    count = ffi.new("size_t*")
    rt.ok("cudaGraphGetEdges", graph, NULL, NULL, *EDGES, count)
    first, second = ffi.new("handle[]", count[0] + 1), ffi.new("handle[]", count[0] + 1)
    rt.ok("cudaGraphGetEdges", graph, first, second, *EDGES, count)
    return [(first[index], second[index]) for index in range(count[0])]


def neighbours(rt: Runtime, node: Any, name: str) -> list[Any]:
    count = ffi.new("size_t*")
    rt.ok(name, node, NULL, *EDGES, count)
    nodes = ffi.new("handle[]", max(count[0], 1))
    rt.ok(name, node, nodes, *EDGES, count)
    return list(nodes[0 : count[0]])


def memset_parameters(pointer: Any, value: int, width: int = 16, element: int = 1) -> Any:
    parameters = {"dst": pointer, "pitch": width * element, "value": value, "elementSize": element}
    return ffi.new("cudaMemsetParams*", parameters | {"width": width, "height": 1})


def noting_function(calls: list[int]) -> Any:
    """A host function that notes its argument."""
    return ffi.callback("void(void*)", lambda user: calls.append(int(ffi.cast("uintptr_t", user))))


def add(rt: Runtime, name: str, graph: Any, after: list[Any], *rest: Any) -> Any:
    dependencies = ffi.new("handle[]", after) if after else NULL
    return rt.get(name, "handle", graph, dependencies, len(after), *rest)


@contextmanager
def capture(rt: Runtime, stream: Any, mode: int = THREAD_LOCAL) -> Iterator[list[Any]]:
    """Yields a list that holds the graph afterwards."""
    graph: list[Any] = []
    rt.ok("cudaStreamBeginCapture", stream, mode)
    yield graph
    out = ffi.new("handle*")
    rt.ok("cudaStreamEndCapture", stream, out)
    graph.append(out[0])


def capture_status(rt: Runtime, stream: Any) -> int:
    status = ffi.new("int*")
    rt.ok("cudaStreamIsCapturing", stream, status)
    return int(status[0])


@pytest.mark.parametrize("mode", [GLOBAL, THREAD_LOCAL, RELAXED])
def test_captured_work_runs_at_replay_only(rt: Runtime, kernel: Kernel, mode: int) -> None:
    values, _kept = arguments()
    with rt.memory(4096) as pointer, rt.stream() as stream:
        rt.ok("cudaMemset", pointer, 0, 4096)
        with capture(rt, stream, mode) as captured:
            assert capture_status(rt, stream) == ACTIVE
            rt.ok("cudaMemsetAsync", pointer, 1, 100, stream)
            rt.ok("cudaLaunchKernel", kernel.function, dim3(), dim3(), values, 0, stream)
            rt.ok("cudaMemcpyAsync", pointer + 200, pointer, 100, DEFAULT, stream)
        assert capture_status(rt, stream) == NONE
        assert rt.download(pointer, 300) == b"\0" * 300
        graph = captured[0]
        assert [type_of(rt, node) for node in nodes_of(rt, graph)] == [MEMSET, KERNEL, MEMCPY]
        with executable(rt, graph) as exec_:
            rt.ok("cudaGraphUpload", exec_, stream)
            run(rt, exec_)
            assert rt.download(pointer, 300) == b"\1" * 100 + b"\0" * 100 + b"\1" * 100
            rt.ok("cudaMemset", pointer, 0, 4096)
            run(rt, exec_)
            assert rt.download(pointer, 300) == b"\1" * 100 + b"\0" * 100 + b"\1" * 100
        rt.ok("cudaGraphDestroy", graph)


def test_fork_and_join(rt: Runtime) -> None:
    with (
        rt.memory(4096) as pointer,
        rt.stream() as first,
        rt.stream() as second,
        rt.event(DISABLE_TIMING) as fork,
        rt.event(DISABLE_TIMING) as join,
    ):
        with capture(rt, first) as captured:
            rt.ok("cudaMemsetAsync", pointer, 1, 16, first)
            rt.ok("cudaEventRecord", fork, first)
            rt.ok("cudaStreamWaitEvent", second, fork, 0)
            assert capture_status(rt, second) == ACTIVE
            rt.ok("cudaMemsetAsync", pointer + 16, 2, 16, second)
            rt.ok("cudaMemsetAsync", pointer + 32, 3, 16, first)
            rt.ok("cudaEventRecord", join, second)
            rt.ok("cudaStreamWaitEvent", first, join, 0)
            rt.ok("cudaMemsetAsync", pointer + 48, 4, 16, first)
        graph = captured[0]
        root, left, right, last = nodes_of(rt, graph)
        assert nodes_of(rt, graph, "cudaGraphGetRootNodes") == [root]
        assert set(edges_of(rt, graph)) == {(root, left), (root, right), (left, last), (right, last)}
        assert set(neighbours(rt, last, "cudaGraphNodeGetDependencies")) == {left, right}
        assert set(neighbours(rt, root, "cudaGraphNodeGetDependentNodes")) == {left, right}
        with executable(rt, graph) as exec_:
            run(rt, exec_)
        assert rt.download(pointer, 64) == b"".join(bytes([value]) * 16 for value in (1, 2, 3, 4))
        rt.ok("cudaGraphDestroy", graph)


def test_a_stream_that_is_not_joined_back(rt: Runtime) -> None:
    with (
        rt.memory(64) as pointer,
        rt.stream() as first,
        rt.stream() as second,
        rt.event(DISABLE_TIMING) as fork,
    ):
        rt.ok("cudaStreamBeginCapture", first, RELAXED)
        rt.ok("cudaEventRecord", fork, first)
        rt.ok("cudaStreamWaitEvent", second, fork, 0)
        rt.ok("cudaMemsetAsync", pointer, 0, 64, second)
        rt.fails(CAPTURE_UNMATCHED, "cudaStreamEndCapture", second, ffi.new("handle*"))
        rt.fails(CAPTURE_UNJOINED, "cudaStreamEndCapture", first, ffi.new("handle*"))
        assert capture_status(rt, first) == NONE


def test_what_must_not_be_done_while_capturing(rt: Runtime) -> None:
    with rt.stream() as stream:
        rt.ok("cudaStreamBeginCapture", stream, THREAD_LOCAL)
        rt.fails(CAPTURE_UNSUPPORTED, "cudaStreamSynchronize", stream)
        assert capture_status(rt, stream) == INVALIDATED
        assert rt.call("cudaStreamEndCapture", stream, ffi.new("handle*")) == 901
        rt.call("cudaGetLastError")
        rt.fails(ILLEGAL_STATE, "cudaStreamEndCapture", stream, ffi.new("handle*"))
        rt.ok("cudaStreamBeginCapture", stream, GLOBAL)
        rt.fails(CAPTURE_UNSUPPORTED, "cudaMalloc", ffi.new("void**"), 4096)
        assert rt.call("cudaStreamEndCapture", stream, ffi.new("handle*")) == 901
        rt.call("cudaGetLastError")


def test_modes_are_exchanged(rt: Runtime) -> None:
    mode = ffi.new("int*", RELAXED)
    rt.ok("cudaThreadExchangeStreamCaptureMode", mode)
    assert mode[0] == GLOBAL
    with rt.stream() as stream:
        rt.ok("cudaStreamBeginCapture", stream, GLOBAL)
        with rt.memory(4096):  # allowed in relaxed mode
            pass
        graph = ffi.new("handle*")
        rt.ok("cudaStreamEndCapture", stream, graph)
        rt.ok("cudaGraphDestroy", graph[0])
    rt.ok("cudaThreadExchangeStreamCaptureMode", mode)
    assert mode[0] == RELAXED


def test_a_capture_describes_itself(rt: Runtime) -> None:
    status, count, identity = ffi.new("int*"), ffi.new("size_t*"), ffi.new("unsigned long long*")
    graph, dependencies = ffi.new("handle*"), ffi.new("handle**")
    variants = (
        [("cudaStreamGetCaptureInfo_v2", ()), ("cudaStreamGetCaptureInfo_v3", (NULL,))]
        if MAJOR == 12
        else [("cudaStreamGetCaptureInfo", (NULL,))]
    )
    with rt.memory(64) as pointer, rt.stream() as stream:
        for name, edges in variants:
            rt.ok(name, stream, status, identity, graph, dependencies, *edges, count)
            assert status[0] == NONE
        with capture(rt, stream) as captured:
            rt.ok("cudaMemsetAsync", pointer, 0, 64, stream)
            for name, edges in variants:
                rt.ok(name, stream, status, identity, graph, dependencies, *edges, count)
                assert status[0] == ACTIVE
                assert identity[0] > 0
                assert [dependencies[0][0]] == nodes_of(rt, graph[0])
            if MAJOR == 12:
                rt.ok("cudaStreamGetCaptureInfo", stream, status, identity)
                assert status[0] == ACTIVE
            # Work that follows is to depend on an empty node instead.
            node = add(rt, "cudaGraphAddEmptyNode", graph[0], [])
            rt.ok("cudaStreamUpdateCaptureDependencies", stream, ffi.new("handle[]", [node]), *EDGES, 1, 1)
            if MAJOR == 12:
                rt.ok(
                    "cudaStreamUpdateCaptureDependencies_v2", stream, ffi.new("handle[]", [node]), NULL, 1, 1
                )
            rt.ok("cudaMemsetAsync", pointer, 0, 64, stream)
        last = nodes_of(rt, captured[0])[-1]
        assert neighbours(rt, last, "cudaGraphNodeGetDependencies") == [node]
        rt.ok("cudaGraphDestroy", captured[0])


def test_capture_into_a_graph(rt: Runtime) -> None:
    with rt.graph() as graph, rt.memory(64) as pointer, rt.stream() as stream:
        first = add(rt, "cudaGraphAddEmptyNode", graph, [])
        rt.ok("cudaStreamBeginCaptureToGraph", stream, graph, ffi.new("handle[]", [first]), NULL, 1, RELAXED)
        rt.ok("cudaMemsetAsync", pointer, 0, 64, stream)
        out = ffi.new("handle*")
        rt.ok("cudaStreamEndCapture", stream, out)
        assert out[0] == graph
        assert edges_of(rt, graph) == [tuple(nodes_of(rt, graph))]


def test_every_kind_of_node(rt: Runtime, kernel: Kernel) -> None:
    values, _kept = arguments()
    calls: list[int] = []
    function = noting_function(calls)
    data = bytes(range(64))
    with rt.graph() as graph, rt.graph() as child, rt.memory(4096) as pointer, rt.event() as event:
        rt.upload(pointer, data)
        add(rt, "cudaGraphAddMemsetNode", child, [], memset_parameters(pointer + 512, 9))
        copy = add(rt, "cudaGraphAddMemcpyNode1D", graph, [], pointer + 64, pointer, 64, DEFAULT)
        fill = add(
            rt, "cudaGraphAddMemsetNode", graph, [copy], memset_parameters(pointer + 128, 0x0A0B, 8, 2)
        )
        launch = {"func": kernel.function, "gridDim": dim3(7), "blockDim": dim3(32), "kernelParams": values}
        node = add(rt, "cudaGraphAddKernelNode", graph, [fill], ffi.new("cudaKernelNodeParams*", launch))
        host = ffi.new("cudaHostNodeParams*", {"fn": function, "userData": ffi.cast("void*", 5)})
        called = add(rt, "cudaGraphAddHostNode", graph, [node], host)
        recorded = add(rt, "cudaGraphAddEventRecordNode", graph, [called], event)
        waited = add(rt, "cudaGraphAddEventWaitNode", graph, [recorded], event)
        nested = add(rt, "cudaGraphAddChildGraphNode", graph, [waited], child)
        empty = add(rt, "cudaGraphAddEmptyNode", graph, [nested])
        everything = [copy, fill, node, called, recorded, waited, nested, empty]
        assert [type_of(rt, each) for each in everything] == [
            MEMCPY, MEMSET, KERNEL, HOST, RECORD, WAIT, CHILD, EMPTY
        ]  # fmt: skip
        found = ffi.new("cudaKernelNodeParams*")
        rt.ok("cudaGraphKernelNodeGetParams", node, found)
        assert (found.gridDim.x, found.blockDim.x) == (7, 32)
        filled = ffi.new("cudaMemsetParams*")
        rt.ok("cudaGraphMemsetNodeGetParams", fill, filled)
        assert (filled.dst, filled.value, filled.elementSize, filled.width) == (pointer + 128, 0x0A0B, 2, 8)
        copied = ffi.new("cudaMemcpy3DParms*")
        rt.ok("cudaGraphMemcpyNodeGetParams", copy, copied)
        assert copied.extent.width == 64
        back = ffi.new("cudaHostNodeParams*")
        rt.ok("cudaGraphHostNodeGetParams", called, back)
        assert back.userData == ffi.cast("void*", 5)
        for name, each in (
            ("cudaGraphEventRecordNodeGetEvent", recorded),
            ("cudaGraphEventWaitNodeGetEvent", waited),
        ):
            out = ffi.new("handle*")
            rt.ok(name, each, out)
            assert out[0] == event
        out = ffi.new("handle*")
        rt.ok("cudaGraphChildGraphNodeGetGraph", nested, out)
        assert len(nodes_of(rt, out[0])) == 1
        rt.fails(INVALID_VALUE, "cudaGraphMemsetNodeGetParams", copy, filled)
        with executable(rt, graph) as exec_:
            run(rt, exec_)
        found_bytes = rt.download(pointer, 1024)
        assert found_bytes[64:128] == data
        assert found_bytes[128:144] == b"\x0b\x0a" * 8
        assert found_bytes[512:528] == b"\x09" * 16
        assert calls == [5]
        rt.ok("cudaEventQuery", event)


def test_nodes_get_new_parameters(rt: Runtime, kernel: Kernel) -> None:
    values, _kept = arguments()
    calls: list[int] = []
    function = noting_function(calls)
    with rt.graph() as graph, rt.memory(4096) as pointer, rt.event() as event, rt.event() as other:
        rt.upload(pointer, bytes(range(64)))
        fill = add(rt, "cudaGraphAddMemsetNode", graph, [], memset_parameters(pointer + 64, 1))
        copy = add(rt, "cudaGraphAddMemcpyNode1D", graph, [fill], pointer + 128, pointer, 16, DEFAULT)
        launch = {"func": kernel.function, "gridDim": dim3(1), "blockDim": dim3(32), "kernelParams": values}
        parameters = ffi.new("cudaKernelNodeParams*", launch)
        node = add(rt, "cudaGraphAddKernelNode", graph, [copy], parameters)
        host = ffi.new("cudaHostNodeParams*", {"fn": function, "userData": ffi.cast("void*", 1)})
        called = add(rt, "cudaGraphAddHostNode", graph, [node], host)
        recorded = add(rt, "cudaGraphAddEventRecordNode", graph, [called], event)
        waited = add(rt, "cudaGraphAddEventWaitNode", graph, [recorded], event)
        exec_ = rt.get("cudaGraphInstantiateWithFlags", "handle", graph, 0)

        # First in the executable graph only: the graph itself keeps its own.
        rt.ok("cudaGraphExecMemsetNodeSetParams", exec_, fill, memset_parameters(pointer + 64, 2))
        rt.ok("cudaGraphExecMemcpyNodeSetParams1D", exec_, copy, pointer + 128, pointer + 16, 16, DEFAULT)
        parameters.gridDim = dim3(2)
        rt.ok("cudaGraphExecKernelNodeSetParams", exec_, node, parameters)
        host.userData = ffi.cast("void*", 2)
        rt.ok("cudaGraphExecHostNodeSetParams", exec_, called, host)
        rt.ok("cudaGraphExecEventRecordNodeSetEvent", exec_, recorded, other)
        rt.ok("cudaGraphExecEventWaitNodeSetEvent", exec_, waited, other)
        run(rt, exec_)
        assert rt.download(pointer + 64, 16) == b"\2" * 16
        assert rt.download(pointer + 128, 16) == bytes(range(16, 32))
        assert calls == [2]
        rt.ok("cudaGraphExecDestroy", exec_)

        # Then in the graph.
        rt.ok("cudaGraphMemsetNodeSetParams", fill, memset_parameters(pointer + 64, 3))
        rt.ok("cudaGraphMemcpyNodeSetParams1D", copy, pointer + 128, pointer + 32, 16, DEFAULT)
        box = ffi.new("cudaMemcpy3DParms*")
        rt.ok("cudaGraphMemcpyNodeGetParams", copy, box)
        rt.ok("cudaGraphMemcpyNodeSetParams", copy, box)
        rt.ok("cudaGraphKernelNodeSetParams", node, parameters)
        host.userData = ffi.cast("void*", 3)
        rt.ok("cudaGraphHostNodeSetParams", called, host)
        rt.ok("cudaGraphEventRecordNodeSetEvent", recorded, other)
        rt.ok("cudaGraphEventWaitNodeSetEvent", waited, other)
        with executable(rt, graph) as changed:
            rt.ok("cudaGraphExecMemcpyNodeSetParams", changed, copy, box)
            run(rt, changed)
        assert rt.download(pointer + 64, 16) == b"\3" * 16
        assert rt.download(pointer + 128, 16) == bytes(range(32, 48))
        assert calls == [2, 3]
        found = ffi.new("cudaKernelNodeParams*")
        rt.ok("cudaGraphKernelNodeGetParams", node, found)
        assert found.gridDim.x == 2


def test_nodes_of_any_type(rt: Runtime) -> None:
    with rt.graph() as graph, rt.memory(64) as pointer:
        parameters = ffi.new("cudaGraphNodeParams*", {"type": MEMSET})
        parameters.memset = memset_parameters(pointer, 4, 64)[0]
        node = rt.get("cudaGraphAddNode", "handle", graph, NULL, *EDGES, 0, parameters)
        if MAJOR == 12:
            empty = ffi.new("cudaGraphNodeParams*", {"type": EMPTY})
            rt.get("cudaGraphAddNode_v2", "handle", graph, NULL, NULL, 0, empty)
        parameters.memset = memset_parameters(pointer, 5, 64)[0]
        rt.ok("cudaGraphNodeSetParams", node, parameters)
        with executable(rt, graph) as exec_:
            run(rt, exec_)
        assert rt.download(pointer, 64) == b"\5" * 64


def test_a_child_graph_is_replaced(rt: Runtime) -> None:
    with rt.graph() as graph, rt.graph() as child, rt.graph() as other, rt.memory(64) as pointer:
        add(rt, "cudaGraphAddMemsetNode", child, [], memset_parameters(pointer, 1))
        add(rt, "cudaGraphAddMemsetNode", other, [], memset_parameters(pointer, 2))
        node = add(rt, "cudaGraphAddChildGraphNode", graph, [], child)
        with executable(rt, graph) as exec_:
            rt.ok("cudaGraphExecChildGraphNodeSetParams", exec_, node, other)
            run(rt, exec_)
        assert rt.download(pointer, 16) == b"\2" * 16


def test_edges_are_added_and_removed(rt: Runtime, tmp_path: Path) -> None:
    with rt.graph() as graph:
        first, second, third = (add(rt, "cudaGraphAddEmptyNode", graph, []) for _ in range(3))
        pair = (ffi.new("handle[]", [first, second]), ffi.new("handle[]", [second, third]))
        rt.ok("cudaGraphAddDependencies", graph, *pair, *EDGES, 2)
        assert set(edges_of(rt, graph)) == {(first, second), (second, third)}
        rt.fails(INVALID_VALUE, "cudaGraphAddDependencies", graph, *pair, *EDGES, 2)
        rt.ok("cudaGraphRemoveDependencies", graph, *pair, *EDGES, 1)
        assert edges_of(rt, graph) == [(second, third)]
        rt.fails(INVALID_VALUE, "cudaGraphRemoveDependencies", graph, *pair, *EDGES, 1)
        clone = rt.get("cudaGraphClone", "handle", graph)
        found = rt.get("cudaGraphNodeFindInClone", "handle", third, clone)
        assert found in nodes_of(rt, clone)
        assert len(edges_of(rt, clone)) == 1
        rt.ok("cudaGraphDestroyNode", second)
        assert nodes_of(rt, graph) == [first, third]
        assert edges_of(rt, graph) == []
        path = tmp_path / "graph.dot"
        rt.ok("cudaGraphDebugDotPrint", clone, ffi.new("char[]", str(path).encode()), 0)
        assert path.read_text().startswith("digraph")
        rt.ok("cudaGraphDestroy", clone)


@pytest.mark.skipif(MAJOR != 12, reason="names of CUDA 12")
def test_names_with_edge_data(rt: Runtime) -> None:
    with rt.graph() as graph:
        first, second = (add(rt, "cudaGraphAddEmptyNode", graph, []) for _ in range(2))
        pair = (ffi.new("handle[]", [first]), ffi.new("handle[]", [second]))
        rt.ok("cudaGraphAddDependencies_v2", graph, *pair, NULL, 1)
        count, data, out = ffi.new("size_t*", 1), ffi.new("char[8]"), ffi.new("handle[1]")
        rt.ok("cudaGraphGetEdges_v2", graph, ffi.new("handle[1]"), out, data, count)
        assert (count[0], out[0]) == (1, second)
        rt.ok("cudaGraphNodeGetDependencies_v2", second, out, data, count)
        assert out[0] == first
        rt.ok("cudaGraphNodeGetDependentNodes_v2", first, out, data, count)
        assert out[0] == second
        rt.ok("cudaGraphRemoveDependencies_v2", graph, *pair, NULL, 1)


def test_update_of_a_whole_graph(rt: Runtime) -> None:
    result = ffi.new("cudaGraphExecUpdateResultInfo*")
    with rt.graph() as graph, rt.graph() as similar, rt.graph() as other, rt.memory(64) as pointer:
        add(rt, "cudaGraphAddMemsetNode", graph, [], memset_parameters(pointer, 1))
        add(rt, "cudaGraphAddMemsetNode", similar, [], memset_parameters(pointer, 2))
        first = add(rt, "cudaGraphAddEmptyNode", other, [])
        add(rt, "cudaGraphAddMemsetNode", other, [first], memset_parameters(pointer, 3))
        parameters = ffi.new("cudaGraphInstantiateParams*")
        exec_ = rt.get("cudaGraphInstantiateWithParams", "handle", graph, parameters)
        assert parameters.result_out == 0
        assert rt.get("cudaGraphInstantiate", "handle", graph, 8) != NULL
        out = ffi.new("unsigned long long*", 99)
        rt.ok("cudaGraphExecGetFlags", exec_, out)
        assert out[0] == 0
        rt.ok("cudaGraphExecUpdate", exec_, similar, result)
        assert result.result == 0
        run(rt, exec_)
        assert rt.download(pointer, 16) == b"\2" * 16
        rt.fails(UPDATE_FAILURE, "cudaGraphExecUpdate", exec_, other, result)
        assert result.result != 0
        rt.ok("cudaGraphExecDestroy", exec_)


def test_a_graph_inside_a_capture(rt: Runtime) -> None:
    with rt.graph() as inner, rt.memory(64) as pointer, rt.stream() as stream:
        add(rt, "cudaGraphAddMemsetNode", inner, [], memset_parameters(pointer, 7))
        with executable(rt, inner) as exec_, capture(rt, stream) as captured:
            rt.ok("cudaGraphLaunch", exec_, stream)
        with executable(rt, captured[0]) as outer:
            run(rt, outer)
        assert rt.download(pointer, 16) == b"\7" * 16
        rt.ok("cudaGraphDestroy", captured[0])


def test_copies_from_host_memory_are_made_again(rt: Runtime) -> None:
    pinned = rt.get("cudaMallocHost", "void*", 4096)
    with rt.memory(4096) as pointer, rt.stream() as stream:
        with capture(rt, stream) as captured:
            rt.ok("cudaMemcpyAsync", pointer, pinned, 8, HOST_TO_DEVICE, stream)
        with executable(rt, captured[0]) as exec_:
            for text in (b"first...", b"second.."):
                ffi.memmove(pinned, text, 8)
                run(rt, exec_)
                assert rt.download(pointer, 8) == text
        rt.ok("cudaGraphDestroy", captured[0])
    rt.ok("cudaFreeHost", pinned)
