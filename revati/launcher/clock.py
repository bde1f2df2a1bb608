"""The virtual clock of a session: the native process that serves it, and how commands steer it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revati.catalogue import Network
from revati.errors import ClockError, UnsupportedError
from revati.launcher.session import NODE_VARIABLE, VARIABLE
from revati.paths import library_dir

# `off`: durations are waited for in real time.
MODES = ("off", "modelled", "cpu", "wall")
# How the group's threads are put onto CPUs; `fifo` needs rights, `auto` takes what is there (docs/clock.md).
SCHEDULERS = ("auto", "fair", "fifo")
CLIENT_VARIABLE = "REVATI_CLOCK_CLIENT"
# For programs: where those of other nodes find them.
ADDRESS_VARIABLE = "REVATI_NODE_ADDRESS"
# Whoever has it may be killed without ending the group.
GUEST_VARIABLE = "REVATI_CLOCK_GUEST"
# What `revati-clockd` exits with when it has ended the group; `revati run` does the same.
GROUP_ENDED_EXIT_CODE = 87
_CONTROL_TIMEOUT_S = 60


@dataclass(frozen=True)
class Nodes:
    """The machines that a session stands for, and what TCP between them costs.

    Attributes:
        count: How many.
        network: What joins them.
        own: The only one that is on this host, if there are several hosts.
        agent: Then, the descriptor of the socket to the host agent.
    """

    count: int
    network: Network
    own: int | None = None
    agent: int | None = None

    def arguments(self) -> list[str]:
        """For `revati-clockd serve`."""
        words = ["--nodes", str(self.count)]
        words += ["--network-latency", str(self.network.host_latency_ns)]
        words += ["--network-bandwidth", f"{self.network.host_bandwidth:.0f}"]
        if self.own is not None and self.agent is not None:
            words += ["--host", str(self.own), "--agent", str(self.agent)]
        return words


def node_address(node: int) -> str:
    """Where programs of other nodes reach this one (native/clock/node_address.h)."""
    return f"127.82.86.{node + 1}"


def node_variables(node: int) -> dict[str, str]:
    """What a program's environment says about the node that it runs on."""
    return {NODE_VARIABLE: str(node), ADDRESS_VARIABLE: node_address(node)}


class ClockControl:
    """A clock that runs in a session of ours or of another Revati."""

    def __init__(self, session: Path) -> None:
        """Finds the native parts.

        Raises:
            UnsupportedError: The clock is not installed.
        """
        self.library = library_dir() / "librevati_clock.so"
        self._daemon = library_dir() / "revati-clockd"
        self._session = session
        if not self._daemon.is_file() or not self.library.is_file():
            raise UnsupportedError(
                f"the virtual clock is missing from {library_dir()}; install Revati again (make setup)."
            )

    def arm(self) -> None:
        """Makes time virtual. It stands still until the clients have come, and while none is there."""
        self._control("arm")

    def arm_from_inside(self) -> None:
        """`arm`, called by a program of the group.

        While it waits it must not be seen to wait: time would move on from the moment that it is virtual.
        """
        process = subprocess.Popen(
            [self._daemon, "arm", "--session", self._session],
            env={**os.environ, "REVATI_CLOCK": "off"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while (code := process.poll()) is None:
            pass
        if code != 0:
            raise ClockError("the virtual clock cannot be armed; has its session ended?")

    def hold(self) -> None:
        """Lets time stand still."""
        self._control("hold")

    def release(self) -> None:
        """Lets time move again after `hold`."""
        self._control("release")

    def wind_down(self) -> None:
        """The group is about to be ended: time moves without clients, no death is an accident. Fails silently."""
        self._run("wind-down")

    def status(self) -> dict[str, Any]:
        """Virtual time, releases and who runs."""
        answer: dict[str, Any] = json.loads(self._control("status"))
        return answer

    def threads(self) -> list[dict[str, Any]]:
        """One entry per thread: `pid`, `tid`, `state`, `waits_for`, `waits` (how often), `client`."""
        return [json.loads(line) for line in self._control("threads").splitlines()]

    def explain(self) -> str:
        """Who waits for what, for people."""
        return self._control("explain")

    def _control(self, command: str) -> str:
        done = self._run(command)
        if done.returncode != 0:
            raise ClockError(f"the virtual clock cannot {command}: {done.stderr.strip()}")
        return done.stdout

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._daemon, command, "--session", self._session],
            capture_output=True,
            text=True,
            timeout=_CONTROL_TIMEOUT_S,
            check=False,
        )


class Clock(ClockControl):
    """A served clock, from its start to `stop`. Time is real until `arm`."""

    def __init__(
        self,
        session: Path,
        mode: str,
        clients: int = 1,
        costs: Sequence[str] = (),
        record: bool = False,
        scheduler: str = "auto",
        nodes: Nodes | None = None,
    ) -> None:
        """Starts serving.

        Args:
            session: The session directory.
            mode: One of `MODES` but `off`.
            clients: How many must have come before time moves.
            costs: What host work costs, as `HostCosts.assignments` says it.
            record: Whether to write what threads do between waits to `work.PID`.
            scheduler: One of `SCHEDULERS`.
            nodes: The session's machines, if there are several.

        Raises:
            UnsupportedError: The clock is not installed, or this host cannot carry it.
        """
        super().__init__(session)
        log = session / "clock.log"
        command = [
            str(self._daemon),
            "serve",
            "--session",
            str(session),
            "--mode",
            mode,
            "--clients",
            str(clients),
            "--scheduler",
            scheduler,
        ]
        for cost in costs:
            command += ["--cost", cost]
        if record:
            command.append("--record")
        command += nodes.arguments() if nodes else []
        # Our end of its standard input closes when we end, however that comes.
        command += ["--with-stdin"]
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, VARIABLE: str(session)},
                pass_fds=[nodes.agent] if nodes and nodes.agent is not None else [],
            )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != b"ready":
            self._process.kill()
            self._process.wait()
            said = log.read_text(errors="replace").strip().removeprefix("revati-clockd: ")
            advice = "" if scheduler == "fifo" else "; use --clock off"
            raise UnsupportedError(f"the virtual clock does not start: {said}{advice}.")

    def is_running(self) -> bool:
        """False once it has ended the group, or was killed itself."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends the clock and whatever is left of the group. Safe to call twice."""
        if self._process.poll() is None:
            self._run("stop")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
