"""The virtual clock of a session: the native process that serves it, and how the launcher steers it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from revati.errors import UnsupportedError
from revati.paths import library_dir

# `off`: durations are waited for in real time.
MODES = ("off", "modelled", "cpu", "wall")
CLIENT_VARIABLE = "REVATI_CLOCK_CLIENT"
_CONTROL_TIMEOUT_S = 60


class Clock:
    """A served clock, from its start to `stop`. Time is real until `arm`."""

    def __init__(self, session: Path, mode: str) -> None:
        """Starts serving.

        Args:
            session: The session directory.
            mode: One of `MODES` but `off`.

        Raises:
            UnsupportedError: The clock is not installed, or this kernel cannot carry it.
        """
        self.library = library_dir() / "librevati_clock.so"
        self._daemon = library_dir() / "revati-clockd"
        self._session = session
        if not self._daemon.is_file() or not self.library.is_file():
            raise UnsupportedError(
                f"the virtual clock is missing from {library_dir()}; install Revati again (make setup)."
            )
        log = session / "clock.log"
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [self._daemon, "serve", "--session", session, "--mode", mode, "--clients", "1"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != b"ready":
            self._process.kill()
            raise UnsupportedError(
                f"the virtual clock does not start: {log.read_text(errors='replace').strip()}; use --clock off."
            )

    def arm(self) -> None:
        """Makes time virtual. It stands still until a client has come, and while none is there."""
        self._control("arm")

    def status(self) -> dict[str, Any]:
        """Virtual time, releases and who runs."""
        answer: dict[str, Any] = json.loads(self._control("status"))
        return answer

    def stop(self) -> None:
        """Ends the clock and whatever is left of the group. Safe to call twice."""
        if self._process.poll() is None:
            subprocess.run(
                [self._daemon, "stop", "--session", self._session], capture_output=True, check=False
            )
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _control(self, command: str) -> str:
        result = subprocess.run(
            [self._daemon, command, "--session", self._session],
            capture_output=True,
            text=True,
            timeout=_CONTROL_TIMEOUT_S,
            check=False,
        )
        if result.returncode != 0:
            raise UnsupportedError(f"the virtual clock refused to {command}: {result.stderr.strip()}")
        return result.stdout
