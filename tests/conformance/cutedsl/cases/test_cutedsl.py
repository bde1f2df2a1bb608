"""The runtime of the CUTLASS DSL: calls reach the CUDA runtime, and a module is loaded once and prepared for each device."""

from __future__ import annotations

from typing import Any

import pytest
from library import NATIVE, NULL, Library, ffi

pytestmark = pytest.mark.skipif(NATIVE, reason="how compiled modules call it is no public interface")

NOT_SUPPORTED_AOT = 1

DECLARATIONS = """
int cuda_dialect_init_library_once(void**, int (*)(void**), int (*)(void**, int));
int cuda_dialect_unload_library_once(void**); const char* cuda_dialect_get_error_name(int);
int _cudaGetDevice(int*); int _cudaSetDevice(int); int _cudaGetDeviceCount(int*); int _cudaMalloc(void**, size_t);
int _cudaMemcpy(void*, const void*, size_t, int); int _cudaMemset(void*, int, size_t); int _cudaFree(void*);
int _cudaDeviceGetAttribute(int*, int, int); int _cudaStreamCreate(void**); int _cudaStreamSynchronize(void*);
int _cudaStreamDestroy(void*); int CuteDSLRT_Module_Destroy(void*);
"""


@pytest.fixture(scope="module")
def runtime() -> Library:
    return Library("cutedsl", DECLARATIONS)


class Module:
    """What the compiler puts into a module: where its library goes, and two functions."""

    def __init__(self, failures: int = 0) -> None:
        self.place = ffi.new("void**")
        self.calls: list[Any] = []

        def load(place: Any) -> int:
            self.calls.append("load")
            return 209 if self.calls.count("load") <= failures else 0  # cudaErrorNoKernelImageForDevice

        def prepare(place: Any, device: int) -> int:
            self.calls.append(device)
            return 0

        self.load = ffi.callback("int(void**)", load)
        self.prepare = ffi.callback("int(void**, int)", prepare)

    def initialise(self, runtime: Library) -> int:
        return int(runtime.call("cuda_dialect_init_library_once", self.place, self.load, self.prepare))


def test_a_module_is_loaded_once_and_prepared_once_for_each_device(runtime: Library) -> None:
    module = Module()
    for device in (0, 0, 1, 1, 0):
        runtime.ok("_cudaSetDevice", device)
        assert module.initialise(runtime) == 0
    assert module.calls == ["load", 0, 1]
    runtime.ok("cuda_dialect_unload_library_once", module.place)


def test_a_module_that_does_not_load_says_so_and_is_tried_again(runtime: Library) -> None:
    module = Module(failures=1)
    assert module.initialise(runtime) == 209
    assert module.calls == ["load"]
    assert module.initialise(runtime) == 0
    name = runtime.lib.cuda_dialect_get_error_name(209)
    assert ffi.string(name) == b"cudaErrorNoKernelImageForDevice"


def test_its_functions_are_those_of_the_cuda_runtime(runtime: Library) -> None:
    assert runtime.get("_cudaGetDeviceCount", "int") == 2
    max_threads = 1
    value = ffi.new("int*")
    runtime.ok("_cudaDeviceGetAttribute", value, max_threads, 0)
    assert value[0] == 1024
    memory = runtime.get("_cudaMalloc", "void*", 16)
    runtime.ok("_cudaMemset", memory, 7, 16)
    content = ffi.new("char[16]")
    runtime.ok("_cudaMemcpy", content, memory, 16, 2)
    assert bytes(ffi.buffer(content)) == b"\x07" * 16
    runtime.ok("_cudaFree", memory)
    stream = runtime.get("_cudaStreamCreate", "void*")
    runtime.ok("_cudaStreamSynchronize", stream)
    runtime.ok("_cudaStreamDestroy", stream)


def test_what_was_compiled_ahead_of_time_is_refused(runtime: Library) -> None:
    assert runtime.call("CuteDSLRT_Module_Destroy", NULL) == NOT_SUPPORTED_AOT
