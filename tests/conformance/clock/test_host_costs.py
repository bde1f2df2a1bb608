"""What events of host code cost in modelled time, and what a session records of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from clock_session import PROGRAMS, Session, run_virtually

from revati.calibration import record
from revati.calibration.costs import EVENTS, HostCosts
from revati.paths import library_dir

# A thread sends 1 KiB to another ten times, over a socket; each answers with one byte.
PROGRAM = """
import socket, threading, time
near, far = socket.socketpair()
def echo():
    while far.recv(4096):
        far.send(b"x")
thread = threading.Thread(target=echo)
thread.start()
time.sleep(0.001)
began = time.monotonic_ns()
for _ in range(10):
    near.send(b"x" * 1024)
    near.recv(16)
print(time.monotonic_ns() - began)
near.close()
thread.join()
"""
COMMAND = [sys.executable, "-c", PROGRAM]


def duration_ns(*prices: str) -> int:
    options = [word for price in ("quantum_ns=0", *prices) for word in ("--cost", price)]
    return int(run_virtually(COMMAND, *options))


def test_prices_are_charged_where_the_events_are() -> None:
    plain = duration_ns()
    # Ten times there and back: the other thread receives 1024 bytes, the main thread one.
    assert duration_ns("server.receive_ns=100000") - plain == 1_000_000
    assert duration_ns("server_io.receive_ns=100000") - plain == 1_000_000
    assert duration_ns("server.receive_kib_ns=102400") == plain  # less than a whole one
    assert duration_ns("server_io.receive_kib_ns=102400") - plain == 10 * 102_400
    # Of other roles.
    assert duration_ns("engine.receive_ns=100000", "client.wake_ns=100000") == plain


def test_work_after_a_send_does_not_delay_what_was_sent() -> None:
    plain = duration_ns()
    # The sender's own work goes on beside the other's answer: it shows once a round, not twice.
    more_ns = duration_ns("server.send_ns=100000") - plain
    assert 900_000 <= more_ns <= 1_100_000


def test_wakes_cost_the_same_in_every_run() -> None:
    prices = ("server.wake_ns=30000", "server_io.send_ns=7000", "server_io.receive_kib_ns=5000")
    assert duration_ns(*prices) == duration_ns(*prices)


@pytest.mark.parametrize(
    "price", ["server.nothing_ns=1", "nobody.wake_ns=1", "server.wake=1", "driver.wake_kib_ns=1"]
)
def test_a_price_that_does_not_exist_is_refused(price: str, tmp_path: Path) -> None:
    command = [str(library_dir() / "revati-clockd"), "serve", "--session", str(tmp_path), "--cost", price]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert price in done.stderr


def test_a_session_records_what_threads_did() -> None:
    with Session(["--arm", "--record"]) as session:
        session.run(COMMAND)
        stretches = list(record.read(session.folder))
    assert {stretch.role for stretch in stretches} == {"server", "server_io"}
    receive, send = EVENTS.index("receive"), EVENTS.index("send")
    # Twenty, and what Python itself reads; the last stretch of a thread ends without a wait and is not written.
    assert sum(stretch.events[receive] for stretch in stretches) >= 18
    assert sum(stretch.bytes[send] for stretch in stretches) >= 9 * 1025
    assert all(stretch.cpu_ns > 0 for stretch in stretches)


def test_shipped_prices_give_one_result_whatever_the_host_does() -> None:
    """Prices of every event, threads and processes of several roles, on a free host and on one busy CPU."""
    toy = [sys.executable, str(PROGRAMS / "toy_serving.py"), "60", "5", "0"]
    options = [word for price in HostCosts.shipped().assignments() for word in ("--cost", price)]
    expected = run_virtually(toy, *options)
    hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2)]
    try:
        assert run_virtually(["taskset", "-c", "0", *toy], *options) == expected
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert run_virtually(toy) != expected
