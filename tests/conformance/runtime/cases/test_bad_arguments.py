"""Every function refuses what it must refuse, with its documented error, and keeps that as the thread's last error."""

from __future__ import annotations

from typing import Any

import pytest
from runtime_api import (
    DEFAULT,
    INVALID_CONFIGURATION,
    INVALID_DEVICE,
    INVALID_DIRECTION,
    INVALID_FUNCTION,
    INVALID_HANDLE,
    INVALID_SYMBOL,
    INVALID_VALUE,
    MAJOR,
    NULL,
    PEER_NOT_ENABLED,
    UNSUPPORTED_LIMIT,
    Kernel,
    Runtime,
    arguments,
    dim3,
    ffi,
    wild,
)

BAD_DEVICE = 99
BAD_STREAM = wild(0x7F00DEAD0000)
BAD_EVENT = wild(0x7F00BEEF0000)
INT = ffi.new("int*")
SIZE = ffi.new("size_t*")
OUT = ffi.new("void**")
FLAGS = ffi.new("unsigned*")
BUFFER = ffi.new("char[8192]")
ONE = dim3()
NO_ARGUMENTS = ffi.new("void*[1]")

Case = tuple[str, tuple[Any, ...], int]

DEVICES: list[Case] = [
    ("cudaGetDeviceCount", (NULL,), INVALID_VALUE),
    ("cudaGetDevice", (NULL,), INVALID_VALUE),
    ("cudaSetDevice", (BAD_DEVICE,), INVALID_DEVICE),
    ("cudaSetDevice", (-1,), INVALID_DEVICE),
    ("cudaInitDevice", (BAD_DEVICE, 0, 0), INVALID_DEVICE),
    ("cudaSetDeviceFlags", (0xFFFF0000,), INVALID_VALUE),
    ("cudaGetDeviceFlags", (NULL,), INVALID_VALUE),
    ("cudaChooseDevice", (NULL, BUFFER), INVALID_VALUE),
    ("cudaSetValidDevices", (ffi.new("int[]", [BAD_DEVICE]), 1), INVALID_DEVICE),
    ("cudaDeviceGetAttribute", (NULL, 16, 0), INVALID_VALUE),
    ("cudaDeviceGetAttribute", (INT, 16, BAD_DEVICE), INVALID_DEVICE),
    ("cudaDeviceGetAttribute", (INT, 100000, 0), INVALID_VALUE),
    ("cudaDeviceGetLimit", (NULL, 0), INVALID_VALUE),
    ("cudaDeviceGetLimit", (SIZE, 1000), UNSUPPORTED_LIMIT),
    ("cudaDeviceSetLimit", (1000, 1), UNSUPPORTED_LIMIT),
    ("cudaDeviceGetCacheConfig", (NULL,), INVALID_VALUE),
    ("cudaDeviceSetCacheConfig", (77,), INVALID_VALUE),
    ("cudaDeviceGetSharedMemConfig", (NULL,), INVALID_VALUE),
    ("cudaDeviceSetSharedMemConfig", (77,), INVALID_VALUE),
    ("cudaDeviceGetPCIBusId", (NULL, 32, 0), INVALID_VALUE),
    ("cudaDeviceGetPCIBusId", (BUFFER, 32, BAD_DEVICE), INVALID_DEVICE),
    ("cudaDeviceGetPCIBusId", (BUFFER, 4, 0), INVALID_VALUE),
    ("cudaDeviceGetByPCIBusId", (NULL, BUFFER), INVALID_VALUE),
    ("cudaDeviceGetByPCIBusId", (INT, ffi.new("char[]", b"ffff:ff:1f.7")), INVALID_VALUE),
    ("cudaDeviceCanAccessPeer", (NULL, 0, 0), INVALID_VALUE),
    ("cudaDeviceCanAccessPeer", (INT, 0, BAD_DEVICE), INVALID_DEVICE),
    ("cudaDeviceEnablePeerAccess", (BAD_DEVICE, 0), INVALID_DEVICE),
    ("cudaDeviceEnablePeerAccess", (0, 0), INVALID_DEVICE),
    ("cudaDeviceDisablePeerAccess", (BAD_DEVICE,), INVALID_DEVICE),
    ("cudaDeviceDisablePeerAccess", (0,), PEER_NOT_ENABLED),
    ("cudaDeviceGetP2PAttribute", (NULL, 2, 0, 0), INVALID_VALUE),
    ("cudaDeviceGetP2PAttribute", (INT, 2, 0, 0), INVALID_DEVICE),
    ("cudaDeviceGetP2PAttribute", (INT, 2, 0, BAD_DEVICE), INVALID_DEVICE),
    ("cudaDriverGetVersion", (NULL,), INVALID_VALUE),
    ("cudaRuntimeGetVersion", (NULL,), INVALID_VALUE),
    ("cudaDeviceGetDefaultMemPool", (NULL, 0), INVALID_VALUE),
    ("cudaDeviceGetDefaultMemPool", (OUT, BAD_DEVICE), INVALID_DEVICE),
    ("cudaDeviceGetMemPool", (NULL, 0), INVALID_VALUE),
    ("cudaDeviceGetMemPool", (OUT, BAD_DEVICE), INVALID_DEVICE),
    ("cudaDeviceSetMemPool", (BAD_DEVICE, NULL), INVALID_DEVICE),
    ("cudaDeviceGraphMemTrim", (BAD_DEVICE,), INVALID_DEVICE),
    ("cudaDeviceGetGraphMemAttribute", (0, 0, NULL), INVALID_VALUE),
]

