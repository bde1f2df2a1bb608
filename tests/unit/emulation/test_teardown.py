"""No process, port, shared memory or session is left, however the block of an Emulation ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

HOLDER = Path(__file__).with_name("holder.py")
OWNER = f"""
import signal, sys, time
from pathlib import Path
import revati

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
told = Path(sys.argv[1])
with revati.Emulation(clock=sys.argv[2]) as emulation:
    process = emulation.launch([sys.executable, "-P", "{HOLDER}", str(told)], client=True)
    while not told.exists():
        assert process.poll() is None
        time.sleep(0.05)
    if sys.argv[3] == "armed":
        emulation.arm_clock()
    print("holds", flush=True)
    if sys.argv[4] == "raise":
        raise ZeroDivisionError
    process.wait()
    print("ended", flush=True)
"""


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass
class Owner:
    """A program with an Emulation, in which a holder runs."""

    process: subprocess.Popen[str]
    held: dict[str, Any] = field(default_factory=dict)

    def assert_nothing_left(self) -> None:
        wait_for(lambda: all(map(is_gone, self.held["pids"])), f"processes are left: {self.held['pids']}")
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", self.held["port"])) != 0
        shared = [Path("/dev/shm", name) for name in self.held["shared"]]
        wait_for(lambda: not any(path.exists() for path in shared), f"one of {shared} is left")
        session = Path(self.held["session"])
        wait_for(lambda: not session.exists(), f"{session} is left")


Start = Callable[..., Owner]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started = []

    def go(clock: str, armed: str = "real", how: str = "wait") -> Owner:
        told = tmp_path / "held.json"
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", OWNER, str(told), clock, armed, how],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n", process.communicate()[1]
        held = json.loads(told.read_text())
        assert all(Path("/dev/shm", name).exists() for name in held["shared"])
        return Owner(process, held)

    yield go
    for process in started:
        process.kill()
        process.wait()


CLOCKS = [("off", "real"), ("modelled", "armed")]


@pytest.mark.parametrize(("clock", "armed"), CLOCKS)
def test_an_exception(start: Start, clock: str, armed: str) -> None:
    owner = start(clock, armed, "raise")
    assert "ZeroDivisionError" in owner.process.communicate(timeout=400)[1]
    owner.assert_nothing_left()


@pytest.mark.parametrize(("clock", "armed"), CLOCKS)
def test_an_interrupt(start: Start, clock: str, armed: str) -> None:
    owner = start(clock, armed)
    owner.process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in owner.process.communicate(timeout=400)[1]
    owner.assert_nothing_left()


@pytest.mark.parametrize(("clock", "armed"), CLOCKS)
@pytest.mark.parametrize("victim", [0, 1], ids=["command", "worker"])
def test_a_killed_child(start: Start, clock: str, armed: str, victim: int) -> None:
    owner = start(clock, armed)
    os.kill(owner.held["pids"][victim], signal.SIGKILL)
    output, errors = owner.process.communicate(timeout=400)
    assert output == "ended\n", errors
    owner.assert_nothing_left()


@pytest.mark.parametrize(("clock", "armed"), CLOCKS)
def test_a_killed_owner(start: Start, clock: str, armed: str) -> None:
    owner = start(clock, armed)
    owner.process.kill()
    owner.process.wait()
    owner.assert_nothing_left()
