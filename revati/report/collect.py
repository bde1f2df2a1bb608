"""What a report is about: the runs of a sweep, or single benchmarks, with all their requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revati.bench import BenchResult, Request, requests
from revati.errors import UsageError
from revati.sweep.schema import Slo
from revati.sweep.store import Row, Store, is_sweep


@dataclass(frozen=True)
class Run:
    """One configuration that was measured.

    Attributes:
        label: What sets it apart.
        values: Its `result.json`.
        requests: One by one.
        checks: Each objective with its limit and value.
        meets_slo: All of them; None without any.
        cost: What it costs, where the sweep has a price.
        capacity: How the highest rate was found, if it was searched.
    """

    label: str
    values: dict[str, Any]
    requests: tuple[Request, ...] = field(repr=False)
    checks: list[dict[str, Any]]
    meets_slo: bool | None
    cost: dict[str, float] | None
    capacity: dict[str, Any] | None

    @property
    def throughput_per_gpu(self) -> float | None:
        """Output tokens per second and GPU."""
        throughput: float | None = self.values.get("output_throughput")
        return None if throughput is None else throughput / self.values["gpus"]

    @property
    def metrics_known(self) -> bool:
        """Whether its client told of every request."""
        return bool(self.requests)


@dataclass(frozen=True)
class Subject:
    """All that a report is about."""

    title: str
    runs: list[Run]
    failed: list[tuple[str, str]]  # label and reason
    slo: Slo
    currency: str


def collect(folders: Sequence[Path]) -> Subject:
    """Reads a sweep's folder, or those of benchmarks.

    Raises:
        UsageError: A folder is neither, or a sweep is to be mixed with others.
    """
    sweeps = [folder for folder in folders if is_sweep(folder)]
    if sweeps and len(folders) > 1:
        raise UsageError(f"{sweeps[0]} is a sweep; a report is about one sweep, or about several benchmarks.")
    if sweeps:
        return _sweep(sweeps[0])
    runs = [_benchmark(folder, several=len(folders) > 1) for folder in folders]
    title = runs[0].label if len(runs) == 1 else f"{len(runs)} benchmarks"
    return Subject(title, runs, [], Slo(), "$")


def _benchmark(folder: Path, several: bool) -> Run:
    if not (folder / "result.json").is_file():
        raise UsageError(
            f"{folder} holds neither a sweep nor a benchmark; make one with `revati sweep` or `revati bench --out`."
        )
    result = BenchResult.read(folder)
    title = f"{result.model} on {result.gpus} x {result.gpu}"
    label = f"{folder.name}: {title}" if several else title
    return Run(label, dict(result.values), result.requests, [], None, None, None)


def _sweep(folder: Path) -> Subject:
    with Store(folder, writing=False) as store:
        rows, described = store.rows(), store.fact("sweep")
    runs = [_of_row(folder, row) for row in rows if row.state == "done"]
    failed = [(row.label, row.reason or "no reason is known") for row in rows if row.state == "failed"]
    waiting = [(row.label, "has not run yet") for row in rows if row.state == "waiting"]
    if not runs:
        raise UsageError(f"no configuration of the sweep in {folder} has been measured yet.")
    slo = Slo.model_validate(described["slo"])
    return Subject(f"Sweep {described['name']}", runs, failed + waiting, slo, described["currency"])


def _of_row(folder: Path, row: Row) -> Run:
    outcome = row.outcome
    assert outcome is not None
    return Run(
        row.label,
        outcome["result"],
        requests.read(folder / row.id),
        outcome["checks"],
        outcome["meets_slo"],
        outcome["cost"],
        outcome.get("capacity"),
    )


def write_json(content: Any, path: Path) -> None:
    """For other programs."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
