"""`revati sweep` over an engine that is a stand-in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from revati.errors import UsageError
from revati.sweep.store import Row, Store

SWEEP = """\
name: test
clock: "off"
configuration:
  model: llama-3.1-8b
  gpu: h200-sxm
  program: {program}
  load: {{num_prompts: 30, input_len: 256, output_len: 16}}
price: {{h200-sxm: 3.6}}
"""
FOUR = "vary:\n  tp: [1, 2]\n  load.request_rate: [2, 20]\n"
SIX = "vary:\n  tp: [1, 2]\n  load.request_rate: [2, 20, 40]\n"

RunSweep = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def file(tmp_path: Path, toy_vllm: Path) -> Callable[[str], Path]:
    def write(rest: str) -> Path:
        path = tmp_path / "sweep.yaml"
        path.write_text(SWEEP.format(program=toy_vllm) + rest)
        return path

    return write


def command(file: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-P",
        "-m",
        "revati",
        "sweep",
        str(file),
        "--out",
        str(file.parent / "out"),
        *more,
    ]


def sweep(file: Path, *more: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(file, *more),
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def rows(file: Path) -> list[Row]:
    with Store(file.parent / "out", writing=False) as store:
        return store.rows()


def figures(row: Row) -> dict[str, Any]:
    """What of an outcome does not hang on the machine."""
    assert row.outcome is not None
    outcome = json.loads(json.dumps(row.outcome))
    for key in ("wall_seconds", "startup_wall_seconds"):
        del outcome["result"][key]
    return dict(outcome)


def test_results(file: Callable[[str], Path]) -> None:
    path = file("slo: {ttft_ms: {p99: 25}, goodput: {share: 0.5, ttft_ms: 20}}\n" + SIX)
    done = sweep(path)
    assert done.returncode == 0, done.stderr
    assert "[6/6] tp 2, request_rate 40: done" in done.stderr
    assert "s left" in done.stderr
    found = rows(path)
    assert [row.state for row in found] == ["done"] * 6
    for row in found:
        assert row.outcome is not None
        result = row.outcome["result"]
        cost = row.outcome["cost"]
        assert cost["per_hour"] == 3.6 * row.configuration["tp"]
        assert cost["per_million_output_tokens"] == pytest.approx(
            cost["per_hour"] / 3600 / result["output_throughput"] * 1e6
        )
        first, second = row.outcome["checks"]
        assert (first["objective"], first["limit"]) == ("p99 ttft_ms", 25)
        assert first["value"] == pytest.approx(result["p99_ttft_ms"], rel=0.2)
        assert first["met"] == (first["value"] <= 25)
        assert second["objective"] == "goodput share"
        assert row.outcome["meets_slo"] == (first["met"] and second["met"])
    assert {row.outcome["meets_slo"] for row in found if row.outcome} == {True, False}
    # The same again runs nothing.
    again = sweep(path)
    assert "6 of 6 configurations are known already" in again.stderr
    assert [row.wall_s for row in rows(path)] == [row.wall_s for row in found]


def test_kill_and_go_on(file: Callable[[str], Path], toy_vllm: Path) -> None:
    path = file(FOUR)
    assert sweep(path).returncode == 0
    expected = [figures(row) for row in rows(path)]
    (path.parent / "out" / "sweep.sqlite").unlink()
    process = subprocess.Popen(
        command(path),
        env={**os.environ, "TOY_SLOW": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 900
    known: list[Row] = []
    while not known:
        assert process.poll() is None
        assert time.monotonic() < deadline
        try:
            known = [row for row in rows(path) if row.state == "done"]
        except UsageError:  # not there yet
            known = []
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(
        str(toy_vllm) in " ".join(other.info["cmdline"] or ()) for other in psutil.process_iter(["cmdline"])
    ):
        assert time.monotonic() < deadline, "the killed sweep's server still runs"
        time.sleep(0.1)
    left = rows(path)
    assert {row.state for row in left} == {"done", "waiting"}

    done = sweep(path)
    assert done.returncode == 0, done.stderr
    assert "of 4 configurations are known already" in done.stderr
    after = rows(path)
    assert [figures(row) for row in after] == expected
    kept = {row.id: row.wall_s for row in left if row.state == "done"}
    assert kept == {row.id: row.wall_s for row in after if row.id in kept}


def test_failures_are_rows(file: Callable[[str], Path]) -> None:
    path = file(
        "search: list\nconfigurations:\n  - {model: llama-3.1-70b, gpu: h100}\n  - {server_args: {no-such-flag: true}}\n  - {}\n"
    )
    done = sweep(path)
    assert done.returncode == 0, done.stderr
    large, flag, good = rows(path)
    assert (large.state, flag.state, good.state) == ("failed", "failed", "done")
    assert "the model does not fit" in (large.reason or "")
    assert "unrecognized arguments" in (flag.reason or "")
    assert "failed: the server ended" in done.stderr
    assert "2 of 3" not in sweep(path).stderr
    again = sweep(path, "--retry-failed")
    assert "1 of 3 configurations are known already" in again.stderr
    assert [row.state for row in rows(path)] == ["failed", "failed", "done"]


def test_capacity(file: Callable[[str], Path]) -> None:
    text = (
        "capacity: {low: 1, high: 100, precision: 0.1}\nslo: {ttft_ms: {p99: 60}}\n"
        "search: list\nconfigurations:\n  - {tp: 1}\n  - {tp: 8}\n  - {tp: 1, load: {input_len: 8000}}\n"
        "  - {tp: 1, load: {num_prompts: 1}}\n"
    )
    path = file(text)
    done = sweep(path)
    assert done.returncode == 0, done.stderr
    one, eight, long, single = rows(path)
    for row in (one, eight):
        assert row.outcome is not None
        found = row.outcome["capacity"]
        met = [trial["rate"] for trial in found["trials"] if trial["met"]]
        missed = [trial["rate"] for trial in found["trials"] if not trial["met"]]
        assert found["rate"] == max(met)
        assert min(missed) / max(met) <= 1.1
        assert row.outcome["meets_slo"]
    assert one.outcome
    assert eight.outcome
    assert one.outcome["capacity"]["rate"] < eight.outcome["capacity"]["rate"]
    assert long.outcome
    assert long.outcome["capacity"]["rate"] is None
    assert not long.outcome["meets_slo"]
    assert single.outcome
    assert single.outcome["capacity"]["rate"] == 100
    assert "still meets" in single.outcome["capacity"]["remark"]


def test_two_at_a_time_on_one_folder(file: Callable[[str], Path]) -> None:
    path = file("")
    with Store(path.parent / "out"):
        done = sweep(path)
    assert done.returncode == 2
    assert "another sweep works in" in done.stderr


def test_side_by_side(file: Callable[[str], Path]) -> None:
    path = file(FOUR)
    assert sweep(path, "--jobs", "4").returncode == 0
    assert [row.state for row in rows(path)] == ["done"] * 4


def test_list_runs_nothing(file: Callable[[str], Path]) -> None:
    path = file(SIX)
    done = sweep(path, "--list")
    assert done.stdout.count("request_rate") == 6
    assert not (path.parent / "out").exists()


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no sweep"):
        Store(tmp_path, writing=False)
    (tmp_path / "sweep.sqlite").write_text(
        "this is no database, but a text that is long enough to be read as one"
    )
    with pytest.raises(UsageError, match="is no store of a sweep"):
        Store(tmp_path)


def test_a_store_of_another_version(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.set_fact("version", 0)
    with pytest.raises(UsageError, match="written by another version"):
        Store(tmp_path)


def test_a_worker_that_is_killed(file: Callable[[str], Path], tmp_path: Path) -> None:
    from revati.sweep import expand, schema, worker
    from revati.sweep.trial import Work

    sweep_, document = schema.read(file(""))
    (task,) = expand.tasks(sweep_, document)
    running = worker.Worker(Work(task.configuration, sweep_.slo, None, "off", 100, None), tmp_path / "w")
    running.kill()
    done = running.poll()
    assert done is not None
    assert done.state == "failed"
    assert "its process ended with exit code" in (done.reason or "")


def test_ray_is_optional(file: Callable[[str], Path]) -> None:
    code = "import sys; sys.modules['ray'] = None; from revati.cli import main; main()"
    command_line = [sys.executable, "-P", "-c", code, "sweep", str(file("")), "--ray", "auto"]
    done = subprocess.run(
        command_line, cwd=file("").parent, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 3
    assert "pip install 'revati[sweep]'" in done.stderr


def test_more_than_the_machine_holds(file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from revati.sweep import expand, local, schema

    path = file("")
    sweep_, document = schema.read(path)
    tasks = expand.tasks(sweep_, document)
    monkeypatch.setattr(local, "_REST_BYTES", 1e15)
    told: list[Any] = []
    local.run_all(
        tasks,
        lambda task: pytest.fail("it was started"),
        lambda task: path.parent,
        None,
        lambda task, done: told.append(done),
        lambda phases: None,
    )
    assert told[0].state == "failed"
    assert "this machine cannot hold it" in told[0].reason
