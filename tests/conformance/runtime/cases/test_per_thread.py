"""The variants for programs whose default stream is the calling thread's own (`_ptsz`, `_ptds`)."""

from __future__ import annotations

from typing import Any

import pytest
from runtime_api import (
    DEVICE_TO_HOST,
    HOST_TO_DEVICE,
    MAJOR,
    NULL,
    PER_THREAD,
    SUCCESS,
    Kernel,
    Runtime,
    arguments,
    dim3,
    ffi,
)
from test_bad_arguments import ALL, Case

# 0 is another stream there, so that what is refused for the legacy stream is allowed.
LEGACY_ONLY = {"cudaStreamBeginCapture", "cudaMemcpyBatchAsync"}


def variants() -> list[tuple[str, Case]]:
    library = Runtime().lib
    found = []
    for case in ALL:
        for suffix in ("_ptsz", "_ptds"):
            if case[0] not in LEGACY_ONLY and hasattr(library, case[0] + suffix):
                found.append((case[0] + suffix, case))
    return found


VARIANTS = variants()


@pytest.mark.parametrize(
    ("name", "case"), VARIANTS, ids=[f"{index}-{name}" for index, (name, _) in enumerate(VARIANTS)]
)
def test_the_same_is_refused(rt: Runtime, name: str, case: Case) -> None:
    rt.fails(case[2], name, *case[1])


def test_copies_and_fills(rt: Runtime) -> None:
    data, out = bytes(range(64)), bytearray(64)
    with rt.memory(4096) as pointer:
        rt.ok("cudaMemset_ptds", pointer, 1, 4096)
        rt.ok("cudaMemcpy_ptds", pointer, ffi.from_buffer(data), 64, HOST_TO_DEVICE)
        rt.ok("cudaMemcpyAsync_ptsz", pointer + 64, pointer, 64, 3, NULL)
        rt.ok("cudaMemcpy2D_ptds", pointer + 128, 64, pointer, 64, 64, 1, 3)
        rt.ok("cudaMemcpy2DAsync_ptsz", pointer + 192, 64, pointer, 64, 64, 1, 3, NULL)
        box = ffi.new("cudaMemcpy3DParms*")
        box.srcPtr = {"ptr": pointer, "pitch": 64, "xsize": 64, "ysize": 1}
        box.dstPtr = {"ptr": pointer + 256, "pitch": 64, "xsize": 64, "ysize": 1}
        box.extent = {"width": 64, "height": 1, "depth": 1}
        box.kind = 3
        rt.ok("cudaMemcpy3D_ptds", box)
        rt.ok("cudaMemcpy3DAsync_ptsz", box, NULL)
        rt.ok("cudaStreamSynchronize_ptsz", NULL)
        rt.ok("cudaMemcpy_ptds", ffi.from_buffer(out), pointer + 256, 64, DEVICE_TO_HOST)
        assert bytes(out) == data
        assert rt.download(pointer, 320) == data * 5
        rt.ok("cudaMemset2D_ptds", pointer, 64, 2, 64, 1)
        rt.ok("cudaMemset2DAsync_ptsz", pointer + 64, 64, 3, 64, 1, NULL)
        rt.ok("cudaMemsetAsync_ptsz", pointer + 128, 4, 64, NULL)
        rt.ok("cudaStreamSynchronize_ptsz", PER_THREAD)
        target = ffi.new("cudaPitchedPtr*", {"ptr": pointer + 192, "pitch": 64, "xsize": 64, "ysize": 1})[0]
        extent = ffi.new("cudaExtent*", {"width": 64, "height": 1, "depth": 1})[0]
        rt.ok("cudaMemset3D_ptds", target, 5, extent)
        rt.ok("cudaMemset3DAsync_ptsz", target, 6, extent, NULL)
        rt.ok("cudaDeviceSynchronize")
        assert rt.download(pointer, 256) == b"".join(bytes([value]) * 64 for value in (2, 3, 4, 6))


