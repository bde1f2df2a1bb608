"""What produced a measurement: GPU, driver, versions, clocks, host. Standard library and torch only."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any, Final

from revati.profile.schema import Header

PACKAGES: Final = ("vllm", "sglang", "flashinfer-python", "triton", "transformers")

_NVML_CLOCK_SM: Final = 1
_NVML_CLOCK_MEMORY: Final = 2


def header(source: str, method: str, **notes: Any) -> Header:
    """The header of a profile that is measured here and now.

    On a virtual GPU the source says so: such a profile shows that the tools work and nothing else.
    """
    import torch  # noqa: PLC0415 - slow, and absent where profiles are only read

    if is_virtual():
        source += " (virtual GPU)"
        notes["virtual"] = True
    nvml = Nvml()
    return Header(
        source=source,
        gpu=torch.cuda.get_device_name(),
        driver=nvml.driver() or "unknown",
        versions=versions(),
        method=method,
        time=now(),
        notes={"host_cpu": host_cpu(), "kernel": platform.release(), "clocks_mhz": nvml.clocks(), **notes},
    )


def has_gpu() -> bool:
    """Whether torch sees a GPU."""
    import torch  # noqa: PLC0415

    return bool(torch.cuda.is_available())


def is_virtual() -> bool:
    """True inside `revati run`."""
    return bool(os.environ.get("REVATI_SESSION"))


def now() -> str:
    """The present, ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def versions() -> dict[str, str]:
    """Versions of what decides which kernels run."""
    import torch  # noqa: PLC0415

    found = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda),
    }
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def host_cpu() -> str:
    """The processor's own name; host overheads mean nothing without it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {os.cpu_count()} threads"
    except OSError:
        pass
    return platform.machine()


class Nvml:
    """The few questions asked of the driver's management library; every answer may be missing."""

    def __init__(self) -> None:
        try:
            self._library: Any = ctypes.CDLL("libnvidia-ml.so.1")
            self._ready = self._library.nvmlInit_v2() == 0
        except (OSError, AttributeError):
            self._ready = False

    def driver(self) -> str | None:
        """The driver's version."""
        text = ctypes.create_string_buffer(96)
        if not self._ready or self._library.nvmlSystemGetDriverVersion(text, ctypes.c_uint(len(text))) != 0:
            return None
        return text.value.decode(errors="replace")

    def clocks(self) -> dict[str, int]:
        """Present clocks of GPU 0 in MHz. They are read, never set: the machine is borrowed."""
        device = ctypes.c_void_p()
        if not self._ready or self._library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device)) != 0:
            return {}
        found = {}
        for name, kind in (("sm", _NVML_CLOCK_SM), ("memory", _NVML_CLOCK_MEMORY)):
            clock = ctypes.c_uint()
            if self._library.nvmlDeviceGetClockInfo(device, kind, ctypes.byref(clock)) == 0:
                found[name] = clock.value
        return found
