"""This host's part of a session that several hosts share: the agent that keeps its clock in step with theirs."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from revati.errors import UnsupportedError, UsageError

TOKEN_VARIABLE = "REVATI_COORDINATOR_TOKEN"
_STOP_S = 10.0


def read_token(file: Path | None) -> str:
    """The token that hosts present: from a file, or from the environment.

    Raises:
        UsageError: There is none.
    """
    if file is None:
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise UsageError(f"no token: give --token-file, or set {TOKEN_VARIABLE}.")
        return token
    try:
        token = file.read_text().strip()
    except OSError as error:
        raise UsageError(f"cannot read the token: {error}") from error
    if not token:
        raise UsageError(f"{file} is empty; write a token into it, e.g. with: openssl rand -hex 32")
    return token


def check_installed() -> None:
    """Says what is missing.

    Raises:
        UnsupportedError: gRPC, or what is generated for it when Revati is built.
    """
    for module in ("grpc", "google.protobuf"):
        if importlib.util.find_spec(module) is None:
            raise UnsupportedError("several hosts need gRPC: pip install 'revati[hosts]'.")
    if importlib.util.find_spec("revati.coordinator.revati_coordinator_pb2") is None:
        raise UnsupportedError("Revati was built without its gRPC messages; build it again (make setup).")


@dataclass(frozen=True)
class Host:
    """Which host this is, and where the others meet.

    Attributes:
        coordinator: ``HOST:PORT`` of `revati coordinator serve`.
        rank: This host's number, from 0; it is also the node that it stands for.
        token: What it presents there.
        ca: The authority that the coordinator's certificate is checked with; None: no TLS.
        join_timeout_s: How long the other hosts may take to come.
    """

    coordinator: str
    rank: int
    token: str
    ca: Path | None = None
    join_timeout_s: float = 600.0


class HostAgent:
    """The agent's process, from the moment at which all hosts have come."""

    def __init__(
        self, host: Host, session: str, hosts: int, configuration: str, lookahead_ns: int, version: str
    ) -> None:
        """Joins, and waits for the other hosts.

        Args:
            host: Which one this is.
            session: Hosts of one name belong together.
            hosts: How many there are.
            configuration: What must be alike on all of them.
            lookahead_ns: How long a message from host to host takes at least.
            version: Of Revati.

        Raises:
            UsageError: The coordinator refuses, or the others do not come.
            UnsupportedError: gRPC is not installed.
        """
        check_installed()
        own, self._clock_side = socket.socketpair()
        settings = {
            "coordinator": host.coordinator,
            "session": session,
            "host": host.rank,
            "hosts": hosts,
            "configuration": configuration,
            "lookahead_ns": lookahead_ns,
            "version": version,
            "clock_fd": own.fileno(),
            "ca": str(host.ca) if host.ca else None,
            "join_timeout_s": host.join_timeout_s,
        }
        with own:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "revati.coordinator.agent", json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, TOKEN_VARIABLE: host.token},
                pass_fds=[own.fileno()],
                start_new_session=True,
            )
        assert self._process.stdout is not None
        said = self._process.stdout.readline().decode(errors="replace").strip()
        if said != "ready":
            self.stop()
            raise UsageError(said or "the host agent ended without a word")

    @property
    def clock_fd(self) -> int:
        """The clock's end of the socket to the agent."""
        return self._clock_side.fileno()

    def hand_over(self) -> None:
        """The clock has its end now: only its own end shall close it."""
        self._clock_side.close()

    def stop(self) -> None:
        """Ends the agent. Safe to call twice."""
        self._clock_side.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
