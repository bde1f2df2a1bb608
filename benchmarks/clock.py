"""What a decision of the virtual clock costs: releases per second, and a jump's latency against the number of threads."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from figure import Figure

from revati.paths import library_dir

RELEASES = 5_000
REPEATS = 3
UNPRIVILEGED_GOAL = 10_000
FIFO_GOAL = 40_000
# The goal says "flat": what that means when both ends are medians of three on a host that others use as well.
FLAT_RATIO = 2.0


def releases_per_s(program: Path, words: list[str], options: list[str]) -> float:
    """Runs one member to its end in a session of its own."""
    with tempfile.TemporaryDirectory(prefix="revati-bench-") as folder:
        daemon = str(library_dir() / "revati-clockd")
        clock = subprocess.Popen(
            [daemon, "serve", "--session", folder, "--arm", *options], stdout=subprocess.PIPE, text=True
        )
        assert clock.stdout is not None
        if clock.stdout.readline() != "ready\n":
            raise RuntimeError(f"revati-clockd does not start with {options}")
        environment = {
            **os.environ,
            "REVATI_SESSION": folder,
            "LD_PRELOAD": str(library_dir() / "librevati_clock.so"),
        }
        try:
            done = subprocess.run(
                [str(program), *words], env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
        finally:
            subprocess.run([daemon, "stop", "--session", folder], check=True)
            clock.communicate()
    return RELEASES / (float(done.stdout) * 1e-9)


def median_rate(program: Path, words: list[object], options: list[str]) -> float:
    """The middle of three."""
    text = [str(word) for word in words]
    return statistics.median(releases_per_s(program, text, options) for _ in range(REPEATS))


def fifo_is_permitted() -> bool:
    """Whether this user may give processes a real-time priority."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def clock_figures(program: Path) -> list[Figure]:
    """Both schedulers where both can be had.

    Args:
        program: `clock_releases.cpp`, compiled.
    """
    schedulers = [("fair", UNPRIVILEGED_GOAL), *([("fifo", FIFO_GOAL)] if fifo_is_permitted() else [])]
    figures: list[Figure] = []
    for scheduler, goal in schedulers:
        options = ["--scheduler", scheduler]
        for title, words in (
            ("10 sleeping threads", ["sleep", 10, RELEASES]),
            ("two processes and a pipe", ["pipe", 2, RELEASES]),
            ("two threads and a condition", ["condition", 2, RELEASES]),
        ):
            rate = median_rate(program, words, options)
            figures.append(Figure(f"clock, {scheduler}: releases, {title}", rate, "1/s", goal, at_least=True))
        few, many = (1e6 / median_rate(program, ["sleep", 10, RELEASES, idle], options) for idle in (0, 390))
        figures += [
            Figure(f"clock, {scheduler}: a jump, 10 threads", few, "us"),
            Figure(f"clock, {scheduler}: a jump, 390 idle threads beside them", many, "us"),
            Figure(f"clock, {scheduler}: the second to the first", many / few, "x", FLAT_RATIO),
        ]
    return figures
