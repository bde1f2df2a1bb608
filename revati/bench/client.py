"""The framework's own benchmark client, watched while it runs."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revati.bench.engine import Engine
from revati.bench.progress import Progress
from revati.bench.server import Server
from revati.emulation import Emulation
from revati.errors import ClientError, ClockError
from revati.launcher.meter import Meter
from revati.launcher.session import Stats

_DONE_OF = re.compile(r"(\d+)/(\d+) \[")  # tqdm
_POLL_S = 0.3


@dataclass(frozen=True)
class Mark:
    """A moment of the benchmark: real time, and the virtual GPUs' counters."""

    wall_s: float
    stats: Stats
    clock: dict[str, Any]

    @classmethod
    def now(cls, emulation: Emulation) -> Mark:
        """This moment."""
        wall_s, stats, clock = time.monotonic(), emulation.session.stats(), {}
        if emulation.clock:
            with contextlib.suppress(ClockError):  # it has ended, and the server with it: noticed elsewhere
                clock = emulation.clock.status()
        return cls(wall_s, stats, clock)


class _Watcher(threading.Thread):
    """Copies the client's output to its log and notes when the load begins and ends."""

    def __init__(self, source: Any, log: Path, engine: Engine, mark: Callable[[], Mark]) -> None:
        super().__init__(daemon=True)
        self._source, self._log, self._engine, self._mark = source, log, engine, mark
        self.begin: Mark | None = None
        self.end: Mark | None = None
        self.done = ""

    def run(self) -> None:
        text = ""
        with self._log.open("wb") as log:
            while chunk := self._source.read1(1 << 16):
                log.write(chunk)
                log.flush()
                text = (text + chunk.decode(errors="replace"))[-20000:]
                if self.begin is None and self._engine.load_begins.search(text):
                    self.begin = self._mark()
                if self.end is None and self._engine.load_ends.search(text):
                    self.end = self._mark()
                if matches := _DONE_OF.findall(text):
                    self.done = "/".join(matches[-1]) + " requests"


@dataclass(frozen=True)
class Measurement:
    """What the client wrote, and what happened while it measured."""

    report: dict[str, Any]
    wall_s: float
    stats: Stats
    clock: dict[str, int]  # what the virtual clock counted; empty without one


def measure(
    engine: Engine,
    emulation: Emulation,
    server: Server,
    command: Sequence[str],
    result: Path,
    log: Path,
    progress: Progress,
) -> Measurement:
    """Runs the client to its end.

    Raises:
        ClientError: It failed, or wrote no result.
        ServerError: The server ended meanwhile.
    """
    progress.show("starting the client")
    result.unlink(missing_ok=True)
    emulation.arm_clock()
    process = emulation.launch(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # vLLM's client seeds the prompts of recorded loads with hashes of strings, which differ from process to process.
        variables={"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"},
        client=True,
    )
    watcher = _Watcher(process.stdout, log, engine, lambda: Mark.now(emulation))
    watcher.start()
    meter = Meter(emulation.clock) if emulation.clock else None
    try:
        while (code := process.poll()) is None:
            server.check_alive()
            if watcher.begin:
                how_fast = meter.line() if meter and progress.is_live else ""
                progress.show("benchmark", ", ".join(part for part in (watcher.done, how_fast) if part))
            time.sleep(_POLL_S)
    finally:
        process.kill()
        watcher.join(5)
    server.check_alive()
    if code or not result.is_file():
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        tail = "\n".join(f"  {line}" for line in lines[-12:])
        raise ClientError(
            f"the benchmark client ended with exit code {code}; its last words ({log}):\n{tail}"
        )
    if watcher.begin is None or watcher.end is None:
        raise ClientError(f"the client's output does not tell when its load began and ended; see {log}.")
    report: dict[str, Any] = json.loads(result.read_text())
    begin, end = watcher.begin, watcher.end
    counted = ("releases", "jumps", "turns", "gpu_waits", "payments", "spins", "rechecks", "unknown_calls")
    clock = {
        key: end.clock[key] - begin.clock[key] for key in counted if key in begin.clock and key in end.clock
    }
    return Measurement(report, end.wall_s - begin.wall_s, end.stats - begin.stats, clock)
