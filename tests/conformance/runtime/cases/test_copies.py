"""Copies and fills move the bytes that they should, in stream order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from runtime_api import (
    DEFAULT,
    DEVICE_TO_DEVICE,
    DEVICE_TO_HOST,
    HOST_TO_DEVICE,
    HOST_TO_HOST,
    INVALID_PITCH,
    INVALID_VALUE,
    MAJOR,
    NULL,
    PER_THREAD,
    Runtime,
    ffi,
)

DATA = bytes(range(256)) * 4


def copy_sync(rt: Runtime, to: Any, source: Any, size: int, kind: int) -> None:
    rt.ok("cudaMemcpy", to, source, size, kind)


def copy_async(rt: Runtime, to: Any, source: Any, size: int, kind: int) -> None:
    with rt.stream() as stream:
        rt.ok("cudaMemcpyAsync", to, source, size, kind, stream)
        rt.ok("cudaStreamSynchronize", stream)


def copy_2d(rt: Runtime, to: Any, source: Any, size: int, kind: int) -> None:
    rt.ok("cudaMemcpy2D", to, size, source, size, size, 1, kind)


def copy_2d_async(rt: Runtime, to: Any, source: Any, size: int, kind: int) -> None:
    rt.ok("cudaMemcpy2DAsync", to, size, source, size, size, 1, kind, NULL)
    rt.ok("cudaStreamSynchronize", NULL)


def parameters_3d(to: Any, source: Any, size: int, kind: int) -> Any:
    parameters = ffi.new("cudaMemcpy3DParms*")
    parameters.dstPtr = {"ptr": to, "pitch": size, "xsize": size, "ysize": 1}
    parameters.srcPtr = {"ptr": source, "pitch": size, "xsize": size, "ysize": 1}
    parameters.extent = {"width": size, "height": 1, "depth": 1}
    parameters.kind = kind
    return parameters


def copy_3d(rt: Runtime, to: Any, source: Any, size: int, kind: int) -> None:
    rt.ok("cudaMemcpy3D", parameters_3d(to, source, size, kind))


def copy_3d_async(rt: Runtime, to: Any, source: Any, size: int, kind: int) -> None:
    rt.ok("cudaMemcpy3DAsync", parameters_3d(to, source, size, kind), NULL)
    rt.ok("cudaStreamSynchronize", NULL)


WAYS: list[Callable[..., None]] = [copy_sync, copy_async, copy_2d, copy_2d_async, copy_3d, copy_3d_async]


@pytest.mark.parametrize("explicit", [True, False], ids=["explicit", "default"])
@pytest.mark.parametrize("way", WAYS)
def test_round_trip(rt: Runtime, way: Callable[..., None], explicit: bool) -> None:
    out, size = bytearray(len(DATA)), len(DATA)
    with rt.memory(4096) as first, rt.memory(4096) as second:
        way(rt, first, ffi.from_buffer(DATA), size, HOST_TO_DEVICE if explicit else DEFAULT)
        way(rt, second, first, size, DEVICE_TO_DEVICE if explicit else DEFAULT)
        way(rt, ffi.from_buffer(out), second, size, DEVICE_TO_HOST if explicit else DEFAULT)
        rt.ok("cudaDeviceSynchronize")
    assert bytes(out) == DATA


def test_between_host_buffers(rt: Runtime) -> None:
    out = bytearray(16)
    rt.ok("cudaMemcpy", ffi.from_buffer(out), ffi.from_buffer(DATA), 16, HOST_TO_HOST)
    assert bytes(out) == DATA[:16]


def test_nothing_is_always_fine(rt: Runtime) -> None:
    rt.ok("cudaMemcpy", NULL, NULL, 0, HOST_TO_DEVICE)
    rt.ok("cudaMemset", NULL, 0, 0)


def test_a_range_of_rows(rt: Runtime) -> None:
    with rt.memory(4096) as pointer:
        rt.ok("cudaMemset", pointer, 0, 4096)
        # Four rows of three bytes from a pitch of 16 into a pitch of 64.
        rt.ok("cudaMemcpy2D", pointer, 64, ffi.from_buffer(DATA), 16, 3, 4, HOST_TO_DEVICE)
        found = rt.download(pointer, 256)
    assert [found[row * 64 : row * 64 + 5] for row in range(4)] == [
        DATA[row * 16 : row * 16 + 3] + b"\0\0" for row in range(4)
    ]


def test_a_box(rt: Runtime) -> None:
    parameters = ffi.new("cudaMemcpy3DParms*")
    with rt.memory(4096) as pointer:
        rt.ok("cudaMemset", pointer, 0, 4096)
        parameters.srcPtr = {"ptr": ffi.from_buffer(DATA), "pitch": 16, "xsize": 16, "ysize": 4}
        parameters.dstPtr = {"ptr": pointer, "pitch": 32, "xsize": 32, "ysize": 8}
        parameters.srcPos = {"x": 1, "y": 1, "z": 0}
        parameters.dstPos = {"x": 0, "y": 0, "z": 1}
        parameters.extent = {"width": 2, "height": 2, "depth": 2}
        parameters.kind = HOST_TO_DEVICE
        rt.ok("cudaMemcpy3D", parameters)
        found = rt.download(pointer, 1024)
    for z in range(2):
        for y in range(2):
            start, source = (z + 1) * 256 + y * 32, z * 64 + (y + 1) * 16 + 1
            assert found[start : start + 2] == DATA[source : source + 2]


def test_between_devices(rt: Runtime) -> None:
    other = rt.get("cudaGetDeviceCount", "int") - 1
    with rt.memory(4096) as first:
        rt.upload(first, DATA)
        rt.ok("cudaSetDevice", other)
        with rt.memory(4096) as second:
            rt.ok("cudaMemcpyPeer", second, other, first, 0, 512)
            rt.ok("cudaMemcpyPeerAsync", second + 512, other, first + 512, 0, 512, NULL)
            rt.ok("cudaDeviceSynchronize")
            assert rt.download(second, 1024) == DATA
            parameters = ffi.new("cudaMemcpy3DPeerParms*")
            parameters.srcPtr = {"ptr": first + 4, "pitch": 8, "xsize": 8, "ysize": 1}
            parameters.dstPtr = {"ptr": second, "pitch": 8, "xsize": 8, "ysize": 1}
            parameters.dstDevice = other
            parameters.extent = {"width": 8, "height": 1, "depth": 1}
            rt.ok("cudaMemcpy3DPeer", parameters)
            rt.ok("cudaMemcpy3DPeerAsync", parameters, NULL)
            rt.ok("cudaDeviceSynchronize")
            assert rt.download(second, 8) == DATA[4:12]
        rt.ok("cudaSetDevice", 0)


def test_batches(rt: Runtime) -> None:
    out = bytearray(16)
    with rt.memory(4096) as pointer:
        destinations = ffi.new("void*[]", [pointer, pointer + 8])
        sources = ffi.new("void*[]", [ffi.from_buffer(DATA), ffi.from_buffer(DATA)])
        sizes = ffi.new("size_t[]", [8, 4])
        # One set of attributes for all: in stream order.
        attributes = ffi.new("int[]", [1] + [0] * 15)
        common = (destinations, sources, sizes, 2, attributes, ffi.new("size_t*"), 1)
        rest = (ffi.new("size_t*"), PER_THREAD) if MAJOR == 12 else (PER_THREAD,)
        rt.ok("cudaMemcpyBatchAsync", *common, *rest)
        rt.ok("cudaStreamSynchronize", PER_THREAD)
        rt.ok("cudaMemcpy", ffi.from_buffer(out), pointer, 12, DEVICE_TO_HOST)
        rest = (ffi.new("size_t*"), NULL) if MAJOR == 12 else (NULL,)
        rt.fails(INVALID_VALUE, "cudaMemcpyBatchAsync", *common, *rest)
    assert bytes(out) == DATA[:8] + DATA[:4] + b"\0" * 4


def test_fills(rt: Runtime) -> None:
    with rt.memory(4096) as pointer:
        rt.ok("cudaMemset", pointer, 0x101, 4096)  # only the low byte counts
        assert rt.download(pointer, 4096) == b"\1" * 4096
        rt.ok("cudaMemsetAsync", pointer, 2, 100, NULL)
        rt.ok("cudaMemset2D", pointer + 256, 64, 3, 8, 4)
        rt.ok("cudaMemset2DAsync", pointer + 1024, 64, 4, 8, 2, NULL)
        rt.ok("cudaDeviceSynchronize")
        found = rt.download(pointer, 4096)
    assert found[:101] == b"\2" * 100 + b"\1"
    assert [found[256 + row * 64 : 256 + row * 64 + 9] for row in range(4)] == [b"\3" * 8 + b"\1"] * 4
    assert [found[1024 + row * 64 : 1024 + row * 64 + 9] for row in range(2)] == [b"\4" * 8 + b"\1"] * 2
    # A wrong pitch is refused.
    rt.fails(
        INVALID_PITCH, "cudaMemcpy2D", ffi.new("char[64]"), 4, ffi.from_buffer(DATA), 16, 16, 2, HOST_TO_HOST
    )
