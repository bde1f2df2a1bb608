"""Virtual GPUs as a context manager: what the command line and every tool above it stand on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from revati import catalogue
from revati.errors import UsageError
from revati.launcher import environment
from revati.launcher.clock import CLIENT_VARIABLE, MODES, Clock
from revati.launcher.process import SupervisedProcess
from revati.launcher.session import Session

DEFAULT_GPU = "h200-sxm"
MAX_GPUS = 16


class Emulation:
    """A group of commands that share the same virtual GPUs.

    Example:
        with revati.Emulation(gpu="h200-sxm", gpus=2) as emulation:
            code = emulation.run(["python", "train.py"])

    Leaving the block ends every command and all that they started, and removes what the session kept in memory.
    """

    def __init__(self, gpu: str = DEFAULT_GPU, gpus: int = 1, clock: str = "off") -> None:
        """Describes the GPUs; nothing is made before the block is entered.

        Args:
            gpu: A name from `revati gpus list`.
            gpus: How many of them, all alike.
            clock: What time is, once `arm_clock` was called: `modelled`, `cpu` or `wall` virtual time; with `off`
                durations are waited for in real time. See docs/clock.md.

        Raises:
            UsageError: An unknown GPU or clock, or an impossible number of GPUs.
        """
        if not 1 <= gpus <= MAX_GPUS:
            raise UsageError(f"{gpus} GPUs asked for; choose from 1 to {MAX_GPUS}.")
        if clock not in MODES:
            raise UsageError(f"there is no clock '{clock}'; choose from {', '.join(MODES)}.")
        self.gpu = catalogue.get(gpu)
        self.gpus = gpus
        self.clock_mode = clock
        self._clock: Clock | None = None
        self._session: Session | None = None
        self._path_first: list[str] = []
        self._processes: list[SupervisedProcess] = []

    def __enter__(self) -> Self:
        self._session = Session.create(self.gpu.device_conf(self.gpus), catalogue.durations_of(self.gpu))
        try:
            if self.clock_mode != "off":
                self._clock = Clock(self._session.path, self.clock_mode)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def session(self) -> Session:
        """The session directory; only inside the block."""
        if self._session is None:
            raise RuntimeError(
                "an Emulation is used as a context manager: with Emulation(...) as emulation: ..."
            )
        return self._session

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
        client: bool = False,
    ) -> SupervisedProcess:
        """Starts a command that sees the virtual GPUs.

        Args:
            argv: The command.
            env: The environment to start from; this process's by default.
            variables: More variables, set whatever `env` says.
            cwd: Its working directory.
            stdin: As for `subprocess.Popen`, like the next two.
            stdout: See `stdin`.
            stderr: See `stdin`.
            own_group: False for a command that shall own the terminal.
            client: Virtual time stands still before the first of these has come and once the last is gone.

        Raises:
            RevatiError: It cannot run on virtual GPUs, or there is no such command.
        """
        base = {**(os.environ if env is None else env), **(variables or {})}
        if client and self._clock:
            base[CLIENT_VARIABLE] = "1"
        if self._path_first:
            base["PATH"] = os.pathsep.join([*self._path_first, base.get("PATH", os.defpath)])
        target = environment.inspect(argv, base)
        process = SupervisedProcess(
            argv,
            environment.compose(
                target, self.session, self.gpu.name, base, self._clock.library if self._clock else None
            ),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            own_group=own_group,
            remove=self.session.path,
        )
        self._processes.append(process)
        return process

    def arm_clock(self) -> None:
        """Makes time virtual for all commands of the block; without a clock nothing happens."""
        if self._clock:
            self._clock.arm()

    def path_first(self, folder: Path) -> None:
        """Puts a folder first on the PATH of every command that is launched from now on."""
        self._path_first.insert(0, str(folder))

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> int:
        """Starts a command, waits for it and returns its exit code (128 + signal if one ended it)."""
        return self.launch(argv, env=env, cwd=cwd).wait()

    def close(self) -> None:
        """Ends every command that still runs and removes the session. Safe to call twice."""
        try:
            for process in reversed(self._processes):
                if process.poll() is None:
                    process.kill()
        finally:
            self._processes.clear()
            if self._clock is not None:
                self._clock.stop()
                self._clock = None
            if self._session is not None:
                self._session.end_processes()
                self._session.remove()
                self._session = None