MEMORY: list[Case] = [
    ("cudaMalloc", (NULL, 16), INVALID_VALUE),
    ("cudaMallocManaged", (NULL, 16, 1), INVALID_VALUE),
    ("cudaMallocManaged", (OUT, 16, 64), INVALID_VALUE),
    ("cudaMallocManaged", (OUT, 0, 1), INVALID_VALUE),
    ("cudaMallocPitch", (OUT, NULL, 16, 16), INVALID_VALUE),
    ("cudaMalloc3D", (NULL, ffi.new("cudaExtent*")[0]), INVALID_VALUE),
    ("cudaMallocHost", (NULL, 16), INVALID_VALUE),
    ("cudaHostAlloc", (NULL, 16, 0), INVALID_VALUE),
    ("cudaHostAlloc", (OUT, 16, 0x1000), INVALID_VALUE),
    ("cudaFree", (wild(),), INVALID_VALUE),
    ("cudaFreeHost", (wild(),), INVALID_VALUE),
    ("cudaHostRegister", (NULL, 16, 0), INVALID_VALUE),
    ("cudaHostRegister", (BUFFER, 0, 0), INVALID_VALUE),
    ("cudaHostGetDevicePointer", (NULL, BUFFER, 0), INVALID_VALUE),
    ("cudaHostGetDevicePointer", (OUT, BUFFER, 1), INVALID_VALUE),
    ("cudaHostGetFlags", (NULL, BUFFER), INVALID_VALUE),
    ("cudaHostGetFlags", (FLAGS, BUFFER), INVALID_VALUE),
    ("cudaPointerGetAttributes", (NULL, BUFFER), INVALID_VALUE),
    ("cudaIpcGetMemHandle", (NULL, BUFFER), INVALID_VALUE),
    ("cudaIpcGetMemHandle", (ffi.new("cudaIpcMemHandle_t*"), wild()), INVALID_VALUE),
    ("cudaIpcOpenMemHandle", (NULL, ffi.new("cudaIpcMemHandle_t*")[0], 1), INVALID_VALUE),
    ("cudaIpcOpenMemHandle", (OUT, ffi.new("cudaIpcMemHandle_t*")[0], 0), INVALID_VALUE),
    ("cudaIpcCloseMemHandle", (wild(),), INVALID_VALUE),
    ("cudaMallocAsync", (NULL, 16, NULL), INVALID_VALUE),
    ("cudaMallocAsync", (OUT, 16, BAD_STREAM), INVALID_HANDLE),
    ("cudaMallocFromPoolAsync", (OUT, 16, NULL, NULL), INVALID_VALUE),
    ("cudaFreeAsync", (wild(), NULL), INVALID_VALUE),
    ("cudaMemPoolCreate", (NULL, NULL), INVALID_VALUE),
    ("cudaMemPoolDestroy", (wild(),), INVALID_VALUE),
    ("cudaMemPoolTrimTo", (wild(), 0), INVALID_VALUE),
    ("cudaMemPoolGetAttribute", (wild(), 4, BUFFER), INVALID_VALUE),
    ("cudaMemPoolSetAttribute", (wild(), 4, BUFFER), INVALID_VALUE),
    ("cudaMemPoolGetAccess", (INT, NULL, NULL), INVALID_VALUE),
    ("cudaMemPoolSetAccess", (wild(), NULL, 1), INVALID_VALUE),
    ("cudaGetSymbolAddress", (NULL, wild()), INVALID_VALUE),
    ("cudaGetSymbolAddress", (OUT, wild()), INVALID_SYMBOL),
    ("cudaGetSymbolSize", (NULL, wild()), INVALID_VALUE),
    ("cudaGetSymbolSize", (SIZE, wild()), INVALID_SYMBOL),
]

