"""Every way to wait, natively and in virtual time."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from clock_session import PROGRAMS, Session, run_virtually

SCRIPT = PROGRAMS / "primitives.py"
NAMES = re.findall(r"^@primitive\ndef (\w+)", SCRIPT.read_text(), re.MULTILINE)
# What the modelled host may add to a wait: a process to start, a loop that looks at the clock every so often.
ALLOWANCE_S = {
    "spin_on_clock": 0.001,
    "spin_with_yield": 0.002,
    "spin_with_sleep_zero": 0.002,
    "spin_on_socket": 0.002,
    "spin_on_memory": 0.002,
    "spin_on_zmq": 0.002,
    "poll_zmq": 0.005,
    "poll_a_number_anew": 0.002,
    "grpc_deadline": 0.5,  # grpc waits for its answers in steps
}
DEFAULT_ALLOWANCE_S = 0.001
LONG_S = 1000.0


@pytest.mark.parametrize("name", NAMES)
def test_native(name: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "0.02", name], capture_output=True, text=True, check=True, timeout=60
    )
    # Longer by what the host needs, never shorter. Clocks are read some microseconds apart.
    assert all(value > 0.0199 for value in json.loads(done.stdout)[1:])


@pytest.mark.parametrize("mode", ["modelled", "cpu", "wall"])
@pytest.mark.parametrize("name", NAMES)
def test_virtual(name: str, mode: str) -> None:
    """A thousand seconds: a wait that is real would not end before the test is given up."""
    seconds = 2.0 if name.startswith("spin") else LONG_S
    out = run_virtually([sys.executable, SCRIPT, str(seconds), name], "--mode", mode)
    _, monotonic, wall = json.loads(out)
    allowance = ALLOWANCE_S.get(name, DEFAULT_ALLOWANCE_S) if mode == "modelled" else seconds
    if mode == "wall":
        allowance += 60  # a busy host's real time is part of it
    assert seconds - 1e-6 <= monotonic <= seconds + allowance
    assert wall == pytest.approx(monotonic, abs=1e-6 if mode == "modelled" else 0.1)


def test_waits_that_began_in_real_time() -> None:
    """Threads that already wait when the group is armed wait on in virtual time."""
    names = [
        "sleep",
        "condition",
        "lock",
        "epoll",
        "socket_timeout",
        "futex_private",
        "timer_thread",
        "child_program",
    ]
    with Session() as session:
        members = [session.start([sys.executable, str(SCRIPT), "5000", name]) for name in names]
        # A second process and thread for some of them.
        session.wait_for(lambda status: status["threads"] >= len(names) + 2 and not status["running"])
        session.control("arm")
        for member in members:
            out, errors = member.communicate(timeout=60)
            assert member.returncode == 0, errors
            assert json.loads(out)[1] >= 4999
