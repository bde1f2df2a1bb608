"""Configurations on a Ray cluster. Ray decides where and when; Revati must be installed on every machine of it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from revati.errors import UnsupportedError, UsageError
from revati.sweep.expand import Task
from revati.sweep.local import needed_bytes
from revati.sweep.trial import Work
from revati.sweep.worker import Done, run_to_end

_POLL_S = 1.0
_CONNECT_S = 10.0
# Files that come back; a trial's own are in folders.
_FILES = ("result.json", "client.json", "*.log", "session/*", "trial-*/result.json", "trial-*/client.json")


# Ray sets it for each task, to the task's CPUs; how many threads the server's libraries start is part of the result.
_THREADS = "OMP_NUM_THREADS"


def remote(work: dict[str, Any], threads: str | None) -> tuple[Done, dict[str, bytes]]:
    """Runs where Ray wants it. `threads`: `OMP_NUM_THREADS` of the sweep's own environment."""
    os.environ.pop(_THREADS, None)
    if threads is not None:
        os.environ[_THREADS] = threads
    with tempfile.TemporaryDirectory(prefix="revati-sweep-") as name:
        folder = Path(name) / "run"
        done = run_to_end(Work.of_json(work), folder)
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for pattern in _FILES
            for path in folder.glob(pattern)
            if path.is_file()
        }
        return done, files


def run_all(
    tasks: Sequence[Task],
    work_of: Callable[[Task], Work],
    folder_of: Callable[[Task], Path],
    address: str,
    on_done: Callable[[Task, Done], None],
    on_poll: Callable[[Sequence[str]], None],
) -> None:
    """Runs `tasks` on the cluster at `address`.

    Raises:
        UnsupportedError: Ray is not installed.
        UsageError: There is no such cluster.
    """
    try:
        import ray  # noqa: PLC0415 (optional)
    except ImportError:
        raise UnsupportedError("--ray needs Ray; install it with: pip install 'revati[sweep]'.") from None
    _check_reachable(address)
    try:
        ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
    except (ConnectionError, ValueError, OSError, RuntimeError) as error:
        raise UsageError(f"there is no Ray cluster at {address} ({error}).") from None
    try:
        function = ray.remote(remote)
        pending: dict[Any, Task] = {}
        for task in tasks:
            options = {"num_cpus": 1, "memory": int(needed_bytes(task)), "max_retries": 0}
            reference = function.options(**options).remote(work_of(task).as_json(), os.environ.get(_THREADS))
            pending[reference] = task
        try:
            while pending:
                ready, _ = ray.wait(list(pending), num_returns=1, timeout=_POLL_S)
                for reference in ready:
                    task = pending.pop(reference)
                    on_done(task, _collect(ray, reference, folder_of(task)))
                on_poll([f"{len(pending)} on the Ray cluster"])
        finally:
            for reference in pending:
                with contextlib.suppress(Exception):
                    ray.cancel(reference, force=True)
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself ends the process after a while where nobody listens.

    Raises:
        UsageError: Nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S):
            pass
    except OSError as error:
        raise UsageError(f"there is no Ray cluster at {address} ({error}).") from None


def _collect(ray: Any, reference: Any, folder: Path) -> Done:
    try:
        done, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Done("failed", f"Ray could not run it: {error}", 0.0, None)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert isinstance(done, Done)
    return done