COPIES: list[Case] = [
    ("cudaMemcpy", (BUFFER, BUFFER, 16, 77), INVALID_DIRECTION),
    ("cudaMemcpy", (wild(), BUFFER, 16, 1), INVALID_VALUE),
    ("cudaMemcpy", (BUFFER, wild(), 16, 2), INVALID_VALUE),
    ("cudaMemcpy", (wild(), wild(), 16, 3), INVALID_VALUE),
    ("cudaMemcpy", (NULL, BUFFER, 16, DEFAULT), INVALID_VALUE),
    ("cudaMemcpyAsync", (wild(), BUFFER, 16, 1, NULL), INVALID_VALUE),
    ("cudaMemcpyAsync", (BUFFER, BUFFER, 16, 0, BAD_STREAM), INVALID_HANDLE),
    ("cudaMemcpyPeer", (BUFFER, BAD_DEVICE, BUFFER, 0, 16), INVALID_DEVICE),
    ("cudaMemcpyPeerAsync", (BUFFER, 0, BUFFER, BAD_DEVICE, 16, NULL), INVALID_DEVICE),
    ("cudaMemcpy2D", (BUFFER, 8, BUFFER, 16, 16, 2, 0), 12),
    ("cudaMemcpy2DAsync", (BUFFER, 16, BUFFER, 16, 16, 2, 0, BAD_STREAM), INVALID_HANDLE),
    ("cudaMemcpy3D", (NULL,), INVALID_VALUE),
    ("cudaMemcpy3DAsync", (NULL, NULL), INVALID_VALUE),
    ("cudaMemcpy3DPeer", (NULL,), INVALID_VALUE),
    ("cudaMemcpy3DPeerAsync", (NULL, NULL), INVALID_VALUE),
    ("cudaMemcpyToSymbol", (wild(), BUFFER, 4, 0, 1), INVALID_SYMBOL),
    ("cudaMemcpyToSymbolAsync", (wild(), BUFFER, 4, 0, 1, NULL), INVALID_SYMBOL),
    ("cudaMemcpyFromSymbol", (BUFFER, wild(), 4, 0, 2), INVALID_SYMBOL),
    ("cudaMemcpyFromSymbolAsync", (BUFFER, wild(), 4, 0, 2, NULL), INVALID_SYMBOL),
    ("cudaMemcpyFromSymbol", (BUFFER, wild(), 4, 0, 1), INVALID_DIRECTION),
    ("cudaMemset", (wild(), 0, 16), INVALID_VALUE),
    ("cudaMemsetAsync", (wild(), 0, 16, NULL), INVALID_VALUE),
    ("cudaMemsetAsync", (BUFFER, 0, 16, BAD_STREAM), INVALID_HANDLE),
    ("cudaMemset2D", (wild(), 16, 0, 16, 2), INVALID_VALUE),
    ("cudaMemset2DAsync", (wild(), 16, 0, 16, 2, NULL), INVALID_VALUE),
]

