"""The driver: devices, contexts, memory, streams, captures, modules, virtual memory."""

from __future__ import annotations

import struct
import threading

import pytest
from library import NATIVE, NULL, Library, ffi

INVALID_VALUE, OUT_OF_MEMORY, INVALID_DEVICE, NO_BINARY, INVALID_IMAGE = 1, 2, 101, 209, 200
INVALID_CONTEXT, NO_COMPILER, UNSUPPORTED_LIMIT, FILE_NOT_FOUND, INVALID_HANDLE = 201, 221, 215, 301, 400
ILLEGAL_STATE, NOT_FOUND, NOT_SUPPORTED, CAPTURE_UNSUPPORTED = 401, 500, 801, 900
WILD = 0x7F00DEADB000
virtual_only = pytest.mark.skipif(NATIVE, reason="only true of a virtual GPU")


def needs_two_gpus(cu: Library) -> None:
    if cu.get("cuDeviceGetCount", "int") < 2:
        pytest.skip("needs two GPUs")


def test_versions_and_errors(cu: Library) -> None:
    assert cu.get("cuDriverGetVersion", "int") >= 12000
    assert (
        bytes(ffi.string(cu.get_last("cuGetErrorName", "const char*", NOT_FOUND))) == b"CUDA_ERROR_NOT_FOUND"
    )
    assert cu.call("cuGetErrorString", 12345, ffi.new("const char**")) == INVALID_VALUE
    assert cu.call("cuInit", 7) == INVALID_VALUE


@pytest.mark.parametrize(
    ("name", "version", "status"),
    [
        ("cuMemAlloc", 12000, 0),
        ("cuMemAlloc_v2", 12000, 0),
        ("cuCtxGetDevice", 12000, 0),
        ("cuNoSuchThing", 12000, 1),
        ("cuMemAlloc_v9", 12000, 1),
        ("cuMemAdvise", 4000, 2),
    ],
)
def test_functions_by_name(cu: Library, name: str, version: int, status: int) -> None:
    function, found = ffi.new("void**"), ffi.new("int*")
    cu.ok("cuGetProcAddress_v2", name.encode(), function, version, 0, found)
    assert found[0] == status
    assert (function[0] != NULL) == (status == 0)
    if status == 1:
        assert cu.call("cuGetProcAddress_v2", name.encode(), function, version, 0, NULL) == NOT_FOUND


def test_a_base_name_means_its_newest_version(cu: Library) -> None:
    address = ffi.new("void**")
    cu.ok("cuGetProcAddress_v2", b"cuMemAlloc", address, 12000, 0, NULL)
    plain = address[0]
    cu.ok("cuGetProcAddress_v2", b"cuMemAlloc_v2", address, 12000, 0, NULL)
    assert plain == address[0]


@virtual_only
def test_undocumented_tables_are_not_found(cu: Library) -> None:
    assert cu.call("cuGetExportTable", ffi.new("const void**"), ffi.new("char[16]")) == NOT_FOUND


def test_devices(cu: Library) -> None:
    count = cu.get("cuDeviceGetCount", "int")
    assert count >= 1
    assert cu.get("cuDeviceGet", "int", 0) == 0
    assert cu.call("cuDeviceGet", ffi.new("int*"), count) == INVALID_DEVICE
    bus = ffi.new("char[32]")
    cu.ok("cuDeviceGetPCIBusId", bus, 32, 0)
    assert cu.get("cuDeviceGetByPCIBusId", "int", bytes(ffi.string(bus))) == 0
    assert cu.get("cuDeviceTotalMem_v2", "size_t", 0) > 1 << 30


@pytest.mark.parametrize(
    ("attribute", "least"), [(1, 1024), (10, 32), (16, 1), (75, 7), (97, 49152), (102, 1), (106, 16)]
)
def test_device_attributes(cu: Library, attribute: int, least: int) -> None:
    assert cu.get("cuDeviceGetAttribute", "int", attribute, 0) >= least
    assert cu.call("cuDeviceGetAttribute", ffi.new("int*"), attribute, 77) == INVALID_DEVICE
    assert cu.call("cuDeviceGetAttribute", ffi.new("int*"), 99999, 0) == INVALID_VALUE


