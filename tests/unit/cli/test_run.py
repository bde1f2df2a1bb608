"""`revati run`: signals, exit codes, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from .conftest import Revati, command


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def started(environment: dict[str, str], script: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`revati run -- sh -c SCRIPT`, with the words of its first line of output."""
    process = subprocess.Popen(
        command("run", "--", "sh", "-c", script),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("code", [0, 7, 127])
def test_exit_code(revati: Revati, code: int) -> None:
    assert revati("run", "--", "sh", "-c", f"exit {code}").returncode == code


def test_death_by_signal_is_128_and_the_signal(revati: Revati) -> None:
    assert revati("run", "--", "sh", "-c", "kill -SEGV $$").returncode == 128 + signal.SIGSEGV


def test_output_and_arguments_pass_unchanged(revati: Revati) -> None:
    done = revati("run", "--gpus", "2", "--", "printf", "%s|", "--gpu", "a b", "--", "-x")
    assert done.stdout == "--gpu|a b|--|-x|"
    assert done.stderr == ""


def test_environment_of_the_command(revati: Revati, libraries: Path) -> None:
    script = 'cd "$REVATI_SESSION"; cat device.conf; stat -c %a .; echo "$LD_PRELOAD"; echo "$REVATI_SESSION"'
    lines = revati(
        "run", "--gpu", "h100-sxm", "--gpus", "3", "--", "sh", "-c", script, check=True
    ).stdout.splitlines()
    mode, preload, session = lines[-3:]
    assert "gpus = 3" in lines
    assert mode == "700"
    assert preload.split(":")[0] == str(libraries / "librevati_core.so")
    assert str(libraries / "cuda13" / "libcudart.so.13") in preload.split(":")
    assert not Path(session).exists()


def test_preload_of_the_user_comes_last(revati: Revati, libraries: Path) -> None:
    own = str(libraries / "cuda12" / "libnccl.so.2")
    done = revati("run", "--", "sh", "-c", 'echo "$LD_PRELOAD"', env={"LD_PRELOAD": own}, check=True)
    assert done.stdout.strip().split(":")[-1] == own


def test_two_commands_at_once_have_sessions_of_their_own(environment: dict[str, str]) -> None:
    script = 'echo "$REVATI_SESSION"; sleep 100'
    with started(environment, script) as (_, first), started(environment, script) as (_, second):
        assert first != second
        assert Path(first[0]).is_dir()
        assert Path(second[0]).is_dir()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_command(environment: dict[str, str], number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    with started(environment, f"trap 'exit 33' {name}; sleep 100 & echo $!; wait") as (process, (sleeper,)):
        process.send_signal(number)
        assert process.wait(30) == 33
        assert is_gone(int(sleeper))


def test_nothing_outlives_the_command(environment: dict[str, str]) -> None:
    with started(environment, "setsid sleep 1000 & echo $!; sleep 0.2; exit 5") as (process, (daemon,)):
        assert process.wait(30) == 5
        assert is_gone(int(daemon))


def test_a_process_that_ignores_sigterm_is_ended_too(environment: dict[str, str]) -> None:
    script = "setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & sleep 0.5"
    with started(environment, script) as (process, (stubborn,)):
        assert process.wait(60) == 0
        assert is_gone(int(stubborn))


def test_killing_revati_ends_the_command(environment: dict[str, str]) -> None:
    script = 'setsid sleep 1000 & echo $! $$ "$REVATI_SESSION"; wait'
    with started(environment, script) as (process, (daemon, shell, session)):
        process.kill()
        wait_for(lambda: is_gone(int(daemon)) and is_gone(int(shell)), "the command outlives revati")
        wait_for(lambda: not Path(session).exists(), "the session outlives revati")


def test_killing_the_supervisor_ends_the_command(environment: dict[str, str]) -> None:
    with started(environment, "setsid sleep 1000 & echo $! $$; wait") as (process, (daemon, shell)):
        (supervisor,) = psutil.Process(process.pid).children()
        os.kill(supervisor.pid, signal.SIGKILL)
        assert process.wait(30) == 128 + signal.SIGKILL
        assert is_gone(int(daemon))
        assert is_gone(int(shell))


def test_out_holds_a_summary(revati: Revati, tmp_path: Path) -> None:
    revati(
        "run",
        "--out",
        str(tmp_path / "o"),
        "--",
        "sh",
        "-c",
        'echo oops > "$REVATI_SESSION/log.1"',
        check=True,
    )
    assert '"oops"' in (tmp_path / "o" / "summary.json").read_text()
    assert (tmp_path / "o" / "session" / "log.1").read_text() == "oops\n"


def test_a_fail_closed_stop_is_shown(revati: Revati) -> None:
    done = revati("run", "--", "sh", "-c", 'echo "kernel k: id 7" > "$REVATI_SESSION/fatal.1"; exit 86')
    assert done.returncode == 86
    assert done.stderr == "revati: stopped: kernel k: id 7\n"


def test_nodes_see_their_own_gpus(revati: Revati) -> None:
    done = revati(
        "run", "--gpus", "2", "--nodes", "2", "--node", "1", "--", "sh", "-c", "echo node $REVATI_NODE"
    )
    assert done.returncode == 0, done.stderr
    assert "node 1" in done.stdout
    for wrong in (
        ["--nodes", "2", "--node", "2"],
        ["--nodes", "9"],
        ["--coordinator", "x:1"],
        ["--nodes", "2", "--network", "string"],
    ):
        assert revati("run", *wrong, "--", "true").returncode == 2
