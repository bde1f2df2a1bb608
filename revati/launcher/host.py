"""What this machine has and lacks, for `revati doctor`."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from revati.errors import RevatiError
from revati.launcher import preflight, stubs, toolchain
from revati.launcher.interpreter import SUPPORTED_CUDA, Interpreter
from revati.launcher.libraries import NativeLibraries
from revati.paths import cache_dir, library_dir

_GIB = 2**30
_SMALL_MEMORY = 8 * _GIB
_SMALL_DISK = 5 * _GIB
_SMALL_SHARED_MEMORY = 1 * _GIB


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"  # works, with a restriction
    PROBLEM = "problem"  # will not work


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    name: str
    level: Level
    found: str
    advice: str = ""


def examine(environment: Mapping[str, str], python: Path | None = None) -> list[Finding]:
    """Looks at everything that `revati run` depends on.

    Args:
        environment: As the command would get it.
        python: The interpreter of the serving framework; by default the one that runs Revati.
    """
    interpreter = Interpreter(python or Path(sys.executable), environment)
    compiler = toolchain.find_compiler(environment)
    return [
        *_system(),
        *_libraries(),
        _compiler(compiler),
        *_python(interpreter, compiler, environment),
        *_memory(),
        _scheduler(),
    ]


def _system() -> Iterator[Finding]:
    machine = f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs"
    supported = platform.system() == "Linux" and platform.machine() == "x86_64"
    yield Finding(
        "system",
        Level.OK if supported else Level.PROBLEM,
        machine,
        "" if supported else "Revati runs on x86-64 Linux only.",
    )
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        yield Finding("ulimit -v", Level.OK, "unlimited")
    else:
        advice = "Virtual GPU memory needs address space: ulimit -v unlimited"
        yield Finding("ulimit -v", Level.PROBLEM, f"{limit / _GIB:.1f} GiB", advice)
    mode = preflight.overcommit_mode()
    strict = mode == 2
    advice = (
        "Virtual GPU memory is reserved and never touched: sysctl vm.overcommit_memory=0" if strict else ""
    )
    yield Finding("overcommit", Level.PROBLEM if strict else Level.OK, f"vm.overcommit_memory={mode}", advice)


def _libraries() -> Iterator[Finding]:
    for major in SUPPORTED_CUDA:
        try:
            found = len(NativeLibraries.find(major).fakes)
            yield Finding(f"CUDA {major} libraries", Level.OK, f"{found} in {library_dir() / f'cuda{major}'}")
        except RevatiError as error:
            yield Finding(f"CUDA {major} libraries", Level.PROBLEM, "missing", str(error))


def _compiler(compiler: str | None) -> Finding:
    if compiler is None:
        return Finding(
            "C compiler", Level.PROBLEM, "none", "Triton builds code at run time: apt-get install gcc g++"
        )
    return Finding("C compiler", Level.OK, _first_line([*compiler.split(), "--version"]) or compiler)


def _python(
    interpreter: Interpreter, compiler: str | None, environment: Mapping[str, str]
) -> Iterator[Finding]:
    try:
        version = ".".join(map(str, interpreter.version))
    except RevatiError as error:
        yield Finding("Python", Level.PROBLEM, str(interpreter.executable), str(error))
        return
    headers = interpreter.has_headers
    yield Finding(
        "Python",
        Level.OK if headers else Level.PROBLEM,
        f"{version}, {interpreter.executable}",
        ""
        if headers
        else "Triton builds extensions at run time: install this Python's headers (python3-dev).",
    )
    yield _torch(interpreter)
    packages = interpreter.packages
    frameworks = [f"{name} {packages[name]}" for name in ("vllm", "sglang") if name in packages]
    yield Finding(
        "frameworks",
        Level.OK if frameworks else Level.NOTE,
        ", ".join(frameworks) or "none",
        "" if frameworks else f"For vLLM: {interpreter.executable} -m pip install vllm==0.24.0",
    )
    torch = interpreter.torch
    if torch is None or torch.cuda_major not in SUPPORTED_CUDA:
        return
    cuda = toolchain.find_cuda(interpreter, torch.cuda_major, environment)
    yield Finding(
        "nvcc",
        Level.OK if cuda.nvcc else Level.NOTE,
        str(cuda.nvcc or "none"),
        ""
        if cuda.nvcc
        else "Only kernels that are compiled at run time need it (FlashInfer's top-p sampler, DeepGEMM).",
    )
    try:
        libraries = NativeLibraries.find(torch.cuda_major)
        missing = stubs.missing_symbols(interpreter.site_packages, libraries)
        stubs.stub_library(interpreter.site_packages, libraries, compiler)
    except RevatiError as error:
        yield Finding("unknown symbols", Level.PROBLEM, "", str(error))
        return
    yield Finding("unknown symbols", Level.OK, f"{len(missing)} that the packages import and get stubs for")


def _torch(interpreter: Interpreter) -> Finding:
    torch = interpreter.torch
    if torch is None:
        advice = f"{interpreter.executable} has no torch; install a serving framework there, or use --python."
        return Finding("torch", Level.NOTE, "none", advice)
    try:
        torch.check_supported()
    except RevatiError as error:
        return Finding("torch", Level.PROBLEM, torch.version, str(error))
    return Finding("torch", Level.OK, f"{torch.version} for CUDA {torch.cuda}")


def _memory() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    small = memory.available < _SMALL_MEMORY
    yield Finding(
        "memory",
        Level.NOTE if small else Level.OK,
        f"{memory.available / _GIB:.1f} GiB of {memory.total / _GIB:.1f} free",
        "A server takes about 3 GiB, and 1.4 GiB more for each GPU." if small else "",
    )
    for name, path, least in (
        ("disk", cache_dir(), _SMALL_DISK),
        ("/dev/shm", Path("/dev/shm"), _SMALL_SHARED_MEMORY),
    ):
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        free = shutil.disk_usage(existing).free
        small = free < least
        advice = f"Frameworks may run out of room in {existing}." if small else ""
        yield Finding(name, Level.NOTE if small else Level.OK, f"{free / _GIB:.1f} GiB free", advice)


def _scheduler() -> Finding:
    _, limit = resource.getrlimit(resource.RLIMIT_RTPRIO)
    allowed = os.geteuid() == 0 or limit != 0
    return Finding(
        "FIFO scheduler",
        Level.OK,
        "permitted" if allowed else "not permitted: the virtual clock takes its slower, unprivileged path",
        "" if allowed else "Optional: give the user a real-time priority (ulimit -r) for a faster clock.",
    )


def _first_line(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0] if done.stdout else None
