"""Prices of host work: the file, and what the clock is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from revati.calibration.costs import HostCosts, config_file
from revati.errors import UsageError

DOCUMENT: dict[str, Any] = {
    "format": 1,
    "made": {"machine": "a test"},
    "host_factor": 0.5,
    "driver_ns": {"launch": 2500},
    "work": {"engine": {"sync_ns": 400_000, "send_kib_ns": 30}, "server": {"wake_ns": 0.4}},
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "host.json"
    path.write_text(json.dumps({**DOCUMENT, **changes}))
    return path


def test_the_clock_is_told_nanoseconds_of_the_reference_host(tmp_path: Path) -> None:
    costs = HostCosts.read(write(tmp_path), "test")
    assert costs.assignments() == [
        "driver.launch_ns=2500",
        "engine.sync_ns=200000",
        "engine.send_kib_ns=15",
        "cpu_factor=0.500000",
    ]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    costs = HostCosts.read(write(tmp_path), "test")
    again = tmp_path / "folder" / "again.json"
    costs.write(again)
    assert HostCosts.read(again, "test") == costs


def test_a_digest_names_the_figures_and_nothing_else(tmp_path: Path) -> None:
    costs = HostCosts.read(write(tmp_path), "one")
    assert HostCosts.read(write(tmp_path, made={"machine": "another"}), "two").digest() == costs.digest()
    assert HostCosts.read(write(tmp_path, host_factor=0.6), "one").digest() != costs.digest()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": 9}, "its format is 9"),
        ({"host_factor": 0}, "host factor is 0"),
        ({"driver_ns": {"wake": 1}}, "no price 'wake'"),
        ({"work": {"engine": {"sync_ns": -1}}}, "sync_ns is -1"),
        ({"work": {"engine": {"sync": 1}}}, "no price 'sync'"),
        ({"work": 3}, "cannot be used"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(UsageError, match=complaint) as caught:
        HostCosts.read(path, str(path))
    assert "revati calibrate" in str(caught.value)


def test_the_users_own_file_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REVATI_HOST_COSTS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert HostCosts.load().source == "shipped"
    HostCosts.read(write(tmp_path), "test").write(config_file())
    assert HostCosts.load().source == str(tmp_path / "revati" / "host.json")
    assert HostCosts.load().host_factor == 0.5


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVATI_HOST_COSTS", str(tmp_path / "missing.json"))
    with pytest.raises(UsageError, match="missing"):
        HostCosts.load()


def test_shipped_prices_say_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = HostCosts.shipped()
    assert costs.host_factor == 1.0
    assert costs.made["machine"]
    assert costs.work_ns["engine"]
    assert costs.work_ns["server"]
    monkeypatch.setenv("REVATI_HOST_COSTS", "driver")
    assert not any(HostCosts.load().work_ns.values())
    assert HostCosts.load().driver_ns == costs.driver_ns
