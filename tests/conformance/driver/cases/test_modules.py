"""Modules and libraries: cubins, fat binaries, functions, variables, launches. The cubin is made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cubin import COUNTER, PARAMETERS, REGISTERS, cubin, fat_binary
from library import NATIVE, NULL, Library, ffi

INVALID_VALUE, INVALID_IMAGE, NO_BINARY, NO_COMPILER = 1, 200, 209, 221
FILE_NOT_FOUND, INVALID_HANDLE, NOT_FOUND = 301, 400, 500

pytestmark = pytest.mark.skipif(NATIVE, reason="the hand-made cubin holds no machine code")


@pytest.fixture
def module(cu: Library) -> Iterator[Any]:
    loaded = cu.get("cuModuleLoadData", "void*", cubin())
    yield loaded
    cu.ok("cuModuleUnload", loaded)


@pytest.fixture
def function(cu: Library, module: Any) -> Any:
    return cu.get("cuModuleGetFunction", "void*", module, b"add")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (cubin(80), NO_BINARY),
        (cubin(100), NO_BINARY),
        (fat_binary(80, 100), NO_BINARY),
        (b"no image at all" + bytes(64), INVALID_IMAGE),
        (b"//\n.version 8.0\n.target sm_90\n" + bytes(64), NO_COMPILER),
    ],
)
def test_what_cannot_be_loaded(cu: Library, image: bytes, expected: int) -> None:
    assert cu.call("cuModuleLoadData", ffi.new("void**"), image) == expected


def test_the_right_cubin_of_a_fat_binary(cu: Library) -> None:
    loaded = cu.get("cuModuleLoadFatBinary", "void*", fat_binary(80, 90, 100))
    assert cu.get("cuModuleGetFunctionCount", "unsigned", loaded) == 1
    cu.ok("cuModuleUnload", loaded)


def test_a_module_from_a_file(cu: Library, tmp_path: Path) -> None:
    path = tmp_path / "kernel.cubin"
    path.write_bytes(cubin())
    loaded = cu.get("cuModuleLoad", "void*", str(path).encode())
    cu.ok("cuModuleUnload", loaded)
    assert cu.call("cuModuleUnload", loaded) == INVALID_HANDLE
    assert cu.call("cuModuleLoad", ffi.new("void**"), b"/no/such/file") == FILE_NOT_FOUND


def test_functions_are_those_of_the_image(cu: Library, module: Any, function: Any) -> None:
    assert cu.get("cuModuleGetFunction", "void*", module, b"add") == function
    assert bytes(ffi.string(cu.get("cuFuncGetName", "const char*", function))) == b"add"
    assert cu.call("cuModuleGetFunction", ffi.new("void**"), module, b"subtract") == NOT_FOUND
    assert cu.call("cuModuleGetFunction", ffi.new("void**"), module, b"") == INVALID_VALUE
    assert cu.call("cuModuleGetFunction", ffi.new("void**"), NULL, b"add") == INVALID_HANDLE


def test_parameters_and_attributes(cu: Library, function: Any) -> None:
    offset, size = ffi.new("size_t*"), ffi.new("size_t*")
    for index, expected in enumerate(PARAMETERS):
        cu.ok("cuFuncGetParamInfo", function, index, offset, size)
        assert (offset[0], size[0]) == expected
    assert cu.call("cuFuncGetParamInfo", function, len(PARAMETERS), offset, size) == INVALID_VALUE
    assert cu.get("cuFuncGetAttribute", "int", 4, function) == REGISTERS
    cu.ok("cuFuncSetAttribute", function, 8, 200 << 10)
    assert cu.get("cuFuncGetAttribute", "int", 8, function) == 200 << 10
    assert cu.call("cuFuncSetAttribute", function, 8, 300 << 10) == INVALID_VALUE
    assert cu.call("cuFuncGetAttribute", ffi.new("int*"), 999, function) == INVALID_VALUE


def test_variables(cu: Library, module: Any) -> None:
    address, size = ffi.new("uint64_t*"), ffi.new("size_t*")
    cu.ok("cuModuleGetGlobal_v2", address, size, module, b"counter")
    out = ffi.new("int[4]")
    cu.ok("cuMemcpyDtoH_v2", out, address[0], size[0])
    assert tuple(out) == COUNTER
    assert cu.call("cuModuleGetGlobal_v2", address, size, module, b"nothing") == NOT_FOUND


@pytest.mark.parametrize(
    ("threads", "shared", "blocks"), [(256, 0, 8), (1024, 0, 2), (128, 100 << 10, 2), (128, 300 << 10, 0)]
)
def test_occupancy(cu: Library, function: Any, threads: int, shared: int, blocks: int) -> None:
    assert cu.get("cuOccupancyMaxActiveBlocksPerMultiprocessor", "int", function, threads, shared) == blocks


def test_libraries_hold_the_same_kernels(cu: Library) -> None:
    loaded = cu.get("cuLibraryLoadData", "void*", cubin(), NULL, NULL, 0, NULL, NULL, 0)
    kernel = cu.get("cuLibraryGetKernel", "void*", loaded, b"add")
    assert cu.get("cuKernelGetFunction", "void*", kernel) == kernel
    assert cu.call("cuLibraryGetKernel", ffi.new("void**"), loaded, b"subtract") == NOT_FOUND
    cu.ok("cuLibraryUnload", loaded)
    assert cu.call("cuLibraryUnload", loaded) == INVALID_HANDLE


def test_launches(cu: Library, function: Any) -> None:
    values = [ffi.new("uint64_t*"), ffi.new("uint64_t*"), ffi.new("int*"), ffi.new("char[20]")]
    arguments = ffi.new("void*[]", values)
    cu.ok("cuLaunchKernel", function, 4, 1, 1, 128, 1, 1, 0, NULL, arguments, NULL)
    buffer, size = ffi.new("char[40]"), ffi.new("size_t*", 40)
    extra = ffi.new("void*[5]", [ffi.cast("void*", 1), buffer, ffi.cast("void*", 2), size, NULL])
    cu.ok("cuLaunchKernel", function, 4, 1, 1, 128, 1, 1, 0, NULL, NULL, extra)
    size[0] = 39
    assert cu.call("cuLaunchKernel", function, 4, 1, 1, 128, 1, 1, 0, NULL, NULL, extra) == INVALID_VALUE
    for geometry in (
        (0, 1, 1, 128, 1, 1, 0),
        (4, 1, 1, 2048, 1, 1, 0),
        (4, 70000, 1, 128, 1, 1, 0),
        (4, 1, 1, 1, 1, 65, 0),
    ):
        assert cu.call("cuLaunchKernel", function, *geometry, NULL, arguments, NULL) == INVALID_VALUE
    assert cu.call("cuLaunchKernel", NULL, 4, 1, 1, 128, 1, 1, 0, NULL, arguments, NULL) == INVALID_HANDLE
