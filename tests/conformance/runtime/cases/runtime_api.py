"""The CUDA runtime under test, called through cffi.

The fake library by default; the machine's real one with `REVATI_CONFORMANCE_NATIVE=1`. `REVATI_CONFORMANCE_CUDA`
chooses the major version (13 or 12).
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cffi

from revati.paths import library_dir

NATIVE = os.environ.get("REVATI_CONFORMANCE_NATIVE") == "1"
MAJOR = int(os.environ.get("REVATI_CONFORMANCE_CUDA", "13"))

SUCCESS = 0
INVALID_VALUE = 1
OUT_OF_MEMORY = 2
INVALID_CONFIGURATION = 9
INVALID_PITCH = 12
INVALID_SYMBOL = 13
INVALID_DIRECTION = 21
MISSING_CONFIGURATION = 52
INVALID_FUNCTION = 98
NO_DEVICE = 100
INVALID_DEVICE = 101
UNSUPPORTED_LIMIT = 215
INVALID_HANDLE = 400
ILLEGAL_STATE = 401
SYMBOL_NOT_FOUND = 500
NOT_READY = 600
PEER_ALREADY_ENABLED = 704
PEER_NOT_ENABLED = 705
COOPERATIVE_TOO_LARGE = 720
NOT_SUPPORTED = 801
CAPTURE_UNSUPPORTED = 900
CAPTURE_UNMATCHED = 903
CAPTURE_UNJOINED = 904
CAPTURED_EVENT = 907
UPDATE_FAILURE = 910

HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE, DEFAULT = range(5)
GLOBAL, THREAD_LOCAL, RELAXED = range(3)
NON_BLOCKING = 1
DISABLE_TIMING, INTERPROCESS = 2, 4


def declarations(major: int) -> str:
    """The text of `cudart.h` for one CUDA major, with the per-thread variants of all that have one."""
    text = (Path(__file__).parent / "cudart.h").read_text(encoding="utf-8")
    common, _, versioned = text.partition("#if 12\n")
    of_12, _, of_13 = versioned.partition("#else\n")
    text = common + (of_12 if major == 12 else of_13.replace("#endif", ""))
    plain = re.findall(r"^int ((?:__)?cuda\w+)(\(.*\));$", text, re.MULTILINE)
    return text + "".join(f"int {name}_{kind}{rest};\n" for name, rest in plain for kind in ("ptsz", "ptds"))


ffi = cffi.FFI()
ffi.cdef(declarations(MAJOR))
NULL = ffi.NULL
# Special stream handles.
LEGACY, PER_THREAD = ffi.cast("void*", 1), ffi.cast("void*", 2)


def wild(value: int = 0x7F00DEADB000) -> Any:
    """A pointer that nobody has made."""
    return ffi.cast("void*", value)


def _library() -> Any:
    name = f"libcudart.so.{MAJOR}"
    return ffi.dlopen(name if NATIVE else str(library_dir() / f"cuda{MAJOR}" / name))


class Runtime:
    """Calls by name, with the checks that every call deserves."""

    def __init__(self) -> None:
        self.lib: Any = _library()

    def call(self, name: str, *arguments: Any) -> int:
        """Calls and returns the status."""
        return int(getattr(self.lib, name)(*arguments))

    def ok(self, name: str, *arguments: Any) -> None:
        """The call succeeds."""
        code = self.call(name, *arguments)
        assert code == SUCCESS, f"{name}: {self.name(code)}"

    def fails(self, code: int, name: str, *arguments: Any) -> None:
        """The call fails with `code`, which stays the thread's last error until it is read once."""
        found = self.call(name, *arguments)
        assert found == code, f"{name}: {self.name(found)} instead of {self.name(code)}"
        assert self.call("cudaPeekAtLastError") == code, f"{name}: its error was not kept"
        assert self.call("cudaGetLastError") == code
        assert self.call("cudaGetLastError") == SUCCESS

    def name(self, code: int) -> str:
        """Name of an error code."""
        return bytes(ffi.string(self.lib.cudaGetErrorName(code))).decode()

    def get(self, name: str, kind: str, *arguments: Any) -> Any:
        """Calls a function whose first parameter is a pointer to its answer, and returns the answer."""
        out = ffi.new(f"{kind}*")
        self.ok(name, out, *arguments)
        return out[0]

    @contextmanager
    def memory(self, size: int) -> Iterator[Any]:
        """Device memory."""
        pointer = self.get("cudaMalloc", "void*", size)
        yield pointer
        self.ok("cudaFree", pointer)

    @contextmanager
    def stream(self, flags: int = NON_BLOCKING) -> Iterator[Any]:
        """A stream."""
        stream = self.get("cudaStreamCreateWithFlags", "handle", flags)
        yield stream
        self.ok("cudaStreamDestroy", stream)

    @contextmanager
    def event(self, flags: int = 0) -> Iterator[Any]:
        """An event."""
        event = self.get("cudaEventCreateWithFlags", "handle", flags)
        yield event
        self.ok("cudaEventDestroy", event)

    @contextmanager
    def graph(self) -> Iterator[Any]:
        """An empty graph."""
        graph = self.get("cudaGraphCreate", "handle", 0)
        yield graph
        self.ok("cudaGraphDestroy", graph)

    def upload(self, pointer: Any, data: bytes) -> None:
        """Copies bytes to the device."""
        self.ok("cudaMemcpy", pointer, ffi.from_buffer(data), len(data), HOST_TO_DEVICE)

    def download(self, pointer: Any, size: int) -> bytes:
        """Copies bytes from the device."""
        buffer = bytearray(size)
        self.ok("cudaMemcpy", ffi.from_buffer(buffer), pointer, size, DEVICE_TO_HOST)
        return bytes(buffer)


