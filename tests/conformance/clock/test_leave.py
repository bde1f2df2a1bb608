"""What `revati-clockd` says to a host agent, and what it makes of an agent that talks nonsense."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from revati.launcher.clock import ClockControl
from revati.paths import library_dir

WANT_ARM, REPORT, STOPPED, ARM, GRANT, END = 1, 2, 4, 5, 6, 7
BEGIN = (2**20 + 7200) * 10**9


def frame(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body


@contextmanager
def clock(folder: Path) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    words = [
        str(library_dir() / "revati-clockd"),
        "serve",
        "--session",
        str(folder),
        "--nodes",
        "2",
        "--host",
        "0",
    ]
    words += ["--network-latency", "1000", "--network-bandwidth", "1e9", "--agent", str(theirs.fileno())]
    process = subprocess.Popen(
        words, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    theirs.close()
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process, ours
    finally:
        process.kill()
        process.communicate()
        ours.close()


def read_frame(agent: socket.socket) -> tuple[int, bytes]:
    kind, size = struct.unpack("<II", agent.recv(8, socket.MSG_WAITALL))
    return kind, agent.recv(size, socket.MSG_WAITALL) if size else b""


def test_it_waits_to_be_armed_and_tells_why_it_ends(tmp_path: Path) -> None:
    with clock(tmp_path) as (process, agent):
        arming = subprocess.Popen([library_dir() / "revati-clockd", "arm", "--session", tmp_path])
        assert read_frame(agent) == (WANT_ARM, b"")
        assert arming.poll() is None
        agent.sendall(frame(ARM, struct.pack("<qq", BEGIN, 10**18)))
        assert arming.wait(60) == 0
        assert ClockControl(tmp_path).status()["virtual_s"] == 7200
        kind, report = read_frame(agent)
        assert kind == REPORT
        assert struct.unpack("<qqQI", report) == (BEGIN, 2**63 - 1, 0, 0)
        agent.sendall(frame(END, b"another host is on fire"))
        assert read_frame(agent) == (STOPPED, b"another host is on fire")
        assert process.wait(60) == 87
        assert (tmp_path / "fatal.clock").read_text().startswith("another host is on fire\n")


@pytest.mark.parametrize("seed", range(8))
def test_nonsense_ends_it_with_a_message(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    with clock(tmp_path) as (process, agent):
        try:
            for _ in range(200):
                kind = source.choice([3, ARM, GRANT, source.randrange(8, 2**32)])
                agent.sendall(frame(kind, source.randbytes(source.randrange(60))))
        except OSError:
            pass
        assert process.wait(60) == 87
        assert "host agent" in (tmp_path / "fatal.clock").read_text()


def test_an_agent_that_is_gone_ends_it(tmp_path: Path) -> None:
    with clock(tmp_path) as (process, agent):
        agent.close()
        assert process.wait(60) == 87
        assert "the host agent" in (tmp_path / "fatal.clock").read_text()
