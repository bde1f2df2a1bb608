"""Allocation, host memory, pointers, pools, device variables."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from runtime_api import (
    DEVICE_TO_HOST,
    HOST_TO_DEVICE,
    INVALID_VALUE,
    MAJOR,
    NULL,
    OUT_OF_MEMORY,
    Runtime,
    ffi,
    free_memory,
    host_page,
)

UNREGISTERED, HOST, DEVICE, MANAGED = range(4)
MIB = 1 << 20


def attributes(rt: Runtime, pointer: Any) -> Any:
    return rt.get("cudaPointerGetAttributes", "cudaPointerAttributes", pointer)


def test_memory_is_charged_and_given_back(rt: Runtime) -> None:
    before = free_memory(rt)
    pointer = rt.get("cudaMalloc", "void*", 64 * MIB)
    assert free_memory(rt) == before - 64 * MIB
    rt.ok("cudaFree", pointer)
    assert free_memory(rt) == before


def test_alignment_and_nothing(rt: Runtime) -> None:
    with rt.memory(1) as pointer:
        assert int(ffi.cast("uintptr_t", pointer)) % 256 == 0
    assert rt.get("cudaMalloc", "void*", 0) == NULL
    rt.ok("cudaFree", NULL)
    rt.ok("cudaFreeHost", NULL)


def test_out_of_memory_is_not_sticky(rt: Runtime) -> None:
    rt.fails(OUT_OF_MEMORY, "cudaMalloc", ffi.new("void**"), free_memory(rt) + 64 * MIB)
    with rt.memory(MIB):
        pass


def test_memory_freed_twice(rt: Runtime) -> None:
    pointer = rt.get("cudaMalloc", "void*", 4 * MIB)
    rt.ok("cudaFree", pointer)
    rt.fails(INVALID_VALUE, "cudaFree", pointer)


def test_pitched_memory(rt: Runtime) -> None:
    out, pitch = ffi.new("void**"), ffi.new("size_t*")
    rt.ok("cudaMallocPitch", out, pitch, 100, 8)
    assert pitch[0] >= 100
    assert pitch[0] % 32 == 0
    rt.ok("cudaFree", out[0])
    extent = ffi.new("cudaExtent*", {"width": 100, "height": 4, "depth": 2})[0]
    target = rt.get("cudaMalloc3D", "cudaPitchedPtr", extent)
    assert target.pitch >= 100
    assert target.ysize == 4
    rt.ok("cudaMemset3D", target, 5, extent)
    rt.ok("cudaMemset3DAsync", target, 6, extent, NULL)
    rt.ok("cudaDeviceSynchronize")
    assert rt.download(target.ptr + target.pitch, 100) == b"\6" * 100
    rt.ok("cudaFree", target.ptr)


def test_managed_memory(rt: Runtime) -> None:
    pointer = rt.get("cudaMallocManaged", "void*", 4096, 1)
    assert attributes(rt, pointer).type == MANAGED
    ffi.memmove(pointer, b"managed", 7)
    assert rt.download(pointer, 7) == b"managed"
    rt.ok("cudaStreamAttachMemAsync", NULL, pointer, 0, 1)
    place = ffi.new("cudaMemLocation*", {"type": 1, "id": 0})[0]
    if MAJOR == 12:
        rt.ok("cudaMemPrefetchAsync", pointer, 4096, 0, NULL)
        rt.ok("cudaMemPrefetchAsync_v2", pointer, 4096, place, 0, NULL)
        rt.ok("cudaMemAdvise", pointer, 4096, 1, 0)
        rt.ok("cudaMemAdvise_v2", pointer, 4096, 1, place)
    else:
        rt.ok("cudaMemPrefetchAsync", pointer, 4096, place, 0, NULL)
        rt.ok("cudaMemAdvise", pointer, 4096, 1, place)
    rt.ok("cudaFree", pointer)


@pytest.mark.parametrize("flags", [0, 1, 2, 4])
def test_page_locked_memory(rt: Runtime, flags: int) -> None:
    pointer = rt.get("cudaHostAlloc", "void*", 8192, flags)
    found = attributes(rt, pointer)
    assert found.type == HOST
    assert found.hostPointer == pointer
    assert rt.get("cudaHostGetDevicePointer", "void*", pointer, 0) == pointer
    assert rt.get("cudaHostGetFlags", "unsigned", pointer) & flags == flags
    rt.ok("cudaFreeHost", pointer)
    pointer = rt.get("cudaMallocHost", "void*", 8192)
    rt.ok("cudaFreeHost", pointer)
    rt.fails(INVALID_VALUE, "cudaFreeHost", pointer)


def test_registered_memory(rt: Runtime) -> None:
    pointer, libc = host_page(8192)
    rt.ok("cudaHostRegister", pointer, 8192, 0)
    assert attributes(rt, pointer).type == HOST
    rt.fails(712, "cudaHostRegister", pointer, 8192, 0)
    rt.ok("cudaHostUnregister", pointer)
    rt.fails(713, "cudaHostUnregister", pointer)
    assert attributes(rt, pointer).type == UNREGISTERED
    libc.free(ctypes.c_void_p(int(ffi.cast("uintptr_t", pointer))))


def test_pointers(rt: Runtime) -> None:
    with rt.memory(4096) as pointer:
        found = attributes(rt, pointer + 100)
        assert found.type == DEVICE
        assert found.device == 0
        assert found.devicePointer == pointer + 100
    found = attributes(rt, ffi.new("char[16]"))
    assert found.type == UNREGISTERED
    assert found.devicePointer == NULL


def test_memory_ordered_by_streams(rt: Runtime) -> None:
    with rt.stream() as stream:
        before = free_memory(rt)
        pointer = rt.get("cudaMallocAsync", "void*", 32 * MIB, stream)
        data = bytes(range(256))
        rt.ok("cudaMemcpyAsync", pointer, ffi.from_buffer(data), 256, HOST_TO_DEVICE, stream)
        rt.ok("cudaStreamSynchronize", stream)
        assert free_memory(rt) <= before - 32 * MIB
        assert rt.download(pointer, 256) == data
        rt.ok("cudaFreeAsync", pointer, stream)
        rt.ok("cudaStreamSynchronize", stream)
        pointer = rt.get("cudaMallocAsync", "void*", MIB, stream)
        rt.ok("cudaStreamSynchronize", stream)
        rt.ok("cudaFree", pointer)


def pool_bytes(rt: Runtime, pool: Any, attribute: int) -> int:
    value = ffi.new("unsigned long long*")
    rt.ok("cudaMemPoolGetAttribute", pool, attribute, value)
    return int(value[0])


def test_pools(rt: Runtime) -> None:
    properties = ffi.new("cudaMemPoolProps*", {"allocType": 1, "location": {"type": 1, "id": 0}})
    pool = rt.get("cudaMemPoolCreate", "handle", properties)
    default = rt.get("cudaDeviceGetDefaultMemPool", "handle", 0)
    assert rt.get("cudaDeviceGetMemPool", "handle", 0) == default
    rt.ok("cudaDeviceSetMemPool", 0, pool)
    assert rt.get("cudaDeviceGetMemPool", "handle", 0) == pool
    rt.ok("cudaDeviceSetMemPool", 0, default)
    with rt.stream() as stream:
        pointer = rt.get("cudaMallocFromPoolAsync", "void*", 2 * MIB, pool, stream)
        rt.ok("cudaStreamSynchronize", stream)
        assert pool_bytes(rt, pool, 7) == 2 * MIB  # used
        assert pool_bytes(rt, pool, 5) >= 2 * MIB  # reserved
        rt.ok("cudaFreeAsync", pointer, stream)
        rt.ok("cudaStreamSynchronize", stream)
    assert pool_bytes(rt, pool, 7) == 0
    assert pool_bytes(rt, pool, 8) == 2 * MIB  # the most that was used
    rt.ok("cudaMemPoolSetAttribute", pool, 4, ffi.new("unsigned long long*", 12345))
    assert pool_bytes(rt, pool, 4) == 12345
    rt.ok("cudaMemPoolTrimTo", pool, 0)
    place = ffi.new("cudaMemLocation*", {"type": 1, "id": 0})
    assert rt.get("cudaMemPoolGetAccess", "int", pool, place) == 3
    rt.ok("cudaMemPoolSetAccess", pool, ffi.new("cudaMemAccessDesc*", {"location": place[0], "flags": 3}), 1)
    if MAJOR == 13:
        assert rt.get("cudaMemGetDefaultMemPool", "handle", place, 1) == default
        rt.ok("cudaMemSetMemPool", place, 1, pool)
        assert rt.get("cudaMemGetMemPool", "handle", place, 1) == pool
        rt.ok("cudaMemSetMemPool", place, 1, default)
    rt.ok("cudaMemPoolDestroy", pool)
    rt.fails(INVALID_VALUE, "cudaMemPoolDestroy", pool)


@pytest.mark.virtual_only
def test_device_variables(rt: Runtime) -> None:
    wrapper, variable, name = ffi.new("char[64]"), ffi.new("char[32]"), ffi.new("char[]", b"variable")
    binary = rt.lib.__cudaRegisterFatBinary(wrapper)
    rt.lib.__cudaRegisterVar(binary, variable, name, name, 0, 32, 0, 1)
    rt.lib.__cudaRegisterHostVar(binary, name, variable, 32)
    assert rt.get("cudaGetSymbolSize", "size_t", variable) == 32
    address = rt.get("cudaGetSymbolAddress", "void*", variable)
    rt.ok("cudaMemcpyToSymbol", variable, ffi.from_buffer(b"0123456789"), 10, 4, HOST_TO_DEVICE)
    rt.ok("cudaMemcpyToSymbolAsync", variable, ffi.from_buffer(b"AB"), 2, 4, HOST_TO_DEVICE, NULL)
    out = bytearray(10)
    rt.ok("cudaMemcpyFromSymbol", ffi.from_buffer(out), variable, 10, 4, DEVICE_TO_HOST)
    assert bytes(out) == b"AB23456789" == rt.download(address + 4, 10)
    rt.ok("cudaMemcpyFromSymbolAsync", ffi.from_buffer(out), variable, 2, 6, DEVICE_TO_HOST, NULL)
    rt.ok("cudaDeviceSynchronize")
    assert out[:2] == b"23"
    rt.fails(INVALID_VALUE, "cudaMemcpyToSymbol", variable, ffi.from_buffer(b"x" * 40), 40, 0, HOST_TO_DEVICE)
    rt.lib.__cudaUnregisterFatBinary(binary)
    rt.fails(13, "cudaGetSymbolSize", ffi.new("size_t*"), variable)


@pytest.mark.virtual_only
def test_managed_variables(rt: Runtime) -> None:
    wrapper, pointer, name = ffi.new("char[64]"), ffi.new("void**"), ffi.new("char[]", b"managed")
    binary = rt.lib.__cudaRegisterFatBinary(wrapper)
    rt.lib.__cudaRegisterManagedVar(binary, pointer, name, name, 0, 64, 0, 0)
    rt.lib.__cudaInitModule(binary)
    assert attributes(rt, pointer[0]).type == MANAGED
    rt.lib.__cudaUnregisterFatBinary(binary)
