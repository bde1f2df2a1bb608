"""A supervised command: signals go to it, its exit code comes back, and it leaves no process behind."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from revati.launcher import supervisor

_SUPERVISOR_MARGIN_S = 5.0
_DEADLY = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


class SupervisedProcess:
    """One command under its supervisor (`revati.launcher.supervisor`)."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        own_group: bool = True,
        remove: Path | None = None,
    ) -> None:
        """Starts the command.

        Args:
            argv: The command; `argv[0]` is looked up on the PATH of `environment`.
            environment: Its whole environment.
            cwd: Its working directory.
            stdin: As for `subprocess.Popen`, like the next two.
            stdout: See `stdin`.
            stderr: See `stdin`.
            own_group: Whether it gets a process group of its own, so that a signal from the terminal reaches it only
                through us. False for an interactive command, which must own the terminal.
            remove: A directory that the supervisor removes if this process is killed.
        """
        self.argv = list(argv)
        control, self._control = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__, str(control)],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[control],
                process_group=0 if own_group else None,
            )
        except BaseException:
            os.close(self._control)
            raise
        finally:
            os.close(control)
        request = {
            "argv": self.argv,
            "env": dict(environment),
            "cwd": str(cwd) if cwd else "",
            "own_group": own_group,
            "remove": str(remove) if remove else "",
        }
        self._close_lock = threading.Lock()
        self._send(json.dumps(request).encode() + b"\n")

    @property
    def pid(self) -> int:
        """Process id of the supervisor; signals sent to it reach the command."""
        return self._popen.pid

    @property
    def stdout(self) -> IO[bytes] | None:
        """The command's standard output where it was asked for as a pipe."""
        return self._popen.stdout

    def poll(self) -> int | None:
        """The exit code (128 + signal for a command that a signal ended), or None while it runs."""
        return self._code(self._popen.poll())

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end and returns the exit code.

        Raises:
            subprocess.TimeoutExpired: It still runs after `timeout` seconds.
        """
        code = self._code(self._popen.wait(timeout))
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal to the command."""
        self._popen.send_signal(number)

    def stop(self, grace_s: float = 20.0) -> int:
        """Asks the command to end (SIGTERM), and ends it and all its descendants after `grace_s` seconds."""
        if self.poll() is None:
            self.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.wait(grace_s)
        return self.kill()

    def kill(self) -> int:
        """Ends the command and all its descendants within a few seconds."""
        with self._close_lock:
            if self._control >= 0:
                os.close(self._control)
                self._control = -1
        try:
            return self.wait(supervisor.GRACE_S + _SUPERVISOR_MARGIN_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self.wait()

    def _send(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._control, data) :]
            except BrokenPipeError:  # the supervisor was killed already; wait() tells
                return

    @staticmethod
    def _code(code: int | None) -> int | None:
        return code if code is None or code >= 0 else 128 - code

    def __del__(self) -> None:
        """The supervisor ends the command when nobody holds this object any more."""
        if getattr(self, "_control", -1) >= 0:
            os.close(self._control)


def become_subreaper() -> None:
    """Makes orphans of this process tree children of this process (for the command line, which owns its process)."""
    ctypes.CDLL(None).prctl(supervisor.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> None:
    """Ends every descendant of this process: the last resort when a supervisor was itself killed."""
    supervisor.end_all(supervisor.GRACE_S)


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP unwind the stack, as SIGINT does, so that everything is tidied up."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def block_signals() -> None:
    """Keeps signals pending for `wait_forwarding`. Call it before the command starts, so that none is lost."""
    signal.pthread_sigmask(signal.SIG_BLOCK, supervisor.FORWARDED | {signal.SIGCHLD})


def wait_forwarding(
    process: SupervisedProcess,
    own_group: bool,
    *,
    on_deadly: Callable[[int], None] = lambda _number: None,
    is_over: Callable[[], bool] = lambda: False,
) -> int:
    """Waits for the command and forwards every signal that this process gets.

    Args:
        process: The command.
        own_group: As for its start.
        on_deadly: Called with a signal that is meant to end the command, before the command gets it from us.
        is_over: Asked now and then; once it is true the command is ended.

    Returns:
        The exit code.
    """
    while (code := process.poll()) is None:
        information = signal.sigtimedwait(supervisor.FORWARDED | {signal.SIGCHLD}, 0.2)
        if information is None or information.si_signo == signal.SIGCHLD:
            if is_over():
                return process.kill()
            continue
        if information.si_signo in _DEADLY:
            on_deadly(information.si_signo)
        if own_group or information.si_code != supervisor.SI_KERNEL:
            process.send_signal(information.si_signo)
    return code