def test_a_stack_of_contexts(cu: Library) -> None:
    primary = cu.get("cuCtxGetCurrent", "void*")
    made = cu.get("cuCtxCreate_v2", "void*", 0, 0)
    assert cu.get("cuCtxGetCurrent", "void*") == made != primary
    assert cu.get("cuCtxPopCurrent_v2", "void*") == made
    assert cu.get("cuCtxGetCurrent", "void*") == primary
    cu.ok("cuCtxPushCurrent_v2", made)
    cu.ok("cuCtxDestroy_v2", made)
    assert cu.get("cuCtxGetCurrent", "void*") == primary
    assert cu.call("cuCtxPushCurrent_v2", NULL) == INVALID_CONTEXT


def test_without_a_context(cu: Library) -> None:
    primary = cu.get("cuCtxGetCurrent", "void*")
    cu.ok("cuCtxSetCurrent", NULL)
    assert cu.get("cuCtxGetCurrent", "void*") == NULL
    assert cu.call("cuMemAlloc_v2", ffi.new("uint64_t*"), 16) == INVALID_CONTEXT
    cu.ok("cuCtxSetCurrent", primary)


def test_limits(cu: Library) -> None:
    before = cu.get("cuCtxGetLimit", "size_t", 0)
    cu.ok("cuCtxSetLimit", 0, before * 2)
    assert cu.get("cuCtxGetLimit", "size_t", 0) == before * 2
    cu.ok("cuCtxSetLimit", 0, before)
    assert cu.call("cuCtxGetLimit", ffi.new("size_t*"), 77) in (INVALID_VALUE, UNSUPPORTED_LIMIT)


def read(cu: Library, address: int, size: int) -> bytes:
    out = ffi.new(f"char[{size}]")
    cu.ok("cuMemcpyDtoH_v2", out, address, size)
    return bytes(ffi.buffer(out))


def test_memory_is_counted_and_found(cu: Library) -> None:
    free, total = ffi.new("size_t*"), ffi.new("size_t*")
    cu.ok("cuMemGetInfo_v2", free, total)
    before = free[0]
    size = 64 << 20
    pointer = cu.get("cuMemAlloc_v2", "uint64_t", size)
    cu.ok("cuMemGetInfo_v2", free, total)
    assert before - free[0] >= size
    base, found = ffi.new("uint64_t*"), ffi.new("size_t*")
    cu.ok("cuMemGetAddressRange_v2", base, found, pointer + 12345)
    assert (base[0], found[0]) == (pointer, size)
    cu.ok("cuMemFree_v2", pointer)
    assert cu.call("cuMemFree_v2", pointer) == INVALID_VALUE
    assert cu.call("cuMemAlloc_v2", ffi.new("uint64_t*"), total[0] * 2) == OUT_OF_MEMORY
    assert cu.call("cuMemAlloc_v2", ffi.new("uint64_t*"), 0) == INVALID_VALUE


def test_pointer_attributes(cu: Library, memory: int) -> None:
    kind, ordinal, address = ffi.new("unsigned*"), ffi.new("int*"), ffi.new("uint64_t*")
    cu.ok("cuPointerGetAttribute", kind, 2, memory)
    cu.ok("cuPointerGetAttribute", ordinal, 9, memory)
    cu.ok("cuPointerGetAttribute", address, 3, memory + 8)
    assert (kind[0], ordinal[0], address[0]) == (2, 0, memory + 8)
    host = cu.get("cuMemHostAlloc", "void*", 4096, 0)
    cu.ok("cuPointerGetAttribute", kind, 2, int(ffi.cast("uint64_t", host)))
    assert kind[0] == 1
    assert cu.get("cuMemHostGetDevicePointer_v2", "uint64_t", host, 0) != 0
    cu.ok("cuMemFreeHost", host)
    assert cu.call("cuPointerGetAttribute", kind, 2, WILD) == INVALID_VALUE


def test_copies_and_sets(cu: Library, memory: int) -> None:
    cu.ok("cuMemcpyHtoD_v2", memory, b"0123456789abcdef", 16)
    cu.ok("cuMemcpyDtoDAsync_v2", memory + 32, memory, 16, NULL)
    assert read(cu, memory + 32, 16) == b"0123456789abcdef"
    cu.ok("cuMemsetD8_v2", memory, 0x5A, 3)
    assert read(cu, memory, 4) == b"ZZZ3"
    cu.ok("cuMemsetD16_v2", memory, 0x0102, 2)
    cu.ok("cuMemsetD32_v2", memory + 4, 0x01020304, 1)
    assert read(cu, memory, 8) == bytes([2, 1, 2, 1, 4, 3, 2, 1])
    cu.ok("cuMemsetD8_v2", memory, 0, 64)
    cu.ok("cuMemsetD2D8_v2", memory, 16, 1, 2, 2)
    assert read(cu, memory, 20) == b"\1\1" + bytes(14) + b"\1\1" + bytes(2)
    assert cu.call("cuMemsetD32_v2", memory + 2, 0, 1) == INVALID_VALUE
    assert cu.call("cuMemcpyHtoD_v2", 0, b"x", 1) == INVALID_VALUE


