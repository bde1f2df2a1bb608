"""The commands of one session that one Revati has started."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from revati.launcher import environment
from revati.launcher.process import SupervisedProcess
from revati.launcher.session import Session


class CommandGroup:
    """Starts commands in a session, and ends them."""

    def __init__(self, session: Session, gpu: str, clock_library: Path | None, owner: bool) -> None:
        """Nothing is started yet.

        Args:
            session: Where libraries and launcher meet.
            gpu: Catalogue name of its GPUs.
            clock_library: What virtual time is preloaded with; None: time is real.
            owner: Whether the session ends with us.
        """
        self.session = session
        self._gpu = gpu
        self._clock_library = clock_library
        self._owner = owner
        self._path_first: list[str] = []
        self._processes: list[SupervisedProcess] = []
        # Commands may be launched by one thread while another ends the group.
        self._lock = threading.Lock()
        self._ended = False

    def launch(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        own_group: bool = True,
    ) -> SupervisedProcess:
        """Starts a command; the arguments are those of `Emulation.launch`.

        Raises:
            RevatiError: It cannot run on virtual GPUs, or there is no such command.
            RuntimeError: The group has ended meanwhile.
        """
        base = {**(os.environ if env is None else env), **(variables or {})}
        if self._path_first:
            base["PATH"] = os.pathsep.join([*self._path_first, base.get("PATH", os.defpath)])
        target = environment.inspect(argv, base)
        composed = environment.compose(target, self.session, self._gpu, base, self._clock_library)
        with self._lock:
            if self._ended:
                raise RuntimeError(f"{argv[0]} is not started: its session has just ended")
            process = SupervisedProcess(
                argv,
                composed,
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                own_group=own_group,
                remove=self.session.path if self._owner else None,
            )
            self._processes.append(process)
        return process

    def path_first(self, folder: Path) -> None:
        """Puts a folder first on the PATH of every command that is launched from now on."""
        self._path_first.insert(0, str(folder))

    def end(self) -> None:
        """Ends every command that still runs; none can be launched any more."""
        with self._lock:
            self._ended = True
            processes, self._processes = self._processes, []
        for process in reversed(processes):
            if process.poll() is None:
                process.kill()
