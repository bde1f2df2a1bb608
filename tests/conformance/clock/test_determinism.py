"""Two runs of one program print the same, bit for bit, whatever else the host does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from clock_session import PROGRAMS, SCHEDULERS, Session, run_virtually

TOY = [sys.executable, str(PROGRAMS / "toy_serving.py"), "60", "5"]


@cache
def reference() -> str:
    printed: str = run_virtually([*TOY, "0"])
    return printed


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """Processes that use all the CPU they get."""
    processes = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_steps_take_what_the_device_takes() -> None:
    lines = reference().splitlines()[1:]
    assert len(lines) == 60
    between = sorted(float.fromhex(value) for line in lines for value in line.split()[1:])
    # 20 ms, 10 us for every request in the batch, and what the host's part of a step is said to cost.
    assert 0.0200 <= between[len(between) // 2] <= 0.0202


@pytest.mark.parametrize("options", [*SCHEDULERS, ["--scheduler", "fair", "--no-pin"]], ids=" ".join)
def test_any_scheduler(options: list[str]) -> None:
    assert run_virtually([*TOY, "0"], *options) == reference()


def test_busy_host() -> None:
    expected = reference()
    with hogs(4):
        assert run_virtually([*TOY, "0"]) == expected


def test_one_cpu() -> None:
    assert run_virtually(["taskset", "-c", "0", *TOY, "0"]) == reference()


def test_a_hundred_idle_threads() -> None:
    assert run_virtually([*TOY, "50"]) == reference()


@pytest.mark.parametrize("late", [False, True], ids=["armed from the start", "armed later"])
def test_idle_threads_change_no_tie(late: bool) -> None:
    """Eight threads wait for one moment: who is released first must not hang on how many others there are."""
    script = """
import ctypes, sys, threading, time

class Timespec(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]

order = []
never = threading.Event()
armed = (1 << 20) + 600

def sleep_until(moment):
    ctypes.CDLL(None).clock_nanosleep(time.CLOCK_MONOTONIC, 1, ctypes.byref(Timespec(moment, 0)), None)

def work(name):
    while late and time.monotonic() < armed:
        time.sleep(0.01)
    sleep_until(armed + 36000)
    order.append(name)

late = int(sys.argv[2])
for _ in range(int(sys.argv[1])):
    threading.Thread(target=never.wait, daemon=True).start()
threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
for thread in threads:
    thread.start()
print("ready", flush=True)
for thread in threads:
    thread.join()
print(order)
"""

    def released(idle_threads: int) -> str:
        command = [sys.executable, "-c", script, str(idle_threads), str(int(late))]
        if not late:
            return str(run_virtually(command))
        with Session() as session:
            process = session.start(command)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            session.control("arm")
            return str(process.communicate(timeout=60)[0])

    expected = released(0)
    assert "7" in expected
    assert released(100).splitlines()[-1] == expected.splitlines()[-1]


@pytest.mark.parametrize("hog_count", [0, 4])
def test_cpu_mode_stays_close(hog_count: int) -> None:
    with hogs(hog_count):
        lines = run_virtually([*TOY, "0"], "--mode", "cpu").splitlines()[1:]
    between = sorted(float.fromhex(value) for line in lines for value in line.split()[1:])
    assert 0.0200 <= between[len(between) // 2] <= 0.0206


def test_trace_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only what is printed: every decision."""
    traces = []
    for run in range(2):
        path = tmp_path / f"trace{run}"
        monkeypatch.setenv("REVATI_CLOCK_TRACE", str(path))
        run_virtually([*TOY, "0"])
        # The last column names process and thread; the rest must not.
        traces.append([line.rsplit(" ", 1)[0] for line in path.read_text().splitlines()])
    # The end of a run, when processes are killed, is not part of it.
    length = min(map(len, traces)) - 20
    assert length > 1000
    assert traces[0][:length] == traces[1][:length]


def test_threads_of_one_process(compiled: Callable[[str], Path]) -> None:
    """Threads that race through a mutex, conditions and semaphores always meet in the same order."""
    outputs = {run_virtually([compiled("racing_threads")]) for _ in range(5)}
    assert len(outputs) == 1


def test_late_arming_starts_on_a_whole_second() -> None:
    """Doubles made of either clock then have the same last bits in every run."""
    script = """
import time
while time.monotonic() < (1 << 20) + 0.3: time.sleep(0.01)
print("now", flush=True)
before = time.monotonic_ns(), time.time_ns()
while time.monotonic_ns() - before[0] < 20_000_000 or time.monotonic_ns() % 1000: time.sleep(0.001)
time.sleep(100)
"""
    with Session() as session:
        process = session.start([sys.executable, "-c", script])
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        session.control("hold")
        session.control("arm")
        status = session.status()
        assert status["virtual_s"] == int(status["virtual_s"])
        os.kill(process.pid, 9)
        process.communicate()


def test_what_is_under_way_at_arming_costs_nothing() -> None:
    """How many turns of its loop a thread still takes then hangs on real time, so later moments must not hang on it."""
    script = """
import os, sys, time
_, end = os.pipe()
start = time.monotonic()
print("starting", flush=True)
while time.monotonic() < start + 30: pass  # the clock leaps when the group is armed
for _ in range(int(sys.argv[1])): os.write(end, b"x")
time.sleep(0.001)
print(time.monotonic_ns())
os.write(end, b"x")
print(time.monotonic_ns())
"""
    printed = []
    for turns in (0, 7, 100):
        with Session(["--cost", "send_ns=10000", "--cost", "quantum_ns=0"]) as session:
            process = session.start([sys.executable, "-c", script, str(turns)])
            assert process.stdout is not None
            assert process.stdout.readline() == "starting\n"
            session.control("arm")
            printed.append([int(line) for line in process.communicate(timeout=60)[0].split()])
    assert printed[0] == printed[1] == printed[2]
    assert printed[0][1] - printed[0][0] >= 10_000


def test_a_number_in_a_name_changes_no_tie() -> None:
    """Which of a pool's threads does the work is decided while time is real; what follows must not hang on it."""
    script = """
import ctypes, sys, threading, time

class Timespec(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]

libc = ctypes.CDLL(None)
order = []
armed = (1 << 20) + 600

def work(name):
    libc.prctl(15, name.encode() + sys.argv[1].encode(), 0, 0, 0)  # PR_SET_NAME
    while time.monotonic() < armed:
        time.sleep(0.01)
    libc.clock_nanosleep(time.CLOCK_MONOTONIC, 1, ctypes.byref(Timespec(armed + 36000, 0)), None)
    order.append(name)

threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
for thread in threads:
    thread.start()
print("ready", flush=True)
for thread in threads:
    thread.join()
print(order)
"""

    def released(number: int) -> str:
        with Session() as session:
            process = session.start([sys.executable, "-c", script, str(number)])
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            session.control("arm")
            return str(process.communicate(timeout=60)[0])

    expected = released(0)
    assert all(name in expected for name in "abcdefgh")
    assert [released(number) for number in (1, 2, 10)] == [expected] * 3
