"""The group as a whole: it ends together, stands still on command, and says what it waits for."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clock_session import EXIT_CODE_GROUP_ENDED, HUNG_S, PROGRAMS, Session, end_quietly

SLEEPER = [sys.executable, "-c", "import time\nwhile True: time.sleep(1)"]


def assert_ended(session: Session, members: list[subprocess.Popen[str]]) -> None:
    for member in members:
        member.communicate(timeout=HUNG_S)
        assert member.returncode != 0
    assert session.daemon.wait(timeout=HUNG_S) == EXIT_CODE_GROUP_ENDED
    assert "the group ends" in session.errors()
    assert not (session.folder / "clock").exists()


@pytest.mark.parametrize("armed", [True, False])
def test_a_killed_member_ends_the_group(armed: bool) -> None:
    with Session(["--arm"] if armed else []) as session:
        members = [session.start(SLEEPER) for _ in range(3)]
        session.wait_for(lambda status: status["threads"] == 3)
        members[1].kill()
        assert_ended(session, members)
        assert f"process {members[1].pid} was killed or crashed" in session.errors()


def test_a_member_that_ends_by_itself_does_not() -> None:
    with Session(["--arm"]) as session:
        assert session.run([sys.executable, "-c", "import sys; sys.exit(0)"]) == ""
        failing = session.start(["sh", "-c", "exit 3"])
        assert failing.wait(timeout=HUNG_S) == 3
        killed_by_parent = "import subprocess; p = subprocess.Popen(['sleep', '9']); p.kill(); p.wait()"
        assert session.run([sys.executable, "-c", killed_by_parent]) == ""
        session.wait_for(lambda status: status["threads"] == 0)


def pids_of_daemon(session: Session) -> tuple[int, int]:
    guardian = session.daemon.pid
    child = int(Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()[0])
    return guardian, child


@pytest.mark.parametrize("which", ["guardian", "coordinator"])
def test_the_coordinator_dies(which: str) -> None:
    with Session(["--arm"]) as session:
        members = [session.start(SLEEPER) for _ in range(3)]
        session.wait_for(lambda status: status["threads"] == 3)
        guardian, coordinator = pids_of_daemon(session)
        os.kill(guardian if which == "guardian" else coordinator, signal.SIGKILL)
        for member in members:
            member.communicate(timeout=HUNG_S)
            assert member.returncode == -signal.SIGKILL
        session.daemon.wait(timeout=HUNG_S)
        end = time.monotonic() + HUNG_S
        while (session.folder / "clock").exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert not (session.folder / "clock").exists()
        assert "the group ends" in session.errors()


@pytest.mark.parametrize("armed", [True, False])
def test_both_processes_of_the_clock_die(armed: bool) -> None:
    """Nobody is left to end the group: each member sees it, one says so."""
    family = (
        "import os, threading, time\nthreading.Thread(target=time.sleep, args=(1e9,)).start()\nos.fork()\n"
    )
    with Session(["--arm", "--clients", "1"] if armed else []) as session:
        members = [session.start([sys.executable, "-c", family + "time.sleep(1e9)"]) for _ in range(2)]
        session.wait_for(lambda status: status["processes"] == 4 and status["threads"] == 6)
        guardian, coordinator = pids_of_daemon(session)
        # Stopped first, so that neither lives to see the other's end.
        for pid in (guardian, coordinator):
            os.kill(pid, signal.SIGSTOP)
        for pid in (guardian, coordinator):
            os.kill(pid, signal.SIGKILL)
        said = "".join(member.communicate(timeout=20)[1] for member in members)
        assert [member.returncode for member in members] == [EXIT_CODE_GROUP_ENDED] * 2
        assert said.count("the group ends") == 1
        assert f"both processes of the virtual clock (revati-clockd, {coordinator}) were killed" in said
        assert "were killed" in (session.folder / "fatal.clock").read_text()
        assert not (session.folder / "clock").exists()
        session.daemon.wait(timeout=HUNG_S)


def test_random_kills() -> None:
    """Any process at any moment: a serving stack of three processes and the two of the clock."""
    generator = random.Random(11)
    toy = [sys.executable, str(PROGRAMS / "toy_serving.py"), "1000000", "5", "0"]
    for _ in range(50):
        with Session(["--arm"]) as session:
            # In a process group of its own, to find its children.
            member = session.start(toy, start_new_session=True)
            session.wait_for(lambda status: status["processes"] >= 3)
            time.sleep(generator.random() * 0.1)
            family = [
                int(pid)
                for pid in subprocess.run(
                    ["pgrep", "-g", str(member.pid)], capture_output=True, text=True, check=False
                ).stdout.split()
            ]
            victim = generator.choice([*family, *pids_of_daemon(session)])
            os.kill(victim, signal.SIGKILL)
            member.communicate(timeout=HUNG_S)
            session.daemon.wait(timeout=HUNG_S)
            for pid in family:
                end = time.monotonic() + HUNG_S
                while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
                    time.sleep(0.005)
                assert not Path(f"/proc/{pid}").exists()
            assert "the group ends" in session.errors()


def test_it_explains_why_nothing_moves() -> None:
    script = "import threading; threading.Thread(target=threading.Event().wait).start(); input()"
    with Session(["--arm", "--stuck-after", "1"]) as session:
        member = session.start([sys.executable, "-c", script], stdin=subprocess.PIPE)
        assert session.daemon.wait(timeout=HUNG_S) == EXIT_CODE_GROUP_ENDED
        member.communicate(timeout=HUNG_S)
        assert member.returncode == -signal.SIGKILL
        text = session.errors()
        assert "nothing can move" in text
        assert f"{member.pid}/{member.pid}" in text
        assert "waits for read" in text
        assert "waits for semaphore" in text


def test_time_stands_still_without_clients() -> None:
    server = [sys.executable, "-c", "import time\nwhile True: time.sleep(10)"]
    client = [
        sys.executable,
        "-c",
        "import time; print(time.monotonic()); time.sleep(1000); print(time.monotonic())",
    ]
    with Session(["--arm", "--clients", "1"]) as session:
        member = session.start(server)
        session.wait_for(lambda status: status["threads"] == 1 and not status["running"])
        before = session.status()["virtual_s"]
        time.sleep(0.3)
        assert session.status()["virtual_s"] == before
        first, last = map(float, session.run(client, {"REVATI_CLOCK_CLIENT": "1"}).split())
        assert last - first == pytest.approx(1000, abs=1e-3)
        # It is gone; the server's sleeps must not run on.
        gone = session.wait_for(lambda status: status["clients"] == 0)["virtual_s"]
        time.sleep(0.3)
        assert session.status()["virtual_s"] == gone
        assert gone - before < 1001
        os.kill(member.pid, signal.SIGKILL)
        member.communicate()


def test_hold_and_release() -> None:
    with Session(["--arm"]) as session:
        session.control("hold")
        member = session.start([sys.executable, "-c", "import time; time.sleep(100)"])
        session.wait_for(lambda status: status["threads"] == 1 and not status["running"])
        time.sleep(0.2)
        assert member.poll() is None
        session.control("release")
        assert member.wait(timeout=HUNG_S) == 0


def test_inert_without_a_session(tmp_path: Path) -> None:
    from revati.paths import library_dir

    environment = {"LD_PRELOAD": str(library_dir() / "librevati_clock.so"), "PATH": os.environ["PATH"]}
    script = (
        "import time; a = time.monotonic(); time.sleep(0.01); print(time.monotonic() - a < 5, a < 1 << 20)"
    )
    for extra in (
        {},
        {"REVATI_SESSION": str(tmp_path)},
        {"REVATI_SESSION": str(tmp_path), "REVATI_CLOCK": "off"},
    ):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**environment, **extra},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("True")
    assert list(tmp_path.iterdir()) == []


def test_a_guest_may_be_killed() -> None:
    """A user's own client, its children included: whoever presses Ctrl-C there does not end the server."""
    family = "import os, time\nos.fork()\nwhile True: time.sleep(1)"
    with Session(["--arm"]) as session:
        server = session.start(SLEEPER)
        guest = session.start(
            [sys.executable, "-c", family], {"REVATI_CLOCK_GUEST": "1"}, start_new_session=True
        )
        session.wait_for(lambda status: status["processes"] == 3)
        os.killpg(guest.pid, signal.SIGKILL)
        guest.communicate(timeout=HUNG_S)
        session.wait_for(lambda status: status["processes"] == 1)
        before = session.status()["jumps"]
        session.wait_for(lambda status: status["jumps"] > before)
        assert server.poll() is None
        end_quietly(server)


