"""Prices from recorded stretches of work."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from revati.calibration import fit, record
from revati.calibration.costs import EVENTS, ROLES
from revati.calibration.record import Stretch

SYNC, WAKE, RECEIVE, SEND = (EVENTS.index(name) for name in ("sync", "wake", "receive", "send"))


def stretch(role: str, cpu_ns: float, counts: dict[int, int], carried: dict[int, int]) -> Stretch:
    events = tuple(counts.get(i, 0) for i in range(len(EVENTS)))
    data = tuple(carried.get(i, 0) for i in range(len(EVENTS)))
    return Stretch(1, 1, role, 0, round(cpu_ns), events, data)


def servers(count: int, noise_ns: float = 0.0) -> list[Stretch]:
    """Stretches of a server: 50 us a wake-up, 20 us a send, 200 us for each KiB received; a receive itself is free."""
    rng = random.Random(7)
    made = []
    for _ in range(count):
        sends, received = rng.randrange(6), rng.choice([0, 0, 512, 3072])
        cpu_ns = 50_000 + 20_000 * sends + 200_000 * received / 1024 + rng.uniform(-noise_ns, noise_ns)
        counts = {WAKE: 1, SEND: sends, RECEIVE: int(received > 0)}
        made.append(stretch("server", cpu_ns, counts, {RECEIVE: received}))
    return made


def test_prices_are_found_again() -> None:
    found = fit.fit(servers(400))["server"]
    assert found.prices_ns["wake_ns"] == pytest.approx(50_000, rel=1e-2)
    assert found.prices_ns["send_ns"] == pytest.approx(20_000, rel=1e-2)
    assert found.prices_ns["receive_kib_ns"] == pytest.approx(200_000, rel=1e-2)
    assert found.prices_ns.get("receive_ns", 0) < 2_000
    assert found.explained == pytest.approx(1, abs=1e-4)
    assert found.total == pytest.approx(1, abs=1e-3)


def test_noise_makes_no_price_negative() -> None:
    found = fit.fit(servers(2000, noise_ns=40_000))["server"]
    assert min(found.prices_ns.values()) >= 0
    assert found.prices_ns["wake_ns"] == pytest.approx(50_000, rel=0.1)


def test_roles_are_fitted_apart_and_only_where_there_is_enough() -> None:
    engine = [stretch("engine", 900_000, {SYNC: 1}, {}) for _ in range(300)]
    few = [stretch("client", 5_000, {WAKE: 1}, {}) for _ in range(10)]
    fits = fit.fit([*servers(400), *engine, *few])
    assert fits.keys() == {"engine", "server"}
    assert fits["engine"].prices_ns == {"sync_ns": pytest.approx(900_000, rel=2e-3)}


def test_a_check_compares_sums() -> None:
    ratios = fit.check(
        servers(100), {"server": {"wake_ns": 50_000, "send_ns": 20_000, "receive_kib_ns": 100_000}}
    )
    assert 0.5 < ratios["server"] < 0.9


def pack(pid: int, role: str, cpu_ns: int, events: Sequence[int], carried: Sequence[int]) -> bytes:
    """As native/clock/host_work.cpp writes it on x86-64."""
    return struct.pack("@iiIIqq12I12Q", pid, 5, ROLES.index(role), 0, 777, cpu_ns, *events, *carried)


def test_records_are_read_and_half_ones_left_out(tmp_path: Path) -> None:
    one = pack(42, "engine", 1234, range(12), range(100, 112))
    (tmp_path / "work.42").write_bytes(one + one[:40])
    assert list(record.read(tmp_path)) == [
        Stretch(42, 5, "engine", 777, 1234, tuple(range(12)), tuple(range(100, 112)))
    ]