def test_streams_and_events(cu: Library, memory: int) -> None:
    stream = cu.get("cuStreamCreateWithPriority", "void*", 1, -1)
    assert cu.get_last("cuStreamGetPriority", "int", stream) == -1
    assert cu.get_last("cuStreamGetFlags", "unsigned", stream) == 1
    start, end = cu.get("cuEventCreate", "void*", 0), cu.get("cuEventCreate", "void*", 0)
    cu.ok("cuEventRecord", start, stream)
    cu.ok("cuMemsetD32Async", memory, 1, 1024, stream)
    cu.ok("cuEventRecord", end, stream)
    cu.ok("cuStreamWaitEvent", NULL, end, 0)
    cu.ok("cuEventSynchronize", end)
    cu.ok("cuEventQuery", end)
    cu.ok("cuStreamSynchronize", stream)
    cu.ok("cuStreamQuery", stream)
    assert cu.get("cuEventElapsedTime_v2", "float", start, end) > 0
    assert cu.call("cuStreamCreate", ffi.new("void**"), 0x40) == INVALID_VALUE
    assert cu.call("cuEventCreate", ffi.new("void**"), 0x40) == INVALID_VALUE
    assert cu.call("cuEventRecord", NULL, stream) == INVALID_HANDLE
    for event in (start, end):
        cu.ok("cuEventDestroy_v2", event)
    cu.ok("cuStreamDestroy_v2", stream)


def test_stream_writes_a_value(cu: Library, memory: int) -> None:
    stream = cu.get("cuStreamCreate", "void*", 1)
    cu.ok("cuStreamWriteValue32_v2", stream, memory, 77, 0)
    cu.ok("cuStreamWaitValue32_v2", stream, memory, 77, 1)
    cu.ok("cuStreamSynchronize", stream)
    assert read(cu, memory, 4) == struct.pack("<I", 77)
    if not NATIVE:
        assert cu.call("cuStreamWaitValue32_v2", stream, memory, 78, 1) == NOT_SUPPORTED
    cu.ok("cuStreamDestroy_v2", stream)


def test_a_capture_runs_at_each_launch(cu: Library, memory: int) -> None:
    stream = cu.get("cuStreamCreate", "void*", 1)
    cu.ok("cuMemsetD32_v2", memory, 0, 2)
    cu.ok("cuStreamBeginCapture_v2", stream, 2)
    assert cu.get_last("cuStreamIsCapturing", "int", stream) == 1
    cu.ok("cuMemsetD32Async", memory, 5, 1, stream)
    cu.ok("cuMemcpyDtoDAsync_v2", memory + 4, memory, 4, stream)
    graph = cu.get_last("cuStreamEndCapture", "void*", stream)
    assert read(cu, memory, 8) == bytes(8)
    assert cu.get_last("cuGraphGetNodes", "size_t", graph, NULL) == 2
    executable = cu.get("cuGraphInstantiateWithFlags", "void*", graph, 0)
    cu.ok("cuGraphDestroy", graph)
    cu.ok("cuGraphLaunch", executable, stream)
    cu.ok("cuStreamSynchronize", stream)
    assert read(cu, memory, 8) == struct.pack("<II", 5, 5)
    cu.ok("cuGraphExecDestroy", executable)
    cu.ok("cuStreamDestroy_v2", stream)