def test_winding_down() -> None:
    """Nobody is a client any more, yet time moves, and whoever is killed was meant to be."""
    with Session(["--arm", "--clients", "1"]) as session:
        first, second = session.start(SLEEPER), session.start(SLEEPER)
        session.wait_for(lambda status: status["processes"] == 2)
        assert session.status()["jumps"] == 0
        session.control("wind-down")
        session.wait_for(lambda status: status["jumps"] > 10)
        end_quietly(first)
        session.wait_for(lambda status: status["processes"] == 1)
        assert second.poll() is None
        end_quietly(second)


def test_the_clock_ends_with_whoever_started_it() -> None:
    with Session(["--arm", "--with-stdin"], stdin=subprocess.PIPE) as session:
        member = session.start(SLEEPER)
        session.wait_for(lambda status: status["processes"] == 1)
        assert session.daemon.stdin is not None
        session.daemon.stdin.close()
        session.daemon.stdin = None
        member.communicate(timeout=HUNG_S)
        assert member.returncode == -signal.SIGKILL
        session.daemon.wait(timeout=HUNG_S)
        assert "whoever started the session is gone" in session.errors()


def test_threads_are_listed() -> None:
    with Session(["--arm"]) as session:
        member = session.start(SLEEPER)
        session.wait_for(lambda status: status["jumps"] > 10)
        (thread,) = map(json.loads, session.control("threads").splitlines())
        assert (thread["pid"], thread["tid"]) == (member.pid, member.pid)
        assert thread["waits"] > 10
        end_quietly(member)
