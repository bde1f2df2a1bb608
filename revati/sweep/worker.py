"""One configuration in a process of its own: `python -m revati.sweep.worker FOLDER`, with `work.json` in the folder.

A process for each: what it leaves behind ends with it, and several run side by side.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from revati.bench.progress import Progress
from revati.errors import RevatiError
from revati.launcher import process
from revati.launcher.process import SupervisedProcess
from revati.sweep import trial
from revati.sweep.trial import Work


@dataclass(frozen=True)
class Done:
    """What came of a configuration."""

    state: str  # done or failed
    reason: str | None
    wall_s: float
    outcome: dict[str, Any] | None


class Worker:
    """A configuration that is running."""

    def __init__(self, work: Work, folder: Path) -> None:
        """Starts it, in an empty folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        (folder / "work.json").write_text(json.dumps(work.as_json(), indent=1) + "\n")
        self._began = time.monotonic()
        with (folder / "worker.log").open("wb") as log:
            self._process = SupervisedProcess(
                [sys.executable, "-P", "-m", "revati.sweep.worker", str(folder.absolute())],
                os.environ,
                stdout=log,
                stderr=log,
            )

    def poll(self) -> Done | None:
        """What came of it; None while it runs."""
        code = self._process.poll()
        return None if code is None else self._done(code)

    def phase(self) -> str:
        """What it is doing, in a few words."""
        try:
            lines = (self.folder / "worker.log").read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return lines[-1].strip() if lines else ""

    def kill(self) -> None:
        """Ends it and all that it started."""
        self._process.kill()

    def _done(self, code: int) -> Done:
        wall_s = time.monotonic() - self._began
        path = self.folder / "outcome.json"
        if path.is_file():
            written = json.loads(path.read_text())
            return Done(written["state"], written["reason"], wall_s, written["outcome"])
        last = self.phase()
        return Done(
            "failed", f"its process ended with exit code {code}{f': {last}' if last else ''}", wall_s, None
        )


def run_to_end(work: Work, folder: Path, tell: Callable[[str], None] = lambda _phase: None) -> Done:
    """Runs a configuration and waits for it."""
    worker = Worker(work, folder)
    try:
        while (done := worker.poll()) is None:
            tell(worker.phase())
            time.sleep(0.2)
        return done
    finally:
        worker.kill()


def main(folder: Path) -> None:
    """The process."""
    work = Work.of_json(json.loads((folder / "work.json").read_text()))
    process.become_subreaper()
    try:
        with process.signals_as_exceptions(), Progress(Console(file=sys.stdout, width=200)) as progress:
            outcome = trial.run(work, folder, progress)
        written = {"state": "done", "reason": None, "outcome": outcome}
    except RevatiError as error:
        written = {"state": "failed", "reason": str(error), "outcome": None}
    finally:
        process.end_orphans()
    trial.write(written, folder / "outcome.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
