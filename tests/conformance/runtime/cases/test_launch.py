"""Kernels: every way to launch one, its attributes, occupancy, libraries, entry points of the driver."""

from __future__ import annotations

from typing import Any

import pytest
from runtime_api import (
    COOPERATIVE_TOO_LARGE,
    INVALID_FUNCTION,
    INVALID_HANDLE,
    INVALID_VALUE,
    MAJOR,
    MISSING_CONFIGURATION,
    NATIVE,
    NULL,
    SYMBOL_NOT_FOUND,
    Kernel,
    Runtime,
    arguments,
    dim3,
    ffi,
    kernel_image,
    register_kernel,
)

MAX_DYNAMIC_SHARED, CARVEOUT = 8, 9
CLUSTER, COOPERATIVE = 4, 2


def configuration(threads: int = 64, blocks: int = 1, attributes: Any = None) -> Any:
    launch = ffi.new("cudaLaunchConfig_t*")
    launch.gridDim = dim3(blocks)
    launch.blockDim = dim3(threads)
    if attributes is not None:
        launch.attrs = attributes
        launch.numAttrs = len(attributes)
    return launch


def cluster_of(size: int) -> Any:
    attributes = ffi.new("cudaLaunchAttribute[1]")
    attributes[0].id = CLUSTER
    attributes[0].val.clusterDim = {"x": size, "y": 1, "z": 1}
    return attributes


def test_plain_and_cooperative_launch(rt: Runtime, kernel: Kernel) -> None:
    values, _kept = arguments()
    with rt.stream() as stream:
        for name in ("cudaLaunchKernel", "cudaLaunchCooperativeKernel"):
            rt.ok(name, kernel.function, dim3(4), dim3(128), values, 1024, stream)
        rt.ok("cudaStreamSynchronize", stream)
    rt.fails(
        COOPERATIVE_TOO_LARGE,
        "cudaLaunchCooperativeKernel",
        kernel.function,
        dim3(1 << 20),
        dim3(1024),
        values,
        0,
        NULL,
    )


def test_extended_launch(rt: Runtime, kernel: Kernel) -> None:
    values, _kept = arguments()
    rt.ok("cudaLaunchKernelExC", configuration(), kernel.function, values)
    cooperative = ffi.new("cudaLaunchAttribute[1]")
    cooperative[0].id = COOPERATIVE
    cooperative[0].val.cooperative = 1
    rt.ok("cudaLaunchKernelExC", configuration(attributes=cooperative), kernel.function, values)
    if rt.get("cudaDeviceGetAttribute", "int", 120, 0):
        rt.ok(
            "cudaLaunchKernelExC", configuration(blocks=4, attributes=cluster_of(2)), kernel.function, values
        )
        assert (
            rt.call(
                "cudaLaunchKernelExC",
                configuration(blocks=3, attributes=cluster_of(2)),
                kernel.function,
                values,
            )
            != 0
        )
        assert rt.call("cudaGetLastError") != 0
    rt.ok("cudaDeviceSynchronize")


def test_a_stream_of_another_device(rt: Runtime, kernel: Kernel) -> None:
    if rt.get("cudaGetDeviceCount", "int") < 2:
        pytest.skip("needs two devices")
    values, _kept = arguments()
    rt.ok("cudaSetDevice", 1)
    with rt.stream() as stream:
        rt.ok("cudaSetDevice", 0)
        rt.fails(INVALID_HANDLE, "cudaLaunchKernel", kernel.function, dim3(), dim3(), values, 0, stream)


