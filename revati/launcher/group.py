"""The commands of one session that one Revati has started."""

from __future__ import annotations

import os
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
        """
        base = {**(os.environ if env is None else env), **(variables or {})}
        if self._path_first:
            base["PATH"] = os.pathsep.join([*self._path_first, base.get("PATH", os.defpath)])
        target = environment.inspect(argv, base)
        process = SupervisedProcess(
            argv,
            environment.compose(target, self.session, self._gpu, base, self._clock_library),
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
        """Ends every command that still runs."""
        try:
            for process in reversed(self._processes):
                if process.poll() is None:
                    process.kill()
        finally:
            self._processes.clear()
