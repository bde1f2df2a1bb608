"""Configurations on this machine, as many side by side as its memory and CPUs hold."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from revati.sweep.expand import Task
from revati.sweep.trial import Work
from revati.sweep.worker import Done, Worker

# Memory of one rank and of the server and client around them, as `make bench` measures it.
_RANK_BYTES = 1.6e9
_REST_BYTES = 4e9
# A serving keeps about two CPUs busy: its engine's processes take turns, its client and the clock run beside them.
_CPUS_EACH = 2
_POLL_S = 0.2


def needed_bytes(task: Task) -> float:
    """Memory that a configuration takes."""
    return _REST_BYTES + task.configuration.gpu_count * _RANK_BYTES


def run_all(
    tasks: Sequence[Task],
    work_of: Callable[[Task], Work],
    folder_of: Callable[[Task], Path],
    jobs: int | None,
    on_done: Callable[[Task, Done], None],
    on_poll: Callable[[Sequence[str]], None],
) -> None:
    """Runs `tasks`; the first come first, but one that has no room lets smaller ones pass.

    Args:
        tasks: What to run.
        work_of: What its worker is told.
        folder_of: Where it leaves its logs.
        jobs: Most of them at a time; by default one for every two CPUs.
        on_done: Told of each as it ends.
        on_poll: Told now and then what the running ones do.
    """
    most = jobs or max(1, (os.cpu_count() or 1) // _CPUS_EACH)
    room = float(psutil.virtual_memory().available)
    waiting = list(tasks)
    running: dict[Task, Worker] = {}
    try:
        while waiting or running:
            taken = sum(map(needed_bytes, running))
            for task in list(waiting):
                if len(running) >= most:
                    break
                if needed_bytes(task) <= room - taken:
                    waiting.remove(task)
                    running[task] = Worker(work_of(task), folder_of(task))
                    taken += needed_bytes(task)
                elif not running and needed_bytes(task) > room:
                    waiting.remove(task)
                    on_done(task, Done("failed", _too_large(task, room), 0.0, None))
            for task, worker in list(running.items()):
                done = worker.poll()
                if done is not None:
                    del running[task]
                    on_done(task, done)
            on_poll([f"{task.label}: {worker.phase()}" for task, worker in running.items()])
            if running:
                time.sleep(_POLL_S)
    finally:
        for worker in running.values():
            worker.kill()


def _too_large(task: Task, room: float) -> str:
    return (
        f"this machine cannot hold it: its server and {task.configuration.gpu_count} workers need about "
        f"{needed_bytes(task) / 1e9:.0f} GB of memory, {room / 1e9:.0f} GB are free"
    )
