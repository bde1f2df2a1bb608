"""Tells the user where a benchmark stands: a live line on a terminal, a line per phase elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status


class Progress:
    """A context manager; `show` may be called as often as one likes."""

    def __init__(self, console: Console | None = None) -> None:
        """Writes to standard error by default: standard output is for the answer."""
        self.console = console or Console(stderr=True)
        self._status: Status | None = None
        self._began = time.monotonic()
        self._phase = ""

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self.console.is_terminal:
            self._status = self.console.status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    @property
    def is_live(self) -> bool:
        """Whether details are shown, and therefore worth their cost."""
        return self.console.is_terminal

    def show(self, phase: str, detail: str = "") -> None:
        """Names the phase; `detail` changes too often for a line each and is only shown live."""
        elapsed = time.monotonic() - self._began
        if self._status:
            self._status.update(f"{phase}{f': {detail}' if detail else ''} [dim]{elapsed:.0f} s[/dim]")
            if phase != self._phase and self._phase:
                self.console.print(f"[dim]{elapsed:6.0f} s  done: {self._phase}[/dim]")
        elif phase != self._phase:
            self.console.print(f"{elapsed:6.0f} s  {phase}", highlight=False)
        self._phase = phase


class Silent(Progress):
    """Tells nobody."""

    @property
    def is_live(self) -> bool:
        """Never."""
        return False

    def show(self, phase: str, detail: str = "") -> None:
        """Does nothing."""