@pytest.mark.virtual_only
def test_what_compiled_launches_do(rt: Runtime, kernel: Kernel) -> None:
    values, _kept = arguments()
    push, pop = rt.lib.__cudaPushCallConfiguration, rt.lib.__cudaPopCallConfiguration
    assert push(dim3(2), dim3(32), 16, NULL) == 0
    assert push(dim3(3), dim3(64), 0, ffi.cast("void*", 1)) == 0  # nested: in the arguments of the first
    grid, block, shared, stream = ffi.new("dim3*"), ffi.new("dim3*"), ffi.new("size_t*"), ffi.new("void**")
    assert pop(grid, block, shared, stream) == 0
    assert (grid.x, block.x, shared[0], stream[0]) == (3, 64, 0, ffi.cast("void*", 1))
    assert pop(grid, block, shared, stream) == 0
    assert (grid.x, block.x, shared[0], stream[0]) == (2, 32, 16, NULL)
    handle = ffi.new("handle*")
    assert rt.lib.__cudaGetKernel(handle, kernel.function) == 0
    assert rt.lib.__cudaLaunchKernel(handle[0], grid[0], block[0], values, 16, NULL) == 0
    assert rt.lib.__cudaLaunchKernel_ptsz(handle[0], grid[0], block[0], values, 16, NULL) == 0
    # The kernel's handle may stand for its function.
    rt.ok("cudaLaunchKernel", handle[0], dim3(), dim3(), values, 0, NULL)
    rt.fails(MISSING_CONFIGURATION, "__cudaPopCallConfiguration", grid, block, shared, stream)
    rt.fails(INVALID_VALUE, "__cudaGetKernel", NULL, kernel.function)
    rt.fails(INVALID_FUNCTION, "__cudaGetKernel", handle, ffi.cast("void*", 0x1234))
    rt.fails(INVALID_FUNCTION, "__cudaLaunchKernel", NULL, dim3(), dim3(), values, 0, NULL)


@pytest.mark.virtual_only
def test_kernels_of_an_unloaded_library(rt: Runtime) -> None:
    values, _kept = arguments()
    stubs = ffi.new("char[65536]")
    binaries = []
    for index in range(5000):
        binaries.append(register_kernel(rt, stubs + index, f"unloaded_{index}".encode()))
    for index in (0, 2500, 4999):
        rt.ok("cudaLaunchKernel", stubs + index, dim3(), dim3(), values, 0, NULL)
        name = rt.get("cudaFuncGetName", "char*", stubs + index)
        assert ffi.string(name) == f"unloaded_{index}".encode()
    for binary, _text in binaries:
        rt.lib.__cudaUnregisterFatBinary(binary)
    for index in (0, 2500, 4999):
        rt.fails(INVALID_FUNCTION, "cudaLaunchKernel", stubs + index, dim3(), dim3(), values, 0, NULL)
    # Another library at the same address.
    again = register_kernel(rt, stubs, b"loaded_again")
    assert ffi.string(rt.get("cudaFuncGetName", "char*", stubs)) == b"loaded_again"
    rt.lib.__cudaUnregisterFatBinary(again[0])


def test_attributes(rt: Runtime, kernel: Kernel) -> None:
    found = rt.get("cudaFuncGetAttributes", "cudaFuncAttributes", kernel.function)
    assert found.maxThreadsPerBlock == 1024
    assert found.sharedSizeBytes == 0
    assert found.binaryVersion >= 80
    assert found.maxDynamicSharedSizeBytes == 49152
    rt.ok("cudaFuncSetAttribute", kernel.function, MAX_DYNAMIC_SHARED, 64 << 10)
    found = rt.get("cudaFuncGetAttributes", "cudaFuncAttributes", kernel.function)
    assert found.maxDynamicSharedSizeBytes == 64 << 10
    values, _kept = arguments()
    rt.ok("cudaLaunchKernel", kernel.function, dim3(), dim3(), values, 60_000, NULL)
    rt.ok("cudaFuncSetAttribute", kernel.function, MAX_DYNAMIC_SHARED, 49152)
    rt.ok("cudaFuncSetAttribute", kernel.function, CARVEOUT, 50)
    rt.ok("cudaFuncSetCacheConfig", kernel.function, 1)
    rt.ok("cudaFuncSetSharedMemConfig", kernel.function, 1)
    rt.fails(INVALID_VALUE, "cudaFuncSetAttribute", kernel.function, CARVEOUT, 500)
    rt.fails(INVALID_VALUE, "cudaFuncSetAttribute", kernel.function, 99, 0)
    assert ffi.string(rt.get("cudaFuncGetName", "char*", kernel.function)) == b"conformance_kernel"
    if not NATIVE:
        rt.ok("cudaKernelSetAttributeForDevice", rt.get("cudaGetKernel", "handle", kernel.function), 9, 50, 0)
        assert rt.get("cudaGetFuncBySymbol", "handle", kernel.function) != NULL


