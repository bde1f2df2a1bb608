"""A server from its start until it is ready, watched through its log."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from revati.bench.engine import Address, Engine
from revati.bench.progress import Progress
from revati.emulation import Emulation
from revati.errors import ServerError, UsageError
from revati.launcher.process import SupervisedProcess

_POLL_S = 0.5
_TAIL_LINES = 12


def free_port(host: str, wanted: int | None) -> int:
    """`wanted` if nobody listens there, or any free port.

    Raises:
        UsageError: The wanted port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted or 0))
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host}:{wanted} ({error.strerror}); choose another --port, or leave it out."
            ) from None
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A running server; the emulation that launched it ends it."""

    def __init__(
        self, engine: Engine, emulation: Emulation, command: Sequence[str], address: Address, log: Path
    ) -> None:
        """Starts `command` with its output in `log`."""
        self.engine = engine
        self.emulation = emulation
        self.address = address
        self.log = log
        self._began = time.monotonic()
        with log.open("wb") as output:
            self.process: SupervisedProcess = emulation.launch(command, stdout=output, stderr=output)

    def wait_ready(self, progress: Progress, timeout_s: float) -> float:
        """Waits until the server answers. Returns the seconds since its start.

        Raises:
            ServerError: It ended, or did not answer in time.
        """
        while not self._answers():
            self.check_alive()
            elapsed = time.monotonic() - self._began
            if elapsed > timeout_s:
                raise ServerError(
                    f"the server was not ready after {elapsed:.0f} s; its last words ({self.log}):\n{self._tail()}\n"
                    "Give it more time with --ready-timeout SECONDS."
                )
            progress.show(self._phase())
            time.sleep(_POLL_S)
        return time.monotonic() - self._began

    def check_alive(self) -> None:
        """Explains the end of a server that ended.

        Raises:
            ServerError: It has ended.
        """
        code = self.process.poll()
        if code is None:
            return
        text = self.text()
        advice = [hint.advice for hint in self.engine.hints if hint.pattern.search(text)]
        fatal = self.emulation.session.fatal_messages()
        lines = [f"the server ended with exit code {code}; its last words ({self.log}):", self._tail()]
        lines += [f"The virtual GPU stopped it: {message}" for message in fatal]
        lines += [f"What to do: {advice[0]}." if advice and not fatal else ""]
        raise ServerError("\n".join(line for line in lines if line))

    def text(self) -> str:
        """The log so far."""
        return self.log.read_text(errors="replace")

    def _phase(self) -> str:
        text = self.text()
        begun = [phase.title for phase in self.engine.phases if phase.begins.search(text)]
        return begun[-1] if begun else "starting"

    def _tail(self) -> str:
        lines = [line for line in self.text().splitlines() if line.strip()]
        errors = [line for line in lines if "Error" in line][-3:]
        tail = lines[-_TAIL_LINES:]
        return "\n".join(f"  {line}" for line in [*(line for line in errors if line not in tail), *tail])

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