def test_a_graph_made_by_hand(cu: Library, memory: int) -> None:
    graph = cu.get("cuGraphCreate", "void*", 0)
    first = ffi.new("void**")
    cu.ok("cuGraphAddEmptyNode", first, graph, NULL, 0)
    fill = ffi.new("memset_params*", {"dst": memory, "value": 9, "element": 4, "width": 4, "height": 1})
    second = cu.get(
        "cuGraphAddMemsetNode", "void*", graph, first, 1, fill, cu.get("cuCtxGetCurrent", "void*")
    )
    assert [cu.get_last("cuGraphNodeGetType", "int", node) for node in (first[0], second)] == [5, 2]
    assert cu.get_last("cuGraphNodeGetDependencies", "size_t", second, NULL) == 1
    executable = cu.get("cuGraphInstantiateWithFlags", "void*", graph, 0)
    cu.ok("cuGraphLaunch", executable, NULL)
    assert read(cu, memory, 16) == struct.pack("<4I", 9, 9, 9, 9)
    fill.element = 3
    assert cu.call("cuGraphAddMemsetNode", ffi.new("void**"), graph, NULL, 0, fill, NULL) != 0
    cu.ok("cuGraphExecDestroy", executable)
    cu.ok("cuGraphDestroy", graph)


def test_virtual_memory_is_shared_through_a_file_descriptor(cu: Library) -> None:
    prop = ffi.new("allocation_prop*", {"type": 1, "handle_types": 1, "where": {"type": 1, "id": 0}})
    size = cu.get("cuMemGetAllocationGranularity", "size_t", prop, 0)
    handle = cu.get("cuMemCreate", "uint64_t", size, prop, 0)
    fd = ffi.new("int*")
    cu.ok("cuMemExportToShareableHandle", fd, handle, 1, 0)
    other = cu.get("cuMemImportFromShareableHandle", "uint64_t", ffi.cast("void*", fd[0]), 1)
    access = ffi.new("access_desc*", {"where": {"type": 1, "id": 0}, "flags": 3})
    places = []
    for part in (handle, other):
        place = cu.get("cuMemAddressReserve", "uint64_t", size, 0, 0, 0)
        cu.ok("cuMemMap", place, size, 0, part, 0)
        cu.ok("cuMemSetAccess", place, size, access, 1)
        places.append(place)
    cu.ok("cuMemcpyHtoD_v2", places[0], b"one memory", 10)
    assert read(cu, places[1], 10) == b"one memory"
    assert cu.call("cuMemMap", places[0], size, 0, handle, 0) != 0
    for place, part in zip(places, (handle, other), strict=True):
        cu.ok("cuMemUnmap", place, size)
        cu.ok("cuMemAddressFree", place, size)
        cu.ok("cuMemRelease", part)
    assert cu.call("cuMemCreate", ffi.new("uint64_t*"), 12345, prop, 0) == INVALID_VALUE


@virtual_only
def test_multicast_objects(cu: Library) -> None:
    needs_two_gpus(cu)
    size = 2 << 20
    prop = ffi.new("multicast_prop*", {"devices": 2, "size": size, "handle_types": 1})
    handle = cu.get("cuMulticastCreate", "uint64_t", prop)
    for device in range(2):
        cu.ok("cuMulticastAddDevice", handle, device)
    assert cu.call("cuMulticastAddDevice", handle, 0) == INVALID_VALUE
    allocation = ffi.new("allocation_prop*", {"type": 1, "handle_types": 1, "where": {"type": 1, "id": 0}})
    memory = cu.get("cuMemCreate", "uint64_t", size, allocation, 0)
    cu.ok("cuMulticastBindMem", handle, 0, memory, 0, size, 0)
    assert cu.call("cuMulticastBindMem", handle, size, memory, 0, size, 0) == INVALID_VALUE
    assert cu.call("cuMulticastBindMem", memory, 0, memory, 0, size, 0) == INVALID_HANDLE
    fd = ffi.new("int*")
    cu.ok("cuMemExportToShareableHandle", fd, handle, 1, 0)
    other = cu.get("cuMemImportFromShareableHandle", "uint64_t", ffi.cast("void*", fd[0]), 1)
    cu.ok("cuMulticastAddDevice", other, 1)
    for one in (handle, other, memory):
        cu.ok("cuMemRelease", one)


def test_pools(cu: Library) -> None:
    pool = cu.get("cuDeviceGetDefaultMemPool", "void*", 0)
    threshold = ffi.new("uint64_t*", 1 << 20)
    cu.ok("cuMemPoolSetAttribute", pool, 4, threshold)
    threshold[0] = 0
    cu.ok("cuMemPoolGetAttribute", pool, 4, threshold)
    assert threshold[0] == 1 << 20
    stream = cu.get("cuStreamCreate", "void*", 1)
    pointer = cu.get("cuMemAllocAsync", "uint64_t", 1 << 20, stream)
    cu.ok("cuMemPoolGetAttribute", pool, 7, threshold)
    assert threshold[0] >= 1 << 20
    cu.ok("cuMemFreeAsync", pointer, stream)
    cu.ok("cuStreamSynchronize", stream)
    assert cu.call("cuMemPoolGetAttribute", pool, 99, threshold) == INVALID_VALUE
    cu.ok("cuStreamDestroy_v2", stream)


