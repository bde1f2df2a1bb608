"""A message sent 1 us before a deadline is there at the deadline, and not before it was sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from clock_session import SCHEDULERS, run_virtually

TRANSPORTS = ["pipe", "unix", "tcp", "futex", "semaphore"]
COUNT = 10_000


@pytest.mark.parametrize(
    ("manner", "transport"),
    [("look", t) for t in [*TRANSPORTS, "flag"]] + [("block", t) for t in TRANSPORTS],
)
@pytest.mark.parametrize("scheduling", [*SCHEDULERS, ["--parallel", "--scheduler", "fair"]], ids=" ".join)
def test_no_violation(
    compiled: Callable[[str], Path], manner: str, transport: str, scheduling: list[str]
) -> None:
    out = run_virtually([compiled("causality"), manner, transport, str(COUNT)], *scheduling)
    assert out == f"{manner} {transport} count {COUNT} missing 0 early 0\n"
