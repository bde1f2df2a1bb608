"""The figures of `revati top`."""

from __future__ import annotations

from typing import Any

import pytest

from revati.errors import ClockError
from revati.launcher.clock import ClockControl
from revati.launcher.meter import Look, Meter, Speed


def status(**changes: Any) -> dict[str, Any]:
    """As `revati-clockd status` prints it."""
    plain = {"armed": True, "virtual_s": 10.0, "real_s": 100.0, "jumps": 0, "releases": 0, "gpu_waits": 0}
    return {**plain, "clients": 1, "threads": 7, "hold": 0, **changes}


def thread(tid: int, waits: int) -> dict[str, Any]:
    return {"pid": 999999999, "tid": tid, "waits": waits}


def test_rates_are_per_real_second() -> None:
    before = Look(status())
    after = Look(status(virtual_s=26.0, real_s=102.0, jumps=1000, releases=3000, gpu_waits=1500))
    speed = Speed.between(before, after)
    assert speed.speed == pytest.approx(8)
    assert speed.jumps_per_s == pytest.approx(500)
    assert speed.releases_per_s == pytest.approx(1500)
    assert speed.releases_per_gpu_wait == pytest.approx(2)
    assert speed.line() == "virtual 26.000 s, 8.0x, 500 jumps/s"


def test_the_same_moment_twice() -> None:
    speed = Speed.between(Look(status()), Look(status()))
    assert speed.speed == 0
    assert speed.releases_per_gpu_wait is None


def test_time_that_stands_still_says_so() -> None:
    assert "standing still" in Speed.between(Look(status()), Look(status(clients=0))).line()
    assert Speed.between(Look(status()), Look(status(hold=1))).held
    assert "real time" in Speed.between(Look(status()), Look(status(armed=False, clients=0))).line()


def test_the_busiest_threads_come_first() -> None:
    before = Look(status(), [thread(1, 5), thread(2, 2**32 - 1), thread(3, 8)])
    after = Look(status(real_s=101.0), [thread(1, 6), thread(2, 9), thread(3, 8), thread(4, 999)])
    # The second counter went round; the third did nothing, and nobody knows since when the fourth has lived.
    assert Speed.between(before, after).busiest == (("999999999/2", 10), ("999999999/1", 1))


class FakeClock(ClockControl):
    """Answers from a list; at its end the clock is gone."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self._answers = answers

    def status(self) -> dict[str, Any]:
        if not self._answers:
            raise ClockError("gone")
        return self._answers.pop(0)

    def threads(self) -> list[dict[str, Any]]:
        return []


def test_a_meter_looks_once_a_second_and_outlives_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("revati.launcher.meter.time.monotonic", lambda: now[0])
    meter = Meter(FakeClock([status(), status(virtual_s=12.0, real_s=101.0, jumps=50)]))
    assert meter.line() == ""
    now[0] += 0.5
    assert meter.line() == ""
    now[0] += 0.5
    assert meter.line() == "virtual 12.000 s, 2.0x, 50 jumps/s"
    now[0] += 5
    assert meter.line() == "virtual 12.000 s, 2.0x, 50 jumps/s"
