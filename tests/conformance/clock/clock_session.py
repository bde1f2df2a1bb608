"""Runs commands in a clock session of their own, without anything else of Revati."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from revati.paths import library_dir

PROGRAMS = Path(__file__).parent / "programs"
# Real time after which a run counts as hung. No result depends on it.
HUNG_S = 180
EXIT_CODE_GROUP_ENDED = 87


@dataclass
class Session:
    """A coordinator and a session directory; a context manager that ends both."""

    options: Sequence[str] = ()
    stdin: int | None = None
    before_start: Callable[[], None] | None = None  # in the coordinator's process
    folder: Path = field(init=False)
    daemon: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Session:
        self._temporary = tempfile.TemporaryDirectory(prefix="revati-clock-")
        self.folder = Path(self._temporary.name)
        self._errors = tempfile.TemporaryFile("w+")
        self.daemon = subprocess.Popen(
            [str(library_dir() / "revati-clockd"), "serve", "--session", str(self.folder), *self.options],
            stdin=self.stdin,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            preexec_fn=self.before_start,  # noqa: PLW1509
        )
        assert self.daemon.stdout is not None
        assert self.daemon.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.daemon.poll() is None:
            self.control("stop", check=False)
        self.daemon.communicate(timeout=HUNG_S)
        self._temporary.cleanup()

    def errors(self) -> str:
        """What the coordinator has said on stderr."""
        self._errors.seek(0)
        return self._errors.read()

    def start(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Starts a member of the session."""
        variables = {
            **os.environ,
            "REVATI_SESSION": str(self.folder),
            "LD_PRELOAD": str(library_dir() / "librevati_clock.so"),
            "PYTHONHASHSEED": "0",
            **(environment or {}),
        }
        return subprocess.Popen(
            [str(word) for word in command],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
        """Runs a member to its end; returns what it printed. Fails unless it exits with 0."""
        process = self.start(command, environment)
        try:
            out, errors = process.communicate(timeout=HUNG_S)
        except subprocess.TimeoutExpired:
            print(self.control("explain", check=False))
            process.kill()
            raise
        assert process.returncode == 0, (process.returncode, out, errors, self.errors())
        return out

    def control(self, *words: str, check: bool = True) -> str:
        """Runs a command of revati-clockd on this session."""
        done = subprocess.run(
            [str(library_dir() / "revati-clockd"), words[0], "--session", str(self.folder), *words[1:]],
            capture_output=True,
            text=True,
            check=check,
            timeout=HUNG_S,
        )
        return done.stdout

    def status(self) -> dict[str, Any]:
        """The coordinator's status line."""
        status: dict[str, Any] = json.loads(self.control("status"))
        return status

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Polls the status until it satisfies the condition."""
        end = time.monotonic() + HUNG_S
        while time.monotonic() < end:
            if self.daemon.poll() is not None:
                raise RuntimeError(f"the clock has ended: {self.errors()}")
            status = self.status()
            if condition(status):
                return status
            time.sleep(0.01)
        raise TimeoutError(self.control("explain"))


def run_virtually(command: Sequence[str | Path], *options: str, armed: bool = True) -> str:
    """Runs one command in virtual time from its start."""
    with Session(["--arm", *options] if armed else list(options)) as session:
        return session.run(command)


@cache
def fifo_is_permitted() -> bool:
    """Whether this user may give processes a real-time priority."""
    return subprocess.run(["chrt", "-f", "2", "true"], capture_output=True, check=False).returncode == 0


# Options for every scheduler that can be had here, for tests of what must not depend on it.
SCHEDULERS = [["--scheduler", "fair"], *([["--scheduler", "fifo"]] if fifo_is_permitted() else [])]


def end_quietly(process: subprocess.Popen[str]) -> None:
    """Ends a process whatever state it is in."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.communicate()