def test_peer_boxes_batches_and_memory(rt: Runtime) -> None:
    with rt.memory(4096) as pointer:
        rt.upload(pointer, b"abcdefgh")
        box = ffi.new("cudaMemcpy3DPeerParms*")
        box.srcPtr = {"ptr": pointer, "pitch": 8, "xsize": 8, "ysize": 1}
        box.dstPtr = {"ptr": pointer + 8, "pitch": 8, "xsize": 8, "ysize": 1}
        box.extent = {"width": 8, "height": 1, "depth": 1}
        rt.ok("cudaMemcpy3DPeer_ptds", box)
        rt.ok("cudaMemcpy3DPeerAsync_ptsz", box, NULL)
        attributes = ffi.new("int[]", [1] + [0] * 15)
        batch = (
            ffi.new("void*[]", [pointer + 16]),
            ffi.new("void*[]", [pointer]),
            ffi.new("size_t[]", [8]),
            1,
        )
        rest = (ffi.new("size_t*"), NULL) if MAJOR == 12 else (NULL,)
        rt.ok("cudaMemcpyBatchAsync_ptsz", *batch, attributes, ffi.new("size_t*"), 1, *rest)
        rt.ok("cudaStreamSynchronize_ptsz", NULL)
        assert rt.download(pointer, 24) == b"abcdefgh" * 3
    pointer = rt.get("cudaMallocAsync_ptsz", "void*", 4096, NULL)
    rt.ok("cudaFreeAsync_ptsz", pointer, NULL)
    pool = rt.get("cudaDeviceGetDefaultMemPool", "handle", 0)
    pointer = rt.get("cudaMallocFromPoolAsync_ptsz", "void*", 4096, pool, NULL)
    rt.ok("cudaFreeAsync_ptsz", pointer, NULL)
    managed = rt.get("cudaMallocManaged", "void*", 4096, 1)
    place = ffi.new("cudaMemLocation*", {"type": 1, "id": 0})[0]
    rt.ok("cudaStreamAttachMemAsync_ptsz", NULL, managed, 0, 1)
    if MAJOR == 12:
        rt.ok("cudaMemPrefetchAsync_ptsz", managed, 4096, 0, NULL)
        rt.ok("cudaMemPrefetchAsync_v2_ptsz", managed, 4096, place, 0, NULL)
    else:
        rt.ok("cudaMemPrefetchAsync_ptsz", managed, 4096, place, 0, NULL)
    rt.ok("cudaFree", managed)


@pytest.mark.virtual_only
def test_device_variables(rt: Runtime) -> None:
    wrapper, variable, name = ffi.new("char[64]"), ffi.new("char[32]"), ffi.new("char[]", b"variable")
    binary, out = rt.lib.__cudaRegisterFatBinary(wrapper), bytearray(4)
    rt.lib.__cudaRegisterVar(binary, variable, name, name, 0, 32, 0, 1)
    rt.ok("cudaMemcpyToSymbol_ptds", variable, ffi.from_buffer(b"abcd"), 4, 0, HOST_TO_DEVICE)
    rt.ok("cudaMemcpyToSymbolAsync_ptsz", variable, ffi.from_buffer(b"x"), 1, 1, HOST_TO_DEVICE, NULL)
    rt.ok("cudaMemcpyFromSymbolAsync_ptsz", ffi.from_buffer(out), variable, 2, 2, DEVICE_TO_HOST, NULL)
    rt.ok("cudaStreamSynchronize_ptsz", NULL)
    assert bytes(out[:2]) == b"cd"
    rt.ok("cudaMemcpyFromSymbol_ptds", ffi.from_buffer(out), variable, 4, 0, DEVICE_TO_HOST)
    assert bytes(out) == b"axcd"
    rt.lib.__cudaUnregisterFatBinary(binary)


def answer(rt: Runtime, name: str, kind: str) -> Any:
    out = ffi.new(f"{kind}*")
    rt.ok(name, NULL, out)
    return out[0]


def test_the_stream_is_the_threads_own(rt: Runtime) -> None:
    own, legacy = ffi.new("unsigned long long*"), ffi.new("unsigned long long*")
    rt.ok("cudaStreamGetId", PER_THREAD, own)
    rt.ok("cudaStreamGetId", NULL, legacy)
    assert answer(rt, "cudaStreamGetId_ptsz", "unsigned long long") == own[0] != legacy[0]
    assert answer(rt, "cudaStreamGetDevice_ptsz", "int") == 0
    assert answer(rt, "cudaStreamGetPriority_ptsz", "int") == 0
    answer(rt, "cudaStreamGetFlags_ptsz", "unsigned")
    value = ffi.new("int[16]", [2])
    rt.ok("cudaStreamSetAttribute_ptsz", NULL, 3, value)
    rt.ok("cudaStreamCopyAttributes_ptsz", NULL, PER_THREAD)
    rt.ok("cudaStreamGetAttribute_ptsz", NULL, 3, value)
    assert value[0] == 2
    value[0] = 1
    rt.ok("cudaStreamSetAttribute_ptsz", NULL, 3, value)


