"""cuDNN: it can be asked and held, and refuses to compute."""

from __future__ import annotations

import pytest
from library import MAJOR, NATIVE, NULL, Library, ffi

BAD_PARAM, NULL_POINTER, NOT_SUPPORTED = 2000, 2002, 3000

DECLARATIONS = """
size_t cudnnGetVersion(void); size_t cudnnGetCudartVersion(void); const char* cudnnGetErrorString(int);
int cudnnGetProperty(int, int*); int cudnnCreate(void**); int cudnnDestroy(void*);
int cudnnSetStream(void*, void*); int cudnnGetStream(void*, void**); void cudnnGetLastErrorString(char*, size_t);
int cudnnBackendCreateDescriptor(int, void**); int cudnnGraphVersionCheck(void);
"""


@pytest.fixture(scope="module")
def cudnn() -> Library:
    return Library("cudnn", DECLARATIONS)


def test_version_and_properties_agree(cudnn: Library) -> None:
    major, minor, patch = (cudnn.get_last("cudnnGetProperty", "int", which) for which in range(3))
    assert cudnn.lib.cudnnGetVersion() == major * 10000 + minor * 100 + patch
    assert cudnn.lib.cudnnGetCudartVersion() // 1000 == MAJOR
    assert cudnn.call("cudnnGetProperty", 7, ffi.new("int*")) != 0
    cudnn.ok("cudnnGraphVersionCheck")


def test_a_handle_keeps_its_stream(cudnn: Library) -> None:
    handle = cudnn.get("cudnnCreate", "void*")
    stream = ffi.cast("void*", 2)  # the per-thread default stream
    cudnn.ok("cudnnSetStream", handle, stream)
    assert cudnn.get_last("cudnnGetStream", "void*", handle) == stream
    cudnn.ok("cudnnDestroy", handle)


@pytest.mark.skipif(NATIVE, reason="the real library computes, and does not check handles")
def test_computing_is_refused_and_handles_are_checked(cudnn: Library) -> None:
    assert cudnn.call("cudnnBackendCreateDescriptor", 0, ffi.new("void**")) == NOT_SUPPORTED
    assert cudnn.call("cudnnDestroy", NULL) == BAD_PARAM
    assert cudnn.call("cudnnCreate", NULL) == NULL_POINTER
    text = ffi.new("char[128]")
    cudnn.lib.cudnnGetLastErrorString(text, 128)
    assert b"cudnnCreate" in bytes(ffi.string(text))
    assert bytes(ffi.string(cudnn.lib.cudnnGetErrorString(NOT_SUPPORTED))) == b"CUDNN_STATUS_NOT_SUPPORTED"
