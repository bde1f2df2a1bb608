"""Replays rows one after the other, each through `revati bench` with the virtual clock, and keeps every result."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from revati import bench, models
from revati.bench.engine import Load
from revati.bench.progress import Progress
from revati.errors import RevatiError
from revati.validation import comparison, figures, prompts, versions
from revati.validation.comparison import Outcome
from revati.validation.rows import Row
from revati.validation.workload import UnplayableError, Workload, plan

# Raise it when replays change, so that kept results are made anew.
_FORMAT = 1
# Memory of one worker and of the server and client around them, as `make bench` measures it.
_RANK_BYTES = 1.6e9
_REST_BYTES = 4e9
_SATURATION_WAVES = 5


@dataclass(frozen=True)
class Options:
    """How rows are replayed.

    Attributes:
        out: Where each row's result is kept.
        max_requests: Most requests that count of a row; rows measured with fewer replay all.
        own_version: Whether to install the row's own release of its engine.
        clock: As for `revati bench`.
        ready_timeout_s: As for `revati bench`.
        fresh: Whether to replay rows that have a result.
    """

    out: Path
    max_requests: int = 300
    own_version: bool = True
    clock: str = "modelled"
    ready_timeout_s: float = 1800.0
    fresh: bool = False


class _RowProgress(Progress):
    """The bench's phases, prefixed by which row it is and how long the rest will take."""

    def __init__(self, outer: Progress, prefix: str) -> None:
        super().__init__(outer.console)
        self._outer, self._prefix = outer, prefix

    def show(self, phase: str, detail: str = "") -> None:
        self._outer.show(f"{self._prefix}: {phase}", detail)


def replay_all(
    rows: Sequence[Row], options: Options, progress: Progress, done: Callable[[Outcome], None]
) -> list[Outcome]:
    """Replays `rows`; those with a kept result are not run again. `done` is told of each as it is known."""
    outcomes: list[Outcome] = []
    playable: list[tuple[Workload, Path]] = []
    for row in rows:
        try:
            workload = plan(row)
            _check_machine(workload)
        except UnplayableError as reason:
            outcomes.append(Outcome(row, "not replayed", str(reason)))
            done(outcomes[-1])
            continue
        folder = options.out / _folder_name(row)
        kept = None if options.fresh else _load(row, folder, options)
        if kept is None:
            playable.append((workload, folder))
        else:
            outcomes.append(kept)
            done(kept)
    walls: list[float] = []
    for index, (workload, folder) in enumerate(playable):
        left = ""
        if walls:
            left = f", about {sum(walls) / len(walls) * (len(playable) - index) / 60:.0f} min left"
        prefix = f"row {index + 1} of {len(playable)}{left}"
        began = time.monotonic()
        outcomes.append(_replay(workload, folder, options, _RowProgress(progress, prefix)))
        walls.append(time.monotonic() - began)
        done(outcomes[-1])
    return outcomes


def _check_machine(workload: Workload) -> None:
    needed = _REST_BYTES + workload.gpus * _RANK_BYTES
    available = psutil.virtual_memory().available
    if needed > available:
        raise UnplayableError(
            f"this machine cannot hold it: {workload.gpus} workers and the server need about "
            f"{needed / 1e9:.0f} GB of memory, {available / 1e9:.0f} GB are free"
        )


def _replay(workload: Workload, folder: Path, options: Options, progress: Progress) -> Outcome:
    row = workload.row
    remarks = list(workload.remarks)
    folder.mkdir(parents=True, exist_ok=True)
    engine = bench.ENGINES[row.text("engine")]()
    program = None
    if options.own_version and row.engine_version not in (None, versions.installed(engine.name)):
        assert row.engine_version is not None
        try:
            bin_folder = versions.environment(engine.name, row.engine_version, progress.show)
            program = bin_folder / engine.executable
        except versions.NoSuchEnvironmentError as reason:
            remarks.append(f"replayed with the installed release: {reason}")
    try:
        model_folder = models.resolve(workload.model)
        warm_up, requests = _requests(workload, options)
        client_args: list[str] = []
        if workload.prompts.distinct:
            client_args = prompts.write(model_folder, workload.prompts, warm_up + requests, folder.absolute())
            client_args.append("--disable-shuffle")
        arrivals = workload.arrivals
        if arrivals.rate is not None and not arrivals.poisson:
            client_args += ["--burstiness", "inf"]
        answer = bench.run(
            bench.Benchmark(
                engine=engine,
                model=workload.model,
                load=Load(
                    num_prompts=warm_up + requests,
                    input_len=workload.prompts.input_len,
                    output_len=workload.prompts.output_len,
                    request_rate=arrivals.rate,
                    max_concurrency=arrivals.concurrency,
                ),
                gpu=workload.gpu,
                gpus=workload.gpus,
                tp=row.count("tp", workload.gpus),
                server_args=workload.server_args,
                client_args=tuple(client_args),
                ready_timeout_s=options.ready_timeout_s,
                clock=options.clock,
                program=program,
            ),
            folder,
            progress,
        )
        report = json.loads((folder / "client.json").read_text())
        found = figures.of_report(report, workload, warm_up)
    except RevatiError as error:
        return Outcome(row, "failed", str(error), remarks=remarks)
    if workload.measured_requests and requests < workload.measured_requests:
        remarks.append(f"{found.requests} requests counted of {workload.measured_requests} measured")
    outcome = Outcome(
        row,
        "replayed",
        engine_version=answer["engine_version"],
        remarks=remarks,
        errors=comparison.compare(row, found.values),
        details={
            "predicted": found.values,
            "requests": found.requests,
            "duration_sources": answer["duration_sources"],
            "virtual_seconds": answer["virtual_seconds"],
            "wall_seconds": answer["wall_seconds"],
        },
    )
    _save(outcome, folder, options)
    return outcome


def _requests(workload: Workload, options: Options) -> tuple[int, int]:
    """How many requests to send before those that count, and how many that count."""
    arrivals = workload.arrivals
    most = options.max_requests
    if arrivals.concurrency is not None:
        most = min(most, max(_SATURATION_WAVES * arrivals.concurrency, 2 * arrivals.concurrency))
    counted = min(most, workload.measured_requests or most)
    shortened = workload.measured_requests is not None and counted < workload.measured_requests
    # Prompts that come again were mostly sent before: the first round of them fills the prefix cache.
    return (workload.prompts.distinct if shortened else 0), counted


def _key(row: Row, options: Options) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "row": row.digest,
        "max_requests": options.max_requests,
        "own_version": options.own_version,
        "clock": options.clock,
        "revati": versions.installed("revati"),
    }


def _folder_name(row: Row) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", row.id)[-100:]


def _save(outcome: Outcome, folder: Path, options: Options) -> None:
    document = {"key": _key(outcome.row, options), "outcome": outcome.as_json()}
    temporary = folder / "outcome.tmp"
    temporary.write_text(json.dumps(document, indent=1) + "\n")
    temporary.replace(folder / "outcome.json")


def _load(row: Row, folder: Path, options: Options) -> Outcome | None:
    try:
        document = json.loads((folder / "outcome.json").read_text())
        if document["key"] != _key(row, options):
            return None
        kept = document["outcome"]
        return Outcome(
            row,
            kept["status"],
            kept["reason"],
            kept["engine_version"]["replayed"],
            kept["remarks"],
            comparison.compare(row, kept["predicted"]),
            {
                key: kept[key]
                for key in (
                    "predicted",
                    "requests",
                    "duration_sources",
                    "virtual_seconds",
                    "wall_seconds",
                )
            },
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