def test_events_and_host_functions(rt: Runtime) -> None:
    seen: list[int] = []

    function = ffi.callback("void(void*)", lambda _user: seen.append(1))
    callback = ffi.callback("void(handle, int, void*)", lambda _stream, _status, _user: seen.append(2))
    with rt.event() as event:
        rt.ok("cudaEventRecord_ptsz", event, NULL)
        rt.ok("cudaEventRecordWithFlags_ptsz", event, NULL, 0)
        rt.ok("cudaStreamWaitEvent_ptsz", NULL, event, 0)
        rt.ok("cudaLaunchHostFunc_ptsz", NULL, function, NULL)
        rt.ok("cudaStreamAddCallback_ptsz", NULL, callback, NULL, 0)
        rt.ok("cudaStreamSynchronize_ptsz", NULL)
        rt.ok("cudaStreamQuery_ptsz", NULL)
        assert rt.call("cudaEventQuery", event) == SUCCESS
    assert seen == [1, 2]


def test_launches(rt: Runtime, kernel: Kernel) -> None:
    values, _kept = arguments()
    launch = ffi.new("cudaLaunchConfig_t*")
    launch.gridDim = launch.blockDim = dim3()
    rt.ok("cudaLaunchKernel_ptsz", kernel.function, dim3(), dim3(), values, 0, NULL)
    rt.ok("cudaLaunchCooperativeKernel_ptsz", kernel.function, dim3(), dim3(), values, 0, NULL)
    rt.ok("cudaLaunchKernelExC_ptsz", launch, kernel.function, values)
    rt.ok("cudaStreamSynchronize_ptsz", NULL)


def test_capture_and_graphs(rt: Runtime) -> None:
    graph, status, identity = ffi.new("handle*"), ffi.new("int*"), ffi.new("unsigned long long*")
    count, nodes = ffi.new("size_t*"), ffi.new("handle**")
    with rt.memory(64) as pointer:
        # The thread's own stream can be captured, unlike the legacy one.
        rt.ok("cudaStreamBeginCapture_ptsz", NULL, 2)
        rt.ok("cudaStreamIsCapturing_ptsz", NULL, status)
        assert status[0] == 1
        rt.ok("cudaMemsetAsync_ptsz", pointer, 8, 64, NULL)
        if MAJOR == 12:
            rt.ok("cudaStreamGetCaptureInfo_ptsz", NULL, status, identity)
            rt.ok("cudaStreamGetCaptureInfo_v2_ptsz", NULL, status, identity, graph, nodes, count)
            rt.ok("cudaStreamGetCaptureInfo_v3_ptsz", NULL, status, identity, graph, nodes, NULL, count)
            rt.ok("cudaStreamUpdateCaptureDependencies_ptsz", NULL, NULL, 0, 0)
            rt.ok("cudaStreamUpdateCaptureDependencies_v2_ptsz", NULL, NULL, NULL, 0, 0)
        else:
            rt.ok("cudaStreamGetCaptureInfo_ptsz", NULL, status, identity, graph, nodes, NULL, count)
            rt.ok("cudaStreamUpdateCaptureDependencies_ptsz", NULL, NULL, NULL, 0, 0)
        assert count[0] == 1
        rt.ok("cudaStreamEndCapture_ptsz", NULL, graph)
        rt.ok("cudaStreamBeginCaptureToGraph_ptsz", NULL, graph[0], NULL, NULL, 0, 2)
        rt.ok("cudaStreamEndCapture_ptsz", NULL, graph)
        parameters = ffi.new("cudaGraphInstantiateParams*")
        exec_ = rt.get("cudaGraphInstantiateWithParams_ptsz", "handle", graph[0], parameters)
        rt.ok("cudaGraphUpload_ptsz", exec_, NULL)
        rt.ok("cudaGraphLaunch_ptsz", exec_, NULL)
        rt.ok("cudaStreamSynchronize_ptsz", NULL)
        assert rt.download(pointer, 64) == b"\x08" * 64
        rt.ok("cudaGraphExecDestroy", exec_)
        rt.ok("cudaGraphDestroy", graph[0])
