"""Joining a session from another terminal: the same GPUs, the same time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from revati.errors import ServerError, UsageError
from revati.launcher import names
from revati.launcher.clock import CLIENT_VARIABLE, GUEST_VARIABLE, ClockControl, node_variables
from revati.launcher.group import CommandGroup
from revati.launcher.process import SupervisedProcess
from revati.launcher.readiness import Readiness
from revati.launcher.session import Session

_POLL_S = 0.3


class Membership:
    """A context manager: inside, commands can be launched in a session that another Revati has made.

    The session ends with its first command, and whatever was launched here ends with it.
    """

    def __init__(self, name: str) -> None:
        """Joins.

        Raises:
            UsageError: There is no such session.
        """
        self.record = names.find(name)
        self.session = Session(Path(self.record.path))
        self.clock = ClockControl(self.session.path) if self.record.clock != "off" else None
        try:
            self._descriptor = self.session.enter()
        except FileNotFoundError:
            raise UsageError(f"session '{name}' has just ended; start it again.") from None
        self._group = CommandGroup(
            self.session, self.record.gpu, self.clock.library if self.clock else None, owner=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_ready(self, on_wait: Callable[[Readiness], None]) -> None:
        """Waits until the session's server answers, if it is known how to ask and time is still real.

        Once time is virtual nobody asks: while it stands still, a server need not answer.

        Args:
            on_wait: Called once if there is something to wait for.

        Raises:
            ServerError: The session ended meanwhile.
        """
        if self.record.ready is None or (self.clock and self.clock.status()["armed"]):
            return
        readiness = Readiness.parse(self.record.ready)
        waits = False
        while not readiness.is_ready():
            if not waits:
                on_wait(readiness)
                waits = True
            if why := self.ended():
                raise ServerError(f"session '{self.record.name}' ended before its server was ready: {why}.")
            time.sleep(_POLL_S)

    def launch(
        self, argv: Sequence[str], *, client: bool = True, own_group: bool = True, node: int = 0
    ) -> SupervisedProcess:
        """Starts a command.

        Args:
            argv: The command.
            client: Time becomes virtual now, and stands still when the last client is gone.
            own_group: False for a command that shall own the terminal.
            node: On which of the session's nodes it runs.

        Raises:
            UsageError: There is no such node.
            RevatiError: It cannot run here.
            ClockError: The clock does not answer.
        """
        if not 0 <= node < self.record.nodes:
            raise UsageError(
                f"session '{self.record.name}' has no node {node}; it has {self.record.nodes}, from 0."
            )
        variables: dict[str, str] = node_variables(node) if self.record.nodes > 1 else {}
        if self.clock:
            variables[GUEST_VARIABLE] = "1"
            if client:
                self.clock.arm()
                variables[CLIENT_VARIABLE] = "1"
        return self._group.launch(argv, variables=variables, own_group=own_group)

    def ended(self) -> str | None:
        """Why the session is over; None while it lives."""
        why = self.session.ended()
        if why is None and not names.is_running(self.record):
            return "the Revati that started it was killed"
        return why

    def close(self) -> None:
        """Ends every command that still runs here. Safe to call twice."""
        self._group.end()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
