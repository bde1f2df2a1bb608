"""`revati sweep`: many configurations, one answer."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from revati.bench.progress import Progress
from revati.commands.options import out_option
from revati.launcher import process
from revati.sweep import cluster, expand, local, schema
from revati.sweep.expand import Task
from revati.sweep.schema import Sweep
from revati.sweep.store import Row, Store
from revati.sweep.trial import Work
from revati.sweep.worker import Done


@click.command(
    epilog="Example: revati sweep examples/choose_tp/sweep.yaml --out out/tp; revati report out/tp"
)
@click.argument("file", type=click.Path(path_type=Path))
@out_option("Where results are kept; the same sweep goes on there.  [default: out/NAME of the sweep]")
@click.option(
    "--jobs", type=click.IntRange(1), help="Most configurations at a time; default: one for every two CPUs."
)
@click.option(
    "--ray", "address", metavar="ADDRESS", help="Run on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT."
)
@click.option("--retry-failed", is_flag=True, help="Run configurations again that have failed.")
@click.option("--list", "list_only", is_flag=True, help="Show the configurations and run nothing.")
def command(
    file: Path, out: Path | None, jobs: int | None, address: str | None, retry_failed: bool, list_only: bool
) -> None:
    """Run every configuration that FILE describes (docs/sweeps.md), and store each result as it comes.

    A sweep that was killed goes on where it was when it is started again with the same --out. A configuration that fails
    is a row with its reason. `revati report DIR` makes plots and tables of the results.
    """
    sweep, document = schema.read(file)
    tasks = expand.tasks(sweep, document)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if list_only:
        for task in tasks:
            console.print(f"{task.id}  {task.label}", highlight=False)
        return
    out = out or Path("out") / sweep.name
    process.become_subreaper()
    try:
        with process.signals_as_exceptions(), Store(out) as store, Progress() as progress:
            store.plan(tasks, retry_failed)
            store.set_fact("sweep", sweep.model_dump(mode="json"))
            _Run(sweep, store, progress, jobs, address).go(tasks)
            rows = store.rows()
    finally:
        process.end_orphans()
    print_table(rows, sweep.currency, console)
    click.echo(str(out))


class _Run:
    """One go at a sweep."""

    def __init__(
        self, sweep: Sweep, store: Store, progress: Progress, jobs: int | None, address: str | None
    ) -> None:
        self._sweep, self._store, self._progress = sweep, store, progress
        self._jobs, self._address = jobs, address
        self._began = time.monotonic()
        self._ended = 0
        self._left = 0
        self._known = 0

    def go(self, tasks: Sequence[Task]) -> None:
        states = {row.id: row.state for row in self._store.rows()}
        waiting = [task for task in tasks if states[task.id] == "waiting"]
        self._left, self._known = len(waiting), len(tasks) - len(waiting)
        if self._known:
            self._progress.console.print(f"{self._known} of {len(tasks)} configurations are known already")
        if not waiting:
            return
        if self._address is not None:
            cluster.run_all(waiting, self._work, self._folder, self._address, self._done, self._poll)
        else:
            local.run_all(waiting, self._work, self._folder, self._jobs, self._done, self._poll)

    def _work(self, task: Task) -> Work:
        prices = self._sweep.price
        name = task.configuration.gpu
        price = prices.get(name, prices.get(Path(name).name))
        return Work(
            task.configuration,
            self._sweep.slo,
            self._sweep.capacity,
            self._sweep.clock,
            self._sweep.ready_timeout_s,
            price,
        )

    def _folder(self, task: Task) -> Path:
        return self._store.folder / task.id

    def _done(self, task: Task, done: Done) -> None:
        self._store.finish(task.id, done.state, done.reason, done.wall_s, done.outcome)
        self._ended += 1
        self._left -= 1
        total = self._known + self._ended + self._left
        what = "done" if done.state == "done" else f"failed: {_in_short(done.reason)}"
        self._progress.console.print(
            f"[{self._known + self._ended}/{total}] {task.label}: {what} ({done.wall_s:.0f} s){self._time_left()}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )

    def _time_left(self) -> str:
        if not self._left:
            return ""
        seconds = (time.monotonic() - self._began) / self._ended * self._left
        return f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"

    def _poll(self, phases: Sequence[str]) -> None:
        if self._progress.is_live:
            left = self._time_left() if self._ended else ""
            self._progress.show(f"{self._left} to go{left}", "; ".join(phases))


def print_table(rows: Sequence[Row], currency: str, console: Console) -> None:
    """One line for each configuration."""
    table = Table(box=None, pad_edge=False)
    for heading in ("configuration", "p99 TTFT ms", "median TPOT ms", "tokens/s", "tokens/s/GPU"):
        table.add_column(heading, justify="left" if heading == "configuration" else "right", overflow="fold")
    more = list(dict.fromkeys(name for row in rows for name, _ in _more(row, currency)))
    for heading in more:
        table.add_column(heading, justify="right")
    for row in rows:
        if row.state != "done" or row.outcome is None:
            table.add_row(row.label, row.state)
            continue
        result = row.outcome["result"]
        throughput = result["output_throughput"]
        table.add_row(
            row.label,
            f"{result['p99_ttft_ms']:.1f}",
            f"{result['median_tpot_ms']:.2f}",
            f"{throughput:.0f}",
            f"{throughput / result['gpus']:.0f}",
            *(dict(_more(row, currency)).get(heading, "") for heading in more),
        )
    console.print(table)
    for row in rows:
        if row.state == "failed":
            said = f"{row.label} failed: {_in_short(row.reason)}"
            console.print(said, style="red", markup=False, highlight=False, soft_wrap=True)


def _in_short(reason: str | None) -> str:
    """What happened, and the last that was said about it; all of it is in the report."""
    lines = [line.strip() for line in (reason or "").splitlines() if line.strip()]
    if len(lines) < 2:
        return lines[0] if lines else "no reason is known"
    return f"{lines[0].partition(';')[0]}: {lines[-1]}"


def _more(row: Row, currency: str) -> Iterator[tuple[str, str]]:
    """Columns that only some sweeps have."""
    outcome: dict[str, Any] = row.outcome or {}
    with contextlib.suppress(KeyError, TypeError):
        yield f"{currency}/M tokens", f"{outcome['cost']['per_million_output_tokens']:.2f}"
    if outcome.get("meets_slo") is not None:
        yield "meets the SLO", "yes" if outcome["meets_slo"] else "no"
    if "capacity" in outcome:
        rate = outcome["capacity"]["rate"]
        yield "highest rate", "none" if rate is None else f"{rate:.3g}/s"
