"""Collectives in virtual time: who waits for a slow rank, for how long, and the same in every run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from revati import catalogue
from revati._native import Estimator

FOLDER = Path(__file__).parent
LATE_MS = 500


def started(program: str, gpus: int, *arguments: str, nodes: int = 1) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("revati")), "run", "--gpu", "h200-sxm", "--gpus", str(gpus)]
    command += ["--nodes", str(nodes), "--clock", "modelled", "--"]
    # What vLLM's code costs between its calls says nothing of these programs'.
    variables = {"PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path]), "REVATI_HOST_COSTS": "driver"}
    return subprocess.run(
        [*command, sys.executable, str(FOLDER / "nccl" / "programs" / program), *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def run_ranks(program: str, gpus: int, *arguments: str, nodes: int = 1) -> str:
    done = started(program, gpus, *arguments, nodes=nodes)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_slow_rank() -> str:
    return run_ranks("slow_rank.py", 3, str(LATE_MS / 1000))


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


def test_ranks_on_two_nodes_meet_over_the_network() -> None:
    """Durations are those of the network's formula, to the nanosecond that an event's float can hold."""
    gpu, network = catalogue.get("h200-sxm"), catalogue.get_network("infiniband-ndr")
    estimator = Estimator(gpu.device_conf(2) + network.device_conf(2))
    durations = catalogue.durations_of(gpu)
    assert durations is not None
    estimator.load(str(durations), "vllm")
    size = 2 << 20
    within = estimator.collective("all_reduce", 2, size)[0]
    across = estimator.collective("all_reduce", 4, size, nodes=2)[0]
    message = estimator.collective("send", 2, size, nodes=2)[0]
    printed = [float(word) * 1e6 for word in run_ranks("two_nodes.py", 2, nodes=2).split()]
    gap = float(gpu.values["kernel_gap_ns"])
    events = float(gpu.values["event_record_ns"])
    for measured, expected in zip(printed, (within, across, message), strict=True):
        assert expected <= measured <= expected + gap + 2 * events + 1000, (printed, within, across, message)
    assert across > 2 * within


def test_a_rank_that_dies_ends_the_group_by_name() -> None:
    done = started("slow_rank.py", 3, "crash")
    assert done.returncode == 87, done.stdout + done.stderr
    assert re.search(
        r"process \d+ \(rank 2 of 3 of the group '.*', GPU 2\) was killed or crashed", done.stderr
    )
