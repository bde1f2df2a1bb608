"""`revati.Emulation`: nothing is left after the block, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

import revati
from revati.errors import UsageError

from .test_run import is_gone, wait_for


@pytest.fixture(autouse=True)
def _own_libraries(libraries: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVATI_LIBRARY_DIR", str(libraries))
    monkeypatch.setenv("REVATI_CACHE", environment["REVATI_CACHE"])


def first_line(process: object) -> str:
    line: str = process.stdout.readline().decode().strip()  # type: ignore[attr-defined]
    return line


def test_run_returns_the_exit_code() -> None:
    with revati.Emulation(gpu="h100-sxm", gpus=2, clock="off") as emulation:
        assert emulation.run(["sh", "-c", 'grep -q "gpus = 2" "$REVATI_SESSION/device.conf" && exit 4']) == 4


def test_commands_share_a_session() -> None:
    with revati.Emulation(clock="off") as emulation:
        emulation.run(["sh", "-c", 'echo shared > "$REVATI_SESSION/note"'])
        assert emulation.run(["sh", "-c", 'grep -q shared "$REVATI_SESSION/note"']) == 0


def test_an_exception_ends_everything() -> None:
    with pytest.raises(ZeroDivisionError), revati.Emulation(clock="off") as emulation:
        path = emulation.session.path
        process = emulation.launch(["sh", "-c", "setsid sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE)
        daemon = int(first_line(process))
        raise ZeroDivisionError
    assert is_gone(daemon)
    assert not path.exists()


def test_a_killed_supervisor_leaves_nobody() -> None:
    with revati.Emulation(clock="off") as emulation:
        process = emulation.launch(["sh", "-c", "setsid sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE)
        daemon = int(first_line(process))
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(30) == 128 + signal.SIGKILL
    wait_for(lambda: is_gone(daemon), "the daemon is still there")


def test_stop_asks_first() -> None:
    with revati.Emulation(clock="off") as emulation:
        script = "trap 'exit 7' TERM; echo ready; sleep 1000 & wait"
        process = emulation.launch(["sh", "-c", script], stdout=subprocess.PIPE)
        assert first_line(process) == "ready"
        assert process.stop() == 7


def test_a_dropped_process_ends() -> None:
    with revati.Emulation(clock="off") as emulation:
        process = emulation.launch(["sh", "-c", "echo $$; exec sleep 1000"], stdout=subprocess.PIPE)
        command = psutil.Process(int(first_line(process)))
        assert command.is_running()
    assert is_gone(command.pid)


def test_only_inside_the_block() -> None:
    with pytest.raises(RuntimeError, match="context manager"):
        revati.Emulation(clock="off").launch(["true"])


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="unknown GPU"):
        revati.Emulation(gpu="voodoo-2")
    with pytest.raises(UsageError, match="there is no scheduler 'rr'; choose from auto, fair, fifo"):
        revati.Emulation(clock="modelled", scheduler="rr")
    with pytest.raises(UsageError, match="is about the virtual clock"):
        revati.Emulation(clock="off", scheduler="fifo")
    with pytest.raises(UsageError, match="from 1 to 16"):
        revati.Emulation(gpus=0)
