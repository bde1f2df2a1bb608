"""`revati calibrate` with a serving and a machine that are made up."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from revati.bench import Benchmark
from revati.bench.progress import Progress
from revati.calibration import calibrate, speed
from revati.calibration.costs import EVENTS, ROLES, HostCosts
from revati.calibration.speed import REFERENCE_NS, Probe, Speed
from revati.commands.calibrate import command

HALF_AS_FAST = {part: 2 * ns for part, ns in REFERENCE_NS.items()}


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def measure(show: Callable[[str], None]) -> Speed:
        show("bytecode")
        return Speed(HALF_AS_FAST, "a slow machine")

    monkeypatch.setattr(speed, "measure", measure)
    monkeypatch.setattr(Probe, "slowdown", lambda _self, _last_s: 1.25)
    monkeypatch.setenv("REVATI_HOST_COSTS", str(tmp_path / "config" / "host.json"))


def serve(stretches: int) -> Callable[[Benchmark, Path, Progress], dict[str, Any]]:
    """A serving in which an engine's step takes 1 ms and a server's wake-up 100 us."""

    def run(benchmark: Benchmark, out: Path, progress: Progress) -> dict[str, Any]:
        assert benchmark.record
        assert benchmark.clock == "modelled"
        progress.show("serving")
        (out / "session").mkdir(parents=True)
        with (out / "session" / "work.9").open("wb") as file:
            for index in range(stretches):
                for role, event, cpu_ns in (
                    ("engine", "sync", 1_000_000),
                    ("server", "wake", 80_000),
                    ("server_io", "wake", 100_000),
                ):
                    counts = [int(name == event) for name in EVENTS]
                    now_ns = index * 10_000_000
                    file.write(
                        struct.pack(
                            "@iiIIqq12I12Q", 9, 9, ROLES.index(role), 0, now_ns, cpu_ns, *counts, *[0] * 12
                        )
                    )
        return {
            "engine": "vllm",
            "engine_version": "1",
            "model": "m",
            "gpu": "g",
            "completed": 3,
            "wall_seconds": 1.0,
        }

    return run


def test_prices_are_written_for_the_reference_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(calibrate, "run", serve(1000))
    done = CliRunner().invoke(command, ["--work", str(tmp_path / "work")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "host factor 0.500" in done.output
    costs = HostCosts.load()
    assert costs.source == str(tmp_path / "config" / "host.json")
    # Measured while the machine ran 1.25 times slower than at its best, and that is half of the reference's speed.
    told = dict(assignment.split("=") for assignment in costs.assignments())
    assert float(told["engine.sync_ns"]) == pytest.approx(400_000, rel=2e-3)
    assert float(told["server_io.wake_ns"]) == pytest.approx(40_000, rel=2e-3)
    assert costs.made["quality"]["engine"]["held_out_total"] == pytest.approx(1, abs=3e-3)


def test_too_short_a_serving_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(calibrate, "run", serve(20))
    done = CliRunner().invoke(command, ["--work", str(tmp_path / "work")])
    assert "--num-prompts" in str(done.exception)
    assert not (tmp_path / "config").exists()


def test_speed_alone_scales_cpu_time_and_keeps_shipped_prices(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["--speed-only", "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["host_factor"] == 0.5
    told = HostCosts.load().assignments()
    assert "cpu_factor=0.500000" in told
    assert set(told[:-1]) == set(HostCosts.shipped().assignments()[:-1])


def test_another_reference_host(tmp_path: Path) -> None:
    there = tmp_path / "there.json"
    there.write_text(json.dumps({"made": {"speed_ns": HALF_AS_FAST}}))
    done = CliRunner().invoke(command, ["--speed-only", "--reference", str(there)], catch_exceptions=False)
    assert "host factor 1.000" in done.output
    # That host is half as fast as the one of the shipped prices.
    shipped, told = HostCosts.shipped().work_ns["engine"], HostCosts.load().work_ns["engine"]
    assert told == {name: pytest.approx(2 * ns) for name, ns in shipped.items()}


def test_a_reference_without_a_speed_is_refused(tmp_path: Path) -> None:
    there = tmp_path / "there.json"
    there.write_text("{}")
    done = CliRunner().invoke(command, ["--speed-only", "--reference", str(there)])
    assert "--speed-only --out FILE" in str(done.exception)


def test_the_measurement_itself_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(speed, "_ROUNDS", 1)
    found = speed.measure()
    assert found.parts_ns.keys() == REFERENCE_NS.keys()
    assert found.factor_to(found.parts_ns) == pytest.approx(1)
    assert found.factor_to({part: ns / 3 for part, ns in found.parts_ns.items()}) == pytest.approx(1 / 3)
