"""The small process between Revati and a command: it outlives either and leaves no process behind.

Run as a script with `python -I -S`, so that it starts in milliseconds and stays small; it imports nothing of Revati.
File descriptor `argv[1]` is a pipe: first one line of JSON (argv, env, cwd, own_group, remove), then nothing until
Revati wants the command gone or is gone itself; both show as end of file.

Two trees could escape: what the command leaves when it ends, and everything when Revati is killed. As a child
subreaper the supervisor inherits every orphan, so it can find and end them all.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SI_KERNEL = 0x80  # the terminal sent it, so the whole foreground group has it already

FORWARDED = {
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGALRM,
}
POLL_S = 0.5  # how often the pipe is looked at
GRACE_S = 5.0  # from SIGTERM to SIGKILL for what the command left behind

_libc = ctypes.CDLL(None, use_errno=True)


def descendants(root: int) -> list[int]:
    """Process ids below `root`, without those that have ended and wait to be collected."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue
        state, parent, threads = fields[0], fields[1], int(fields[17])  # proc(5): 3rd, 4th and 20th
        # A first thread that has ended stays as a zombie as long as others run.
        if state != b"Z" or threads > 1:
            children.setdefault(int(parent), []).append(int(entry))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def reap() -> dict[int, int]:
    """Collects every child that ended: process id -> wait status."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def has_children() -> bool:
    """Whether there is anything left to collect."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end_all(grace_s: float) -> dict[int, int]:
    """Ends every descendant: SIGTERM, `grace_s` seconds, then SIGKILL until none is left. Returns who ended how."""
    ended: dict[int, int] = {}
    deadline = time.monotonic() + grace_s
    asked: set[int] = set()
    while True:
        ended.update(reap())
        alive = descendants(os.getpid())
        late = time.monotonic() >= deadline
        # Whoever is not collected here stays as a zombie of Revati itself.
        if not alive and (late or not has_children()):
            return ended
        for pid in alive:
            if late or pid not in asked:
                try:
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                except OSError:
                    pass
                asked.add(pid)
        time.sleep(0.02)


def remove_session(path: str) -> None:
    """Removes a session's directory, and the shared memory that its programs were killed too fast to remove.

    Its file `shared` names what they made (native/clock/interpose_memory.cpp).
    """
    try:
        with open(os.path.join(path, "shared"), errors="replace") as shared:
            names = shared.read().splitlines()
    except OSError:
        names = []
    for name in names:
        stem = name.lstrip("/")
        if stem and "/" not in stem:
            try:
                os.unlink(f"/dev/shm/{stem}")
            except OSError:
                pass
    shutil.rmtree(path, ignore_errors=True)


def exit_code(status: int) -> int:
    """The shell's convention: 128 + signal for a process that a signal ended."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def start(request: dict[str, Any]) -> int:
    """Forks and executes the command; a supervisor killed by force takes it along."""
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(128 + signal.SIGKILL)
        if request["own_group"]:
            os.setpgid(0, 0)
        for number in FORWARDED | {signal.SIGPIPE, signal.SIGCHLD}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if request["cwd"]:
            os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])
    except OSError as error:
        sys.stderr.write(f"revati: cannot start {request['argv'][0]}: {error.strerror}\n")
        sys.stderr.flush()
    os._exit(127)


def supervise(control: int, command: int, own_group: bool) -> int:
    """Waits for the command, forwards signals, watches the pipe. Returns the exit code."""
    watched = FORWARDED | {signal.SIGCHLD}
    while True:
        information = signal.sigtimedwait(watched, POLL_S)
        if information is not None and information.si_signo in FORWARDED:
            if own_group or information.si_code != SI_KERNEL:
                try:
                    os.kill(command, information.si_signo)
                except ProcessLookupError:
                    pass
        status = reap().get(command)
        if status is None and select.select([control], [], [], 0)[0]:
            status = end_all(GRACE_S).get(command, signal.SIGKILL)
        if status is not None:
            end_all(GRACE_S)
            return exit_code(status)


def read_request(control: int) -> dict[str, Any]:
    """The first line of the pipe."""
    text = b""
    while not text.endswith(b"\n"):
        part = os.read(control, 1 << 16)
        if not part:
            sys.exit("revati: the supervisor was started without a command")
        text += part
    request: dict[str, Any] = json.loads(text)
    return request


def main() -> None:
    """Runs one command to its end."""
    control = int(sys.argv[1])
    revati = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request = read_request(control)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    code = supervise(control, start(request), request["own_group"])
    if os.getppid() != revati and request["remove"]:  # Revati was killed: nobody else will tidy up
        remove_session(request["remove"])
    sys.exit(code)


if __name__ == "__main__":
    main()
