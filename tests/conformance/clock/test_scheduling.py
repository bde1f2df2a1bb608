"""Where the threads of an armed group run: on one CPU, and in a real-time class where that is permitted."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clock_session import HUNG_S, Session, end_quietly, fifo_is_permitted, run_virtually

from revati.paths import library_dir

PR_CAPBSET_DROP = 24
CAP_SYS_NICE = 23
needs_fifo = pytest.mark.skipif(
    not fifo_is_permitted(), reason="needs CAP_SYS_NICE or a limit on real-time priority of 2"
)

# What a program hears, and what is: the kernel's own word is in /proc.
PLACES = """
import json, os, sys, threading

def place():
    status = open(f"/proc/self/task/{threading.get_native_id()}/status").read()
    stat = open(f"/proc/self/task/{threading.get_native_id()}/stat").read().rpartition(")")[2].split()
    cpus = next(line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list"))
    return cpus, int(stat[38])  # policy: 0 is fair, 1 FIFO, 2 round robin

os.sched_setaffinity(0, {0})
answers = [place()]
thread = threading.Thread(target=lambda: answers.append(place()))
thread.start()
thread.join()
child = os.popen(f"{sys.executable} -c 'import os; print(len(os.sched_getaffinity(0)))'").read()
print(json.dumps([answers, len(os.sched_getaffinity(0)), os.cpu_count(), int(child)]))
"""


def lose_rights() -> None:
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_NICE, 0, 0, 0)


@pytest.mark.parametrize("scheduler", ["fair", pytest.param("fifo", marks=needs_fifo)])
@pytest.mark.parametrize("mode", ["modelled", "cpu"])
def test_one_cpu(scheduler: str, mode: str) -> None:
    out = run_virtually([sys.executable, "-c", PLACES], "--scheduler", scheduler, "--mode", mode)
    answers, affinity, cpus, of_child = json.loads(out)
    policy = 2 if scheduler == "fifo" else 0
    assert len({cpu for cpu, _ in answers}) == 1
    assert "-" not in answers[0][0]
    assert "," not in answers[0][0]
    assert [found for _, found in answers] == [policy] * 2
    told = 2 if mode == "modelled" else len(os.sched_getaffinity(0))
    assert (affinity, of_child) == (told, told)
    assert cpus >= 1


def test_wherever_they_like() -> None:
    """Time that passes while threads run must not get longer."""
    allowed = Path("/proc/self/status").read_text().partition("Cpus_allowed_list:\t")[2].split()[0]
    script = PLACES.replace("os.sched_setaffinity(0, {0})", "")
    for options in (["--mode", "wall"], ["--scheduler", "fair", "--no-pin"]):
        answers, *_ = json.loads(run_virtually([sys.executable, "-c", script], *options))
        assert answers == [[allowed, 0]] * 2


def cpu_of(process: subprocess.Popen[str]) -> str:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return status.partition("Cpus_allowed_list:\t")[2].split()[0]


def test_members_move_at_arming_and_later_ones_follow() -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(1e6)"]
    with Session() as session:
        early = session.start(sleeper)
        session.wait_for(lambda status: status["threads"] == 1 and not status["running"])
        before = cpu_of(early)
        session.control("hold")
        session.control("arm")
        late = session.start(sleeper)
        status = session.wait_for(lambda status: status["threads"] == 2 and not status["running"])
        assert [cpu_of(early), cpu_of(late)] == [str(status["cpu"])] * 2
        assert len(os.sched_getaffinity(0)) == 1 or before != str(status["cpu"])
        for member in (early, late):
            end_quietly(member)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_groups_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a real-time class leaves a CPU to everybody else, and others keep away from it."""
    monkeypatch.setenv("REVATI_CLOCK_CLAIMS", f"test-{os.getpid()}")
    allowed = sorted(os.sched_getaffinity(0))
    kinds = ["fair", "fair"]
    if fifo_is_permitted():
        kinds = ["fifo", "fair", "fair"] if len(allowed) == 2 else ["fifo", "fifo", "fair"]
    with contextlib.ExitStack() as stack:
        cpus = []
        for kind in kinds:
            session = stack.enter_context(Session(["--arm", "--scheduler", kind]))
            cpus.append(session.wait_for(lambda status: status["cpu"] >= 0)["cpu"])
    assert cpus[0] == allowed[-1]
    assert all(cpu != cpus[0] for cpu in cpus[1:])
    if kinds[0] == "fifo" and len(allowed) == 2:
        assert cpus[1:] == [allowed[0]] * 2


def test_without_rights(tmp_path: Path) -> None:
    command = [
        str(library_dir() / "revati-clockd"),
        "serve",
        "--session",
        str(tmp_path),
        "--scheduler",
        "fifo",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=HUNG_S, check=False, preexec_fn=lose_rights
    )
    assert done.returncode == 2
    assert "not permitted here" in done.stderr
    assert "use --scheduler fair" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_auto_takes_what_it_may() -> None:
    script = [sys.executable, "-c", "import time; time.sleep(1000)"]
    with Session(["--arm"], before_start=lose_rights) as session:
        session.run(script)
        assert session.status()["scheduler"] == "fair"
    with Session(["--arm"]) as session:
        session.run(script)
        expected = "fifo" if fifo_is_permitted() and len(os.sched_getaffinity(0)) >= 4 else "fair"
        assert session.status()["scheduler"] == expected


@needs_fifo
def test_a_member_without_rights() -> None:
    """It cannot follow; from then on the kernel is asked, and times are right all the same."""
    ping_pong = """
import os, time
a, b = os.pipe()
c, d = os.pipe()
if os.fork() == 0:
    for _ in range(300): os.read(a, 1); time.sleep(0.001); os.write(d, b"x")
    os._exit(0)
start = time.monotonic()
for _ in range(300): os.write(b, b"x"); os.read(c, 1)
print(round(time.monotonic() - start, 2))
"""
    with Session(["--arm", "--scheduler", "fifo"]) as session:
        member = session.start([sys.executable, "-c", ping_pong], preexec_fn=lose_rights)
        out, errors = member.communicate(timeout=HUNG_S)
        assert out == "0.3\n", errors
        assert session.status()["outsiders"] > 0


@needs_fifo
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_a_thread_moved_from_outside_is_noticed() -> None:
    """Then real-time priority proves nothing any more."""
    with Session(["--arm", "--scheduler", "fifo"]) as session:
        member = session.start([sys.executable, "-c", "import time\nwhile True: time.sleep(1)"])
        session.wait_for(lambda status: status["jumps"] > 0)
        assert session.status()["outsiders"] == 0
        os.sched_setaffinity(member.pid, os.sched_getaffinity(0))
        session.wait_for(lambda status: status["outsiders"] == 1)
        assert f"has moved thread {member.pid}" in session.errors()
        jumps = session.status()["jumps"]
        session.wait_for(lambda status: status["jumps"] > jumps)
        end_quietly(member)