STREAMS: list[Case] = [
    ("cudaStreamCreate", (NULL,), INVALID_VALUE),
    ("cudaStreamCreateWithFlags", (OUT, 0x40), INVALID_VALUE),
    ("cudaStreamCreateWithPriority", (NULL, 0, 0), INVALID_VALUE),
    ("cudaStreamDestroy", (BAD_STREAM,), INVALID_HANDLE),
    ("cudaStreamDestroy", (NULL,), INVALID_HANDLE),
    ("cudaStreamSynchronize", (BAD_STREAM,), INVALID_HANDLE),
    ("cudaStreamQuery", (BAD_STREAM,), INVALID_HANDLE),
    ("cudaStreamWaitEvent", (NULL, BAD_EVENT, 0), INVALID_HANDLE),
    ("cudaStreamWaitEvent", (NULL, BAD_EVENT, 8), INVALID_VALUE),
    ("cudaStreamGetPriority", (NULL, NULL), INVALID_VALUE),
    ("cudaStreamGetPriority", (BAD_STREAM, INT), INVALID_HANDLE),
    ("cudaStreamGetFlags", (NULL, NULL), INVALID_VALUE),
    ("cudaStreamGetFlags", (BAD_STREAM, FLAGS), INVALID_HANDLE),
    ("cudaStreamGetId", (NULL, NULL), INVALID_VALUE),
    ("cudaStreamGetId", (BAD_STREAM, ffi.new("unsigned long long*")), INVALID_HANDLE),
    ("cudaStreamGetDevice", (NULL, NULL), INVALID_VALUE),
    ("cudaStreamGetDevice", (BAD_STREAM, INT), INVALID_HANDLE),
    ("cudaStreamGetAttribute", (NULL, 1, NULL), INVALID_VALUE),
    ("cudaStreamSetAttribute", (NULL, 1, NULL), INVALID_VALUE),
    ("cudaStreamCopyAttributes", (BAD_STREAM, NULL), INVALID_HANDLE),
    ("cudaStreamAttachMemAsync", (NULL, NULL, 0, 4), INVALID_VALUE),
    ("cudaStreamAddCallback", (NULL, NULL, NULL, 0), INVALID_VALUE),
    ("cudaLaunchHostFunc", (NULL, NULL, NULL), INVALID_VALUE),
    ("cudaEventCreate", (NULL,), INVALID_VALUE),
    ("cudaEventCreateWithFlags", (OUT, 0x80), INVALID_VALUE),
    ("cudaEventCreateWithFlags", (OUT, 4), INVALID_VALUE),  # between processes, but with timing
    ("cudaEventDestroy", (BAD_EVENT,), INVALID_HANDLE),
    ("cudaEventRecord", (BAD_EVENT, NULL), INVALID_HANDLE),
    ("cudaEventRecordWithFlags", (BAD_EVENT, NULL, 2), INVALID_VALUE),
    ("cudaEventQuery", (BAD_EVENT,), INVALID_HANDLE),
    ("cudaEventSynchronize", (BAD_EVENT,), INVALID_HANDLE),
    ("cudaEventElapsedTime", (NULL, BAD_EVENT, BAD_EVENT), INVALID_VALUE),
    ("cudaEventElapsedTime", (ffi.new("float*"), BAD_EVENT, BAD_EVENT), INVALID_HANDLE),
    ("cudaIpcGetEventHandle", (NULL, BAD_EVENT), INVALID_VALUE),
    ("cudaIpcOpenEventHandle", (NULL, ffi.new("cudaIpcEventHandle_t*")[0]), INVALID_VALUE),
    ("cudaStreamBeginCapture", (NULL, 0), 900),
    ("cudaStreamBeginCapture", (NULL, 9), INVALID_VALUE),
    ("cudaStreamBeginCaptureToGraph", (NULL, NULL, NULL, NULL, 0, 0), INVALID_VALUE),
    ("cudaStreamEndCapture", (NULL, NULL), INVALID_VALUE),
    ("cudaStreamIsCapturing", (NULL, NULL), INVALID_VALUE),
    ("cudaThreadExchangeStreamCaptureMode", (NULL,), INVALID_VALUE),
    ("cudaThreadExchangeStreamCaptureMode", (ffi.new("int*", 9),), INVALID_VALUE),
]

