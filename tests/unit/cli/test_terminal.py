"""`revati run` on a terminal: the command owns it."""

from __future__ import annotations

import os
import pty
import select
import time

from .conftest import command


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, environment)
        self.text = ""

    def read_until(self, word: str) -> None:
        deadline = time.monotonic() + 60
        while word not in self.text:
            assert time.monotonic() < deadline, self.text
            if select.select([self.master], [], [], 1)[0]:
                self.text += os.read(self.master, 4096).decode()

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_control_c_reaches_the_command_once(environment: dict[str, str]) -> None:
    script = "n=0; trap 'n=$((n+1)); echo caught $n' INT; echo ready; sleep 2; sleep 2; echo total $n; exit 3"
    terminal = Terminal(command("run", "--", "sh", "-c", script), environment)
    terminal.read_until("ready")
    terminal.type(b"\x03")
    terminal.read_until("total")
    assert "total 1" in terminal.text
    assert terminal.exit_code() == 3


def test_control_c_ends_a_command_that_does_not_catch_it(environment: dict[str, str]) -> None:
    terminal = Terminal(command("run", "--", "sh", "-c", "echo ready; exec sleep 100"), environment)
    terminal.read_until("ready")
    terminal.type(b"\x03")
    assert terminal.exit_code() == 130


def test_the_command_reads_the_terminal(environment: dict[str, str]) -> None:
    terminal = Terminal(
        command("run", "--", "sh", "-c", "echo ready; read line; echo got $line"), environment
    )
    terminal.read_until("ready")
    terminal.type(b"hello\n")
    terminal.read_until("got hello")
    assert terminal.exit_code() == 0
