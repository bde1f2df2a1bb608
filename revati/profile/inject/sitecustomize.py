"""Profiles the process that imports it, if that process uses a GPU. Put on PYTHONPATH by `revati profile record`.

A thread waits until torch has initialised CUDA, and then records windows of device activity. CUPTI sees the work of the
whole process whichever thread starts it, so the program itself is not touched. Standard library and torch only.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

_HERE = str(Path(__file__).resolve().parent)


def _chain() -> None:
    """Runs the `sitecustomize` that this one hides."""
    path = [entry for entry in sys.path if str(Path(entry or ".").resolve()) != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def _start() -> None:
    threading.Thread(target=_run, name="revati-record", daemon=True).start()


def _run() -> None:
    options: dict[str, Any] = json.loads(os.environ["REVATI_RECORD"])
    out = Path(options["out"])
    while not _cuda_ready():
        time.sleep(0.1)
    go = options.get("go")
    while go and not Path(go).exists():
        time.sleep(0.05)
    time.sleep(options["skip_s"])
    for number in range(options["windows"]):
        try:
            _window(out, number, options["window_s"])
        except Exception as error:  # the program under measurement must not suffer
            (out / f"error-{os.getpid()}-{number}.txt").write_text(f"{type(error).__name__}: {error}\n")
            return
        time.sleep(options["every_s"])


def _cuda_ready() -> bool:
    """True once this process has used CUDA. Never imports torch: a process that does without shall stay so."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return bool(cuda is not None and hasattr(cuda, "is_initialized") and cuda.is_initialized())


def _window(out: Path, number: int, seconds: float) -> None:
    import torch  # noqa: PLC0415

    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
    profiler.start()
    time.sleep(seconds)
    profiler.stop()  # waits for the device: never during a graph capture, hence `skip_s` and `go`
    path = out / f"trace-{os.getpid()}-{number}.json"
    profiler.export_chrome_trace(f"{path}.tmp")
    Path(f"{path}.tmp").rename(path)


if os.environ.get("REVATI_RECORD"):
    os.register_at_fork(after_in_child=_start)
    _start()
_chain()