LAUNCHES: list[Case] = [
    ("cudaLaunchKernel", (wild(), ONE, ONE, NO_ARGUMENTS, 0, NULL), INVALID_FUNCTION),
    ("cudaLaunchCooperativeKernel", (wild(), ONE, ONE, NO_ARGUMENTS, 0, NULL), INVALID_FUNCTION),
    ("cudaLaunchKernelExC", (NULL, wild(), NO_ARGUMENTS), INVALID_VALUE),
    ("cudaFuncGetAttributes", (NULL, wild()), INVALID_VALUE),
    ("cudaFuncGetAttributes", (ffi.new("cudaFuncAttributes*"), wild()), INVALID_FUNCTION),
    ("cudaFuncSetAttribute", (wild(), 8, 0), INVALID_FUNCTION),
    ("cudaFuncSetCacheConfig", (wild(), 0), INVALID_FUNCTION),
    ("cudaFuncSetSharedMemConfig", (wild(), 0), INVALID_FUNCTION),
    ("cudaFuncGetName", (NULL, wild()), INVALID_VALUE),
    ("cudaFuncGetName", (ffi.new("char**"), wild()), INVALID_FUNCTION),
    ("cudaGetFuncBySymbol", (NULL, wild()), INVALID_VALUE),
    ("cudaGetFuncBySymbol", (OUT, wild()), INVALID_FUNCTION),
    ("cudaGetKernel", (NULL, wild()), INVALID_VALUE),
    ("cudaGetKernel", (OUT, wild()), INVALID_FUNCTION),
    ("cudaKernelSetAttributeForDevice", (wild(), 8, 0, BAD_DEVICE), INVALID_DEVICE),
    ("cudaOccupancyMaxActiveBlocksPerMultiprocessor", (NULL, wild(), 32, 0), INVALID_VALUE),
    ("cudaOccupancyMaxActiveBlocksPerMultiprocessor", (INT, wild(), 32, 0), INVALID_FUNCTION),
    ("cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags", (INT, wild(), 32, 0, 8), INVALID_VALUE),
    ("cudaOccupancyAvailableDynamicSMemPerBlock", (NULL, wild(), 1, 32), INVALID_VALUE),
    ("cudaOccupancyMaxPotentialClusterSize", (NULL, wild(), NULL), INVALID_VALUE),
    ("cudaOccupancyMaxActiveClusters", (NULL, wild(), NULL), INVALID_VALUE),
    ("cudaGetDriverEntryPoint", (NULL, OUT, 0, NULL), INVALID_VALUE),
    ("cudaGetDriverEntryPointByVersion", (NULL, OUT, 12000, 0, NULL), INVALID_VALUE),
    ("cudaLibraryLoadData", (NULL, BUFFER, NULL, NULL, 0, NULL, NULL, 0), INVALID_VALUE),
    ("cudaLibraryLoadFromFile", (NULL, BUFFER, NULL, NULL, 0, NULL, NULL, 0), INVALID_VALUE),
    ("cudaLibraryGetKernel", (NULL, NULL, BUFFER), INVALID_VALUE),
    ("cudaLibraryGetKernelCount", (NULL, NULL), INVALID_VALUE),
    ("cudaLibraryEnumerateKernels", (NULL, 1, NULL), INVALID_VALUE),
    ("cudaLibraryGetGlobal", (OUT, SIZE, NULL, NULL), INVALID_VALUE),
]

