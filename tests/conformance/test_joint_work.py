"""Collectives in virtual time: who waits for a slow rank, for how long, and the same in every run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
LATE_MS = 500


def run_slow_rank() -> str:
    command = [str(Path(sys.executable).with_name("revati")), "run", "--gpu", "h200-sxm", "--gpus", "3"]
    command += [
        "--clock",
        "modelled",
        "--",
        sys.executable,
        str(FOLDER / "nccl" / "programs" / "slow_rank.py"),
    ]
    # What vLLM's code costs between its calls says nothing of this program's.
    variables = {"PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path]), "REVATI_HOST_COSTS": "driver"}
    environment = os.environ | variables
    done = subprocess.run(
        [*command, str(LATE_MS / 1000)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_slow_rank_delays_what_waits_for_it_and_nothing_else() -> None:
    printed = run_slow_rank()
    rows = [line.split() for line in printed.splitlines()]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    done_ms = [[float.fromhex(value) for value in row[1:4]] for row in rows]
    submitted_ms = [int(row[4]) * 1e-6 for row in rows]
    for pair_first, everybody, pair_again in done_ms[:2]:
        assert 0.005 < pair_first < 0.5
        assert LATE_MS < everybody < LATE_MS + 0.5
        assert everybody < pair_again < everybody + 0.5
    # The slow rank waits for nobody, and the host of a rank that is early does not wait either.
    assert LATE_MS < done_ms[2][1] < LATE_MS + 0.5
    assert max(submitted_ms[:2]) < 0.5
    assert run_slow_rank() == printed