def test_occupancy(rt: Runtime, kernel: Kernel) -> None:
    threads = rt.get("cudaDeviceGetAttribute", "int", 39, 0)
    name = "cudaOccupancyMaxActiveBlocksPerMultiprocessor"
    assert rt.get(name, "int", kernel.function, 1024, 0) == threads // 1024
    assert rt.get(name + "WithFlags", "int", kernel.function, 256, 0, 0) == min(threads // 256, 32)
    shared = rt.get("cudaDeviceGetAttribute", "int", 81, 0)
    blocks = rt.get(name, "int", kernel.function, 32, 40_000)
    assert blocks == shared // (40_064 + 1024)
    available = rt.get("cudaOccupancyAvailableDynamicSMemPerBlock", "size_t", kernel.function, 4, 64)
    assert 0 < available <= shared // 4
    if rt.get("cudaDeviceGetAttribute", "int", 120, 0):
        launch = configuration(blocks=4, attributes=cluster_of(2))
        assert rt.get("cudaOccupancyMaxActiveClusters", "int", kernel.function, launch) > 0
        assert rt.get("cudaOccupancyMaxPotentialClusterSize", "int", kernel.function, launch) >= 8


def test_libraries_of_kernels(rt: Runtime) -> None:
    image = ffi.new("char[]", kernel_image("in_library"))
    library = rt.get("cudaLibraryLoadData", "handle", image, NULL, NULL, 0, NULL, NULL, 0)
    assert rt.get("cudaLibraryGetKernelCount", "unsigned", library) == 1
    function = rt.get("cudaLibraryGetKernel", "handle", library, ffi.new("char[]", b"in_library"))
    listed = ffi.new("handle[1]")
    rt.ok("cudaLibraryEnumerateKernels", listed, 1, library)
    assert listed[0] == function
    values, _kept = arguments()
    rt.ok("cudaLaunchKernel", function, dim3(), dim3(), values, 0, NULL)
    rt.ok("cudaDeviceSynchronize")
    missing = ffi.new("char[]", b"missing")
    rt.fails(SYMBOL_NOT_FOUND, "cudaLibraryGetKernel", ffi.new("handle*"), library, missing)
    rt.fails(
        SYMBOL_NOT_FOUND, "cudaLibraryGetGlobal", ffi.new("void**"), ffi.new("size_t*"), library, missing
    )
    rt.ok("cudaLibraryUnload", library)


def test_libraries_from_files(rt: Runtime, tmp_path: Any) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(kernel_image("in_library"))
    name = ffi.new("char[]", str(path).encode())
    library = rt.get("cudaLibraryLoadFromFile", "handle", name, NULL, NULL, 0, NULL, NULL, 0)
    rt.ok("cudaLibraryUnload", library)


@pytest.mark.parametrize("name", ["cuInit", "cuStreamSynchronize", "cuMemAlloc", "cuLaunchKernelEx"])
def test_entry_points_of_the_driver(rt: Runtime, name: str) -> None:
    text, out, found = ffi.new("char[]", name.encode()), ffi.new("void**"), ffi.new("int*", 7)
    rt.ok("cudaGetDriverEntryPointByVersion", text, out, MAJOR * 1000, 0, found)
    assert out[0] != NULL
    assert found[0] == 0
    rt.ok("cudaGetDriverEntryPoint", text, out, 0, found)
    assert out[0] != NULL
    if not NATIVE:
        for variant in ("cudaGetDriverEntryPoint_ptsz", "cudaGetDriverEntryPointByVersion_ptsz"):
            version = () if variant == "cudaGetDriverEntryPoint_ptsz" else (MAJOR * 1000,)
            rt.ok(variant, text, out, *version, 0, found)
            assert out[0] != NULL


def test_a_driver_function_that_does_not_exist(rt: Runtime) -> None:
    text, out, found = ffi.new("char[]", b"cuNoSuchFunction"), ffi.new("void**"), ffi.new("int*", 7)
    rt.ok("cudaGetDriverEntryPointByVersion", text, out, MAJOR * 1000, 0, found)
    assert found[0] == 1
    assert out[0] == NULL