GRAPHS: list[Case] = [
    ("cudaGraphCreate", (NULL, 0), INVALID_VALUE),
    ("cudaGraphCreate", (OUT, 1), INVALID_VALUE),
    ("cudaGraphDestroy", (NULL,), INVALID_VALUE),
    ("cudaGraphClone", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphGetNodes", (NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphGetRootNodes", (NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphNodeGetType", (NULL, INT), INVALID_VALUE),
    ("cudaGraphNodeFindInClone", (OUT, NULL, NULL), INVALID_VALUE),
    ("cudaGraphDestroyNode", (NULL,), INVALID_VALUE),
    ("cudaGraphDebugDotPrint", (NULL, BUFFER, 0), INVALID_VALUE),
    ("cudaGraphAddEmptyNode", (OUT, NULL, NULL, 0), INVALID_VALUE),
    ("cudaGraphAddKernelNode", (OUT, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaGraphAddMemcpyNode", (OUT, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaGraphAddMemcpyNode1D", (OUT, NULL, NULL, 0, BUFFER, BUFFER, 1, 0), INVALID_VALUE),
    ("cudaGraphAddMemsetNode", (OUT, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaGraphAddHostNode", (OUT, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaGraphAddChildGraphNode", (OUT, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaGraphAddEventRecordNode", (OUT, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaGraphAddEventWaitNode", (OUT, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaGraphNodeSetParams", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphKernelNodeGetParams", (NULL, ffi.new("cudaKernelNodeParams*")), INVALID_VALUE),
    ("cudaGraphKernelNodeSetParams", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphMemcpyNodeGetParams", (NULL, ffi.new("cudaMemcpy3DParms*")), INVALID_VALUE),
    ("cudaGraphMemcpyNodeSetParams", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphMemcpyNodeSetParams1D", (NULL, BUFFER, BUFFER, 1, 0), INVALID_VALUE),
    ("cudaGraphMemsetNodeGetParams", (NULL, ffi.new("cudaMemsetParams*")), INVALID_VALUE),
    ("cudaGraphMemsetNodeSetParams", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphHostNodeGetParams", (NULL, ffi.new("cudaHostNodeParams*")), INVALID_VALUE),
    ("cudaGraphHostNodeSetParams", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphChildGraphNodeGetGraph", (NULL, OUT), INVALID_VALUE),
    ("cudaGraphEventRecordNodeGetEvent", (NULL, OUT), INVALID_VALUE),
    ("cudaGraphEventRecordNodeSetEvent", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphEventWaitNodeGetEvent", (NULL, OUT), INVALID_VALUE),
    ("cudaGraphEventWaitNodeSetEvent", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphInstantiate", (NULL, NULL, 0), INVALID_VALUE),
    ("cudaGraphInstantiateWithFlags", (OUT, NULL, 0), INVALID_VALUE),
    ("cudaGraphInstantiateWithParams", (OUT, NULL, NULL), INVALID_VALUE),
    ("cudaGraphLaunch", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphUpload", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphExecDestroy", (NULL,), INVALID_VALUE),
    ("cudaGraphExecGetFlags", (NULL, NULL), INVALID_VALUE),
    ("cudaGraphExecUpdate", (NULL, NULL, NULL), INVALID_VALUE),
    ("cudaGraphExecKernelNodeSetParams", (NULL, NULL, NULL), INVALID_VALUE),
    ("cudaGraphExecMemcpyNodeSetParams", (NULL, NULL, NULL), INVALID_VALUE),
    ("cudaGraphExecMemcpyNodeSetParams1D", (NULL, NULL, BUFFER, BUFFER, 1, 0), INVALID_VALUE),
    ("cudaGraphExecMemsetNodeSetParams", (NULL, NULL, NULL), INVALID_VALUE),
    ("cudaGraphExecHostNodeSetParams", (NULL, NULL, NULL), INVALID_VALUE),
    ("cudaGraphExecChildGraphNodeSetParams", (NULL, NULL, NULL), INVALID_VALUE),
    ("cudaGraphExecEventRecordNodeSetEvent", (NULL, NULL, NULL), INVALID_VALUE),
    ("cudaGraphExecEventWaitNodeSetEvent", (NULL, NULL, NULL), INVALID_VALUE),
]

OF_12: list[Case] = [
    ("cudaGetDeviceProperties_v2", (NULL, 0), INVALID_VALUE),
    ("cudaGetDeviceProperties_v2", (BUFFER, BAD_DEVICE), INVALID_DEVICE),
    ("cudaStreamGetCaptureInfo", (NULL, NULL, NULL), INVALID_VALUE),
    ("cudaStreamGetCaptureInfo_v2", (NULL, NULL, NULL, NULL, NULL, NULL), INVALID_VALUE),
    ("cudaStreamGetCaptureInfo_v3", (NULL, NULL, NULL, NULL, NULL, NULL, NULL), INVALID_VALUE),
    ("cudaStreamUpdateCaptureDependencies", (NULL, NULL, 0, 7), INVALID_VALUE),
    ("cudaStreamUpdateCaptureDependencies_v2", (NULL, NULL, NULL, 0, 7), INVALID_VALUE),
    ("cudaGraphGetEdges", (NULL, NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphGetEdges_v2", (NULL, NULL, NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphNodeGetDependencies", (NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphNodeGetDependencies_v2", (NULL, NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphNodeGetDependentNodes", (NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphNodeGetDependentNodes_v2", (NULL, NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphAddDependencies", (NULL, NULL, NULL, 1), INVALID_VALUE),
    ("cudaGraphAddDependencies_v2", (NULL, NULL, NULL, NULL, 1), INVALID_VALUE),
    ("cudaGraphRemoveDependencies", (NULL, NULL, NULL, 1), INVALID_VALUE),
    ("cudaGraphRemoveDependencies_v2", (NULL, NULL, NULL, NULL, 1), INVALID_VALUE),
    ("cudaGraphAddNode", (OUT, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaGraphAddNode_v2", (OUT, NULL, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaMemAdvise", (wild(), 16, 1, 0), INVALID_VALUE),
    ("cudaMemAdvise_v2", (wild(), 16, 1, ffi.new("cudaMemLocation*")[0]), INVALID_VALUE),
    ("cudaMemPrefetchAsync", (wild(), 16, 0, NULL), INVALID_VALUE),
    ("cudaMemPrefetchAsync_v2", (wild(), 16, ffi.new("cudaMemLocation*")[0], 0, NULL), INVALID_VALUE),
    ("cudaMemcpyBatchAsync", (NULL, NULL, NULL, 1, NULL, NULL, 0, NULL, NULL), INVALID_VALUE),
    ("cudaEventElapsedTime_v2", (NULL, BAD_EVENT, BAD_EVENT), INVALID_VALUE),
    ("cudaThreadGetLimit", (NULL, 0), INVALID_VALUE),
    ("cudaThreadSetLimit", (1000, 0), UNSUPPORTED_LIMIT),
    ("cudaThreadGetCacheConfig", (NULL,), INVALID_VALUE),
    ("cudaThreadSetCacheConfig", (77,), INVALID_VALUE),
]

OF_13: list[Case] = [
    ("cudaGetDeviceProperties", (NULL, 0), INVALID_VALUE),
    ("cudaGetDeviceProperties", (BUFFER, BAD_DEVICE), INVALID_DEVICE),
    ("cudaStreamGetCaptureInfo", (NULL, NULL, NULL, NULL, NULL, NULL, NULL), INVALID_VALUE),
    ("cudaStreamUpdateCaptureDependencies", (NULL, NULL, NULL, 0, 7), INVALID_VALUE),
    ("cudaGraphGetEdges", (NULL, NULL, NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphNodeGetDependencies", (NULL, NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphNodeGetDependentNodes", (NULL, NULL, NULL, SIZE), INVALID_VALUE),
    ("cudaGraphAddDependencies", (NULL, NULL, NULL, NULL, 1), INVALID_VALUE),
    ("cudaGraphRemoveDependencies", (NULL, NULL, NULL, NULL, 1), INVALID_VALUE),
    ("cudaGraphAddNode", (OUT, NULL, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaMemAdvise", (wild(), 16, 1, ffi.new("cudaMemLocation*")[0]), INVALID_VALUE),
    ("cudaMemPrefetchAsync", (wild(), 16, ffi.new("cudaMemLocation*")[0], 0, NULL), INVALID_VALUE),
    ("cudaMemcpyBatchAsync", (NULL, NULL, NULL, 1, NULL, NULL, 0, NULL), INVALID_VALUE),
    ("cudaMemGetDefaultMemPool", (OUT, NULL, 1), INVALID_VALUE),
    ("cudaMemGetMemPool", (OUT, NULL, 1), INVALID_VALUE),
    ("cudaMemSetMemPool", (NULL, 1, NULL), INVALID_VALUE),
]

ALL = DEVICES + MEMORY + COPIES + STREAMS + LAUNCHES + GRAPHS + (OF_12 if MAJOR == 12 else OF_13)


@pytest.mark.parametrize("case", ALL, ids=[f"{index}-{case[0]}" for index, case in enumerate(ALL)])
def test_refusal(rt: Runtime, case: Case) -> None:
    name, values, code = case
    rt.fails(code, name, *values)


@pytest.mark.parametrize(
    ("grid", "block"),
    [
        (dim3(0), ONE),
        (ONE, dim3(0)),
        (ONE, dim3(2048)),
        (ONE, dim3(1, 1, 65)),
        (dim3(1, 70000), ONE),
        (dim3(1, 1, 70000), ONE),
    ],
)
def test_geometry_that_no_device_has(rt: Runtime, kernel: Kernel, grid: Any, block: Any) -> None:
    values, _kept = arguments()
    rt.fails(INVALID_CONFIGURATION, "cudaLaunchKernel", kernel.function, grid, block, values, 0, NULL)


def test_more_shared_memory_than_allowed(rt: Runtime, kernel: Kernel) -> None:
    values, _kept = arguments()
    rt.fails(INVALID_VALUE, "cudaLaunchKernel", kernel.function, ONE, ONE, values, 50_000, NULL)
    rt.fails(INVALID_VALUE, "cudaFuncSetAttribute", kernel.function, 8, 10**9)


def test_memory_beyond_the_end_of_an_allocation(rt: Runtime) -> None:
    with rt.memory(1 << 21) as pointer:
        rt.fails(INVALID_VALUE, "cudaMemset", pointer, 0, (1 << 21) + 1)
        rt.fails(INVALID_VALUE, "cudaMemcpy", pointer + (1 << 21) - 4, BUFFER, 8, 1)


@pytest.mark.parametrize("code", [0, 1, 2, 100, 600, 901])
def test_errors_have_names_and_texts(rt: Runtime, code: int) -> None:
    assert rt.name(code).startswith("cuda")
    assert ffi.string(rt.lib.cudaGetErrorString(code)) != b"unrecognized error code"


def test_unknown_errors_are_called_so(rt: Runtime) -> None:
    assert rt.name(77777) == "unrecognized error code"
    assert ffi.string(rt.lib.cudaGetErrorString(77777)) == b"unrecognized error code"
