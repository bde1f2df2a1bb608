"""Checks before anything starts: one sentence that says what to do beats a stack trace from inside a framework."""

from __future__ import annotations

import resource
from pathlib import Path

from revati.errors import UnsupportedError
from revati.launcher.interpreter import Interpreter

OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")


def check_host() -> None:
    """Refuses limits under which virtual GPU memory cannot be reserved.

    Raises:
        UnsupportedError: `ulimit -v` is set, or the kernel never overcommits.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        raise UnsupportedError(
            f"the address space is limited to {limit / 2**30:.1f} GiB (ulimit -v), but virtual GPU memory needs "
            "terabytes of address space (not of memory); lift the limit with: ulimit -v unlimited"
        )
    if overcommit_mode() == 2:
        raise UnsupportedError(
            "the kernel refuses to reserve memory that is not there (vm.overcommit_memory=2), but virtual GPU memory "
            "is reserved and never touched; allow it with: sysctl vm.overcommit_memory=0"
        )


def overcommit_mode() -> int | None:
    """`vm.overcommit_memory`, or None where the kernel does not tell."""
    try:
        return int(OVERCOMMIT.read_text())
    except (OSError, ValueError):
        return None


def check_interpreter(interpreter: Interpreter, compiler: str | None) -> None:
    """Refuses a Python whose frameworks cannot work on a virtual GPU. One without torch is fine.

    Raises:
        UnsupportedError: An unsupported torch build, no compiler, or no Python headers.
    """
    if interpreter.torch is None:
        return
    interpreter.torch.check_supported()
    if compiler is None:
        raise UnsupportedError(
            "no C compiler found, and Triton and torch.compile build code at run time; "
            "install one (Debian, Ubuntu: apt-get install gcc g++) or set CC."
        )
    if "triton" in interpreter.packages and not interpreter.has_headers:
        major, minor, _ = interpreter.version
        raise UnsupportedError(
            f"{interpreter.executable} lacks its C headers (Python.h), and Triton builds extensions at run time; "
            f"install them (Debian, Ubuntu: apt-get install python{major}.{minor}-dev)."
        )
