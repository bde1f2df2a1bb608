"""Outside a session there are no devices: started by `test_runtime.py` without one."""

from __future__ import annotations

import pytest
from runtime_api import NO_DEVICE, NULL, Runtime, ffi

OUT = ffi.new("void**")
INT = ffi.new("int*")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cudaGetDeviceCount", (INT,)),
        ("cudaGetDevice", (INT,)),
        ("cudaSetDevice", (0,)),
        ("cudaMalloc", (OUT, 16)),
        ("cudaFree", (NULL,)),
        ("cudaMallocHost", (OUT, 16)),
        ("cudaMemcpy", (INT, INT, 4, 0)),
        ("cudaMemsetAsync", (INT, 0, 4, NULL)),
        ("cudaDeviceSynchronize", ()),
        ("cudaStreamCreate", (OUT,)),
        ("cudaStreamSynchronize", (NULL,)),
        ("cudaEventCreate", (OUT,)),
        ("cudaGraphCreate", (OUT, 0)),
        ("cudaDeviceGetAttribute", (INT, 16, 0)),
        ("cudaDeviceGetDefaultMemPool", (OUT, 0)),
        ("cudaPointerGetAttributes", (ffi.new("cudaPointerAttributes*"), INT)),
        ("cudaMemGetInfo", (ffi.new("size_t*"), ffi.new("size_t*"))),
        ("cudaProfilerStart", ()),
    ],
)
def test_no_device(name: str, arguments: tuple[object, ...]) -> None:
    Runtime().fails(NO_DEVICE, name, *arguments)


def test_versions_are_known_without_devices() -> None:
    runtime = Runtime()
    assert runtime.get("cudaDriverGetVersion", "int") == 0
    assert runtime.get("cudaRuntimeGetVersion", "int") >= 12000
