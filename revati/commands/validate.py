"""`revati validate`: how far predicted servings are from measured ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from revati.bench.progress import Progress
from revati.launcher import process
from revati.launcher.clock import MODES
from revati.validation import comparison, replay, rows
from revati.validation.comparison import Outcome


@click.command(epilog="Example: revati validate groundtruth.csv --max-gpus 1 --json errors.json")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all results there."
)
@click.option("--max-gpus", type=click.IntRange(1), metavar="N", help="Only rows of at most N GPUs.")
@click.option(
    "--rows",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Only rows whose id holds PATTERN (* and ? stand for anything); several are possible.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(1),
    default=replay.Options.max_requests,
    show_default=True,
    help="Replay at most so many requests of a row that count; the rest of a long steady load would say the same.",
)
@click.option(
    "--engine-version",
    type=click.Choice(["row", "installed"]),
    default="row",
    show_default=True,
    help="Install each row's own release of its engine (gigabytes each), or use the one next to Revati.",
)
@click.option("--clock", type=click.Choice(list(MODES)), default="modelled", show_default=True)
@click.option("--ready-timeout", type=float, default=1800.0, show_default=True, metavar="SECONDS")
@click.option("--fresh", is_flag=True, help="Replay rows again that have a kept result.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/validate"),
    show_default=True,
    help="Where each row's result and logs are kept; started again, it goes on.",
)
def command(
    file: Path,
    json_file: Path | None,
    max_gpus: int | None,
    patterns: tuple[str, ...],
    max_requests: int,
    engine_version: str,
    clock: str,
    ready_timeout: float,
    fresh: bool,
    out: Path,
) -> None:
    """Replay the measured servings of FILE on virtual GPUs and compare TTFT, TPOT and throughput.

    FILE is a table of measured servings, one a row (columns: docs/accuracy.md). Every row is served and loaded by
    `revati bench`. Rows that cannot be replayed, or that this machine cannot hold, are listed with the reason.
    """
    chosen = rows.choose(rows.read(file), patterns, max_gpus)
    options = replay.Options(
        out=out,
        max_requests=max_requests,
        own_version=engine_version == "row",
        clock=clock,
        ready_timeout_s=ready_timeout,
        fresh=fresh,
    )
    process.become_subreaper()
    try:
        with process.signals_as_exceptions(), Progress() as progress:
            outcomes = replay.replay_all(
                chosen,
                options,
                progress,
                lambda outcome: progress.console.print(_line(outcome), highlight=False),
            )
    finally:
        process.end_orphans()
    outcomes.sort(key=lambda outcome: -outcome.worst)
    _print(outcomes, Console())
    if json_file is not None:
        document = {
            "file": str(file),
            **comparison.summarise(outcomes),
            "rows": [outcome.as_json() for outcome in outcomes],
        }
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if any(outcome.status == "failed" for outcome in outcomes):
        raise SystemExit(1)


def _line(outcome: Outcome) -> str:
    errors = ", ".join(f"{metric} {error.relative:+.1%}" for metric, error in outcome.errors.items())
    return f"{outcome.status}: {outcome.row.id}: {errors or outcome.reason}"


def _print(outcomes: Sequence[Outcome], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("row, worst first", overflow="fold")
    for metric in comparison.METRICS:
        table.add_column(f"{metric}\nmeasured", justify="right")
        table.add_column("\npredicted", justify="right")
        table.add_column("\nerror", justify="right")
    table.add_column("engine", justify="right")
    for outcome in outcomes:
        if not outcome.errors:
            continue
        cells: list[str] = []
        for metric in comparison.METRICS:
            error = outcome.errors.get(metric)
            cells += (
                [f"{error.measured:.2f}", f"{error.predicted:.2f}", f"{error.relative:+.1%}"]
                if error
                else ["-", "-", "-"]
            )
        table.add_row(outcome.row.id, *cells, outcome.engine_version or "?")
    if table.row_count:
        console.print(table)
        _print_summary(outcomes, console)
    for status in ("failed", "not replayed"):
        for outcome in outcomes:
            if outcome.status == status:
                console.print(f"{status}: {outcome.row.id}: {outcome.reason}", highlight=False)
    for outcome in outcomes:
        for remark in outcome.remarks:
            console.print(f"note: {outcome.row.id}: {remark}", highlight=False)


def _print_summary(outcomes: Sequence[Outcome], console: Console) -> None:
    statistics = comparison.summarise(outcomes)
    for metric, median in statistics["median_abs_error"].items():
        goal = comparison.GOALS[metric]
        console.print(
            f"{metric}: median error {median:.1%} (goal {goal:.0%}{'' if median <= goal else ', missed'}), "
            f"90th percentile {statistics['p90_abs_error'][metric]:.1%}, bias {statistics['bias'][metric]:+.1%}",
            highlight=False,
        )