def dim3(x: int = 1, y: int = 1, z: int = 1) -> Any:
    """A dim3 by value."""
    return ffi.new("dim3*", {"x": x, "y": y, "z": z})[0]


def kernel_image(name: str) -> bytes:
    """A file with one empty kernel that takes one 64-bit parameter.

    A real driver compiles PTX. The virtual one has no compiler and is given the smallest cubin: an ELF file with the
    kernel's metadata section.
    """
    if NATIVE:
        head = ".version 7.0\n.target sm_80\n.address_size 64\n"
        return f"{head}.visible .entry {name}(.param .u64 p0) {{ ret; }}\n".encode() + b"\0"
    names = b"\0.nv.info." + name.encode() + b"\0.shstrtab\0"
    # One parameter: number and offset 0, its size in the upper bits.
    info = struct.pack("<BBHIHHI", 4, 0x17, 12, 0, 0, 0, 8 << 18)
    sections = [
        (0, 0, 0, 0),
        (1, 0x70000000, 64, len(info)),
        (names.index(b".shstrtab"), 3, 64 + len(info), len(names)),
    ]
    start = 64 + len(info) + len(names)
    header = b"\x7fELF\x02\x01\x01\x33\x07" + bytes(7)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, start, 90, 64, 56, 0, 64, len(sections), 2)
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", n, t, 0, 0, o, size, 0, 0, 1, 0) for n, t, o, size in sections
    )
    return header + info + names + table


class Kernel:
    """An empty kernel with one 64-bit parameter, as a host function that can be launched."""

    def __init__(self, runtime: Runtime) -> None:
        if NATIVE:
            self._image = ffi.new("char[]", kernel_image("conformance_kernel"))
            library = runtime.get("cudaLibraryLoadData", "handle", self._image, NULL, NULL, 0, NULL, NULL, 0)
            self.function = runtime.get(
                "cudaLibraryGetKernel", "handle", library, ffi.new("char[]", b"conformance_kernel")
            )
            return
        # Only its address counts.
        self._stub = ffi.new("char[16]")
        self.function = ffi.cast("void*", self._stub)
        self.binary, self._kept = register_kernel(runtime, self.function, b"conformance_kernel")


def register_kernel(runtime: Runtime, function: Any, name: bytes) -> tuple[Any, Any]:
    """What a compiled program does at start-up. Returns the binary's handle and what must stay alive."""
    wrapper, text = ffi.new("char[64]"), ffi.new("char[]", name)
    binary = runtime.lib.__cudaRegisterFatBinary(wrapper)
    none = [NULL] * 5
    runtime.lib.__cudaRegisterFunction(binary, function, text, text, -1, *none)
    runtime.lib.__cudaRegisterFatBinaryEnd(binary)
    return binary, (wrapper, text)


def arguments(value: int = 0) -> tuple[Any, Any]:
    """A kernel's argument array and what must be kept alive for it."""
    storage = ffi.new("unsigned long long*", value)
    return ffi.new("void*[]", [ffi.cast("void*", storage)]), storage


def free_memory(runtime: Runtime) -> int:
    """Free bytes of the current device."""
    free, total = ffi.new("size_t*"), ffi.new("size_t*")
    runtime.ok("cudaMemGetInfo", free, total)
    return int(free[0])


def host_page(size: int = 4096) -> tuple[Any, Any]:
    """Page-aligned host memory of the process, and its owner."""
    libc = ctypes.CDLL(None)
    libc.aligned_alloc.restype = ctypes.c_void_p
    address = libc.aligned_alloc(ctypes.c_size_t(4096), ctypes.c_size_t(size))
    return ffi.cast("void*", address), libc