@pytest.mark.parametrize(
    ("rank", "inner", "stride", "expected"),
    [
        (2, 64, 256, 0),
        (2, 0, 256, INVALID_VALUE),
        (2, 512, 256, INVALID_VALUE),
        (2, 64, 250, INVALID_VALUE),
        (6, 64, 256, INVALID_VALUE),
    ],
)
def test_tensor_maps(cu: Library, memory: int, rank: int, inner: int, stride: int, expected: int) -> None:
    if cu.get("cuDeviceGetAttribute", "int", 75, 0) < 9:
        pytest.skip("no tensor maps before compute capability 9.0")
    storage = ffi.new("char[256]")
    aligned = storage + (-int(ffi.cast("uint64_t", storage)) % 128)
    dimensions, strides = ffi.new("uint64_t[6]", [128] * 6), ffi.new("uint64_t[6]", [stride] * 6)
    box, steps = ffi.new("unsigned[6]", [inner, 8, 1, 1, 1, 1]), ffi.new("unsigned[6]", [1] * 6)
    address = ffi.cast("void*", memory)
    code = cu.call(
        "cuTensorMapEncodeTiled", aligned, 6, rank, address, dimensions, strides, box, steps, 0, 3, 0, 0
    )
    assert code == expected


def test_a_thread_starts_without_a_stack_of_its_own(cu: Library, memory: int) -> None:
    primary, answers = cu.get("cuCtxGetCurrent", "void*"), []

    def work() -> None:
        cu.ok("cuCtxSetCurrent", primary)
        answers.append(cu.call("cuMemsetD8_v2", memory, 1, 16))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [0]


@virtual_only
def test_peers(cu: Library) -> None:
    needs_two_gpus(cu)
    assert cu.get("cuDeviceCanAccessPeer", "int", 0, 1) == 1
    assert cu.get("cuDeviceCanAccessPeer", "int", 0, 0) == 0
    peer = cu.get("cuDevicePrimaryCtxRetain", "void*", 1)
    cu.ok("cuCtxEnablePeerAccess", peer, 0)
    assert cu.call("cuCtxEnablePeerAccess", peer, 0) == 704
    cu.ok("cuCtxDisablePeerAccess", peer)
    assert cu.call("cuCtxDisablePeerAccess", peer) == 705
    cu.ok("cuDevicePrimaryCtxRelease_v2", 1)


# What a call with nothing but zeros may return other than an error.
ZEROS_SUCCEED = {
    "cuCtxGetStreamPriorityRange",
    "cuCtxResetPersistingL2Cache",
    "cuCtxPopCurrent_v2",
    "cuCtxSetCacheConfig",
    "cuCtxSetCurrent",
    "cuCtxSetFlags",
    "cuCtxSetLimit",
    "cuCtxSynchronize",
    "cuCtxSynchronize_v2",
    "cuDevicePrimaryCtxRelease",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxReset",
    "cuDevicePrimaryCtxReset_v2",
    "cuDevicePrimaryCtxSetFlags",
    "cuDevicePrimaryCtxSetFlags_v2",
    "cuInit",
    "cuMemFree_v2",
    "cuProfilerStart",
    "cuProfilerStop",
    "cuStreamQuery",
    "cuStreamSynchronize",
}


@virtual_only
def test_every_function_refuses_null_arguments(cu: Library) -> None:
    arguments = {INVALID_VALUE, INVALID_HANDLE, INVALID_CONTEXT, INVALID_DEVICE, NOT_FOUND, NOT_SUPPORTED}
    # The null stream is the legacy default stream, which cannot capture.
    refusals = arguments | {ILLEGAL_STATE, CAPTURE_UNSUPPORTED}
    unexpected = {}
    for name in cu.symbols["real"]:
        moves_nothing = name.startswith(("cuMemset", "cuMemcpy", "cuMemPrefetch"))
        if name in ZEROS_SUCCEED or moves_nothing or name.startswith("cuIpcOpen"):
            continue
        code = cu.with_zeros(name)
        if code not in refusals:
            unexpected[name] = code
    assert not unexpected
