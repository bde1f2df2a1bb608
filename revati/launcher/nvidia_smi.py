"""`nvidia-smi` for commands on virtual GPUs: what frameworks ask it when they start (`--query-gpu`, `-L`), through NVML.

SGLang sizes its KV cache and its graphs by `memory.total`. Whatever else one may ask is refused.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

_LIBRARY = "libnvidia-ml.so.1"
_TEXT_BYTES = 96
_MIB = 1 << 20


def install(folder: Path) -> Path:
    """Writes the command `nvidia-smi` to `folder/bin`, for the front of PATH; returns that folder."""
    binaries = folder / "bin"
    program = binaries / "nvidia-smi"
    if not program.exists():
        binaries.mkdir(exist_ok=True)
        temporary = binaries / f".nvidia-smi.{os.getpid()}"
        # -I: neither the working directory nor the command's own Python settings lead elsewhere. By path, not as a
        # module: importing the package would take longer than the answer.
        temporary.write_text(
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I {shlex.quote(__file__)} "$@"\n'
        )
        temporary.chmod(0o755)
        temporary.replace(program)
    return binaries


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class Nvml:
    """The few calls that are needed."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(_LIBRARY)
        self._call("nvmlInit_v2")

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            _fail(f"{name} failed with NVML error {code}", 255)

    def devices(self) -> list[ctypes.c_void_p]:
        """Handles of all GPUs."""
        count = ctypes.c_uint()
        self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        handles = [ctypes.c_void_p() for _ in range(count.value)]
        for index, handle in enumerate(handles):
            self._call("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(handle))
        return handles

    def text(self, name: str, *handle: ctypes.c_void_p) -> str:
        """The answer of a function that writes text."""
        buffer = ctypes.create_string_buffer(_TEXT_BYTES)
        self._call(name, *handle, buffer, _TEXT_BYTES)
        return buffer.value.decode()

    def memory_mib(self, handle: ctypes.c_void_p, which: str) -> str:
        """`total`, `free` or `used` memory, in MiB."""
        memory = _Memory()
        self._call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        return f"{getattr(memory, which) // _MIB}"

    def compute_capability(self, handle: ctypes.c_void_p) -> str:
        """For example 9.0."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvmlDeviceGetCudaComputeCapability", handle, ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"


_UNITS = {
    "index": "",
    "count": "",
    "name": "",
    "uuid": "",
    "driver_version": "",
    "compute_cap": "",
    "memory.total": "MiB",
    "memory.free": "MiB",
    "memory.used": "MiB",
}


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser("nvidia-smi", description="virtual GPUs; only queries are answered")
    parser.add_argument("-L", "--list-gpus", action="store_true")
    parser.add_argument("--query-gpu", metavar="FIELDS")
    parser.add_argument("--format", default="csv")
    parser.add_argument("-i", "--id", metavar="INDEX,...")
    options = parser.parse_args(arguments)
    if not options.list_gpus and not options.query_gpu:
        _fail("on virtual GPUs only -L and --query-gpu=... are answered", 2)
    nvml = Nvml()
    wanted = {int(index) for index in options.id.split(",")} if options.id else None
    gpus = [(i, handle) for i, handle in enumerate(nvml.devices()) if wanted is None or i in wanted]
    if options.list_gpus:
        for index, handle in gpus:
            name, uuid = nvml.text("nvmlDeviceGetName", handle), nvml.text("nvmlDeviceGetUUID", handle)
            print(f"GPU {index}: {name} (UUID: {uuid})")
        return 0
    fields = [field.strip() for field in options.query_gpu.split(",")]
    for field in fields:
        if field not in _UNITS:
            _fail(f'Field "{field}" is not a valid field to query on virtual GPUs', 2)
    how = {word.strip() for word in options.format.split(",")}
    if "noheader" not in how:
        units = [_UNITS[field] if "nounits" not in how else "" for field in fields]
        print(
            ", ".join(
                f"{field} [{unit}]" if unit else field for field, unit in zip(fields, units, strict=True)
            )
        )
    for index, handle in gpus:
        print(", ".join(_value(nvml, handle, index, field, "nounits" not in how) for field in fields))
    return 0


def _value(nvml: Nvml, handle: ctypes.c_void_p, index: int, field: str, with_unit: bool) -> str:
    match field:
        case "index":
            return str(index)
        case "count":
            return str(len(nvml.devices()))
        case "name":
            return nvml.text("nvmlDeviceGetName", handle)
        case "uuid":
            return nvml.text("nvmlDeviceGetUUID", handle)
        case "driver_version":
            return nvml.text("nvmlSystemGetDriverVersion")
        case "compute_cap":
            return nvml.compute_capability(handle)
    value = nvml.memory_mib(handle, field.removeprefix("memory."))
    return f"{value} {_UNITS[field]}" if with_unit else value


def _fail(reason: str, code: int) -> NoReturn:
    print(f"nvidia-smi: {reason}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
