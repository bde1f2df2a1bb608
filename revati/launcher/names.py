"""Names of running sessions, by which commands in other terminals find them.

A name is a lock that its owner holds until it ends, however it ends, and a file that says what the session is. Both lie
in a private directory of the user; the session itself lies elsewhere (`revati.launcher.session`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from revati.errors import UnsupportedError, UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PUBLISH_TIMEOUT_S = 20.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Record:
    """What is written about a session when it starts."""

    name: str
    path: str  # session directory
    pid: int  # of the Revati that made it, and with which it ends
    gpu: str
    gpus: int
    clock: str
    command: tuple[str, ...]
    started: float  # seconds since 1970
    ready: str | None = None  # how to find out that its server answers (`revati.launcher.readiness`)
    nodes: int = 1

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        nodes = f"{self.nodes} nodes of " if self.nodes > 1 else ""
        return f"{nodes}{self.gpus} x {self.gpu}, clock {self.clock}"


class Claim:
    """A name that is ours until `release`, or until this process ends."""

    def __init__(self, name: str, folder: Path, descriptor: int) -> None:
        """Made by `claim`."""
        self.name = name
        self._file = folder / f"{name}.json"
        self._lock = folder / f"{name}.lock"
        self._descriptor = descriptor

    def publish(self, record: Record) -> None:
        """Lets others find the session."""
        temporary = self._file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(asdict(record)) + "\n")
        temporary.replace(self._file)

    def release(self) -> None:
        """Gives the name back. Safe to call twice."""
        if self._descriptor < 0:
            return
        self._file.unlink(missing_ok=True)
        self._lock.unlink(missing_ok=True)  # while it is held: see _lock_file
        os.close(self._descriptor)
        self._descriptor = -1


def folder() -> Path:
    """The user's private directory: `$REVATI_RUNTIME_DIR`, else in `$XDG_RUNTIME_DIR`, else in the temporary folder.

    Raises:
        UnsupportedError: It is somebody else's, or others may write there.
    """
    override = os.environ.get("REVATI_RUNTIME_DIR")
    base = os.environ.get("XDG_RUNTIME_DIR")
    if override:
        path = Path(override)
    elif base and os.access(base, os.W_OK):
        path = Path(base) / "revati"
    else:
        path = Path(tempfile.gettempdir()) / f"revati-{os.getuid()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UnsupportedError(
            f"{path} must be a directory of yours that nobody else can enter; remove it, or choose another with "
            "REVATI_RUNTIME_DIR."
        )
    return path


def check(name: str) -> None:
    """Refuses what cannot be a name.

    Raises:
        UsageError: It is none.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a session; use up to 64 letters, digits, dots, dashes and underscores."
        )


def claim(name: str) -> Claim | None:
    """Takes a name; None where a living session has it.

    Raises:
        UsageError: It is no name.
    """
    check(name)
    place = folder()
    descriptor = _lock_file(place / f"{name}.lock")
    if descriptor is None:
        return None
    (place / f"{name}.json").unlink(missing_ok=True)  # of an owner that was killed
    return Claim(name, place, descriptor)


def claim_free(stem: str) -> Claim:
    """Takes a name that begins with `stem`, for a session that was given none."""
    for suffix in range(1, 1000):
        taken = claim(stem if suffix == 1 else f"{stem}.{suffix}")
        if taken:
            return taken
    raise UnsupportedError(f"all names that begin with {stem} are taken.")


def find(name: str) -> Record:
    """The living session of that name. One that is just starting is waited for.

    Raises:
        UsageError: There is none.
    """
    check(name)
    deadline = time.monotonic() + _PUBLISH_TIMEOUT_S
    while _is_held(folder() / f"{name}.lock"):
        record = _read(folder() / f"{name}.json")
        if record:
            return record
        if time.monotonic() > deadline:
            raise UsageError(
                f"session '{name}' does not get started; end it with: revati session stop {name}"
            )
        time.sleep(_POLL_S)
    others = ", ".join(record.name for record in running()) or "none"
    raise UsageError(
        f"there is no session '{name}' (running: {others}); "
        f"start it with: revati run --session {name} -- COMMAND"
    )


def is_running(record: Record) -> bool:
    """Whether the owner of a session still lives."""
    now = _read(folder() / f"{record.name}.json")
    return now is not None and now.path == record.path and _is_held(folder() / f"{record.name}.lock")


def running() -> list[Record]:
    """All living sessions of this user, the oldest first. What dead ones left behind is removed."""
    place = folder()
    records = []
    for path in place.glob("*.json"):
        lock = path.with_suffix(".lock")
        record = _read(path)
        if record and _is_held(lock):
            records.append(record)
        else:
            _remove_dead(path.stem)
    return sorted(records, key=lambda record: record.started)


def _remove_dead(name: str) -> None:
    with contextlib.suppress(UsageError):
        dead = claim(name)
        if dead:
            dead.release()


def _read(path: Path) -> Record | None:
    try:
        fields = json.loads(path.read_text())
        return Record(**{**fields, "command": tuple(fields["command"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _lock_file(path: Path) -> int | None:
    """Locks a file and returns its descriptor; None where somebody else has it.

    An owner removes the file before it gives up the lock, so a lock on a file that is no longer there is worth nothing.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_same_file(descriptor, path):
            return descriptor
        os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    with _closing(descriptor):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)
