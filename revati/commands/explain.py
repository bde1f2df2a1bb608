"""`revati explain`: where the virtual time of a run went, and how sure that is."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from revati.errors import UsageError
from revati.launcher.session import SOURCES, Session
from revati.tracing import explain, records, steps
from revati.tracing.explain import Totals
from revati.tracing.steps import Step


@click.command(
    epilog="Example: revati bench --model llama-3.1-8b --trace out/t.json.gz --out out/b; revati explain out/b"
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="The tables as JSON.")
@click.option(
    "--all", "everything", is_flag=True, help="The whole run, start-up included, not only the load."
)
def command(folder: Path, as_json: bool, everything: bool) -> None:
    """Show where the virtual GPUs' time went in the run whose `--out` was DIR.

    By kernel family, source of the duration and phase; the ten most uncertain launches; one decode step and one
    prefill step laid out. Phases and steps need a run with --trace.
    """
    session = folder / "session" if (folder / "session").is_dir() else folder
    traces = records.read(session)
    if not traces:
        _without_trace(session, as_json)
        return
    begin_ns, end_ns = (None, None) if everything else _load_window(folder)
    found = [step for trace in traces for step in steps.split(trace, begin_ns, end_ns)]
    totals = explain.total(traces, found, begin_ns, end_ns)
    if not totals.time_ns:
        raise UsageError(f"no GPU work of {folder} lies in the load; try --all.")
    if as_json:
        click.echo(json.dumps(_document(totals, found), indent=1))
        return
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    _print_totals(totals, console)
    _print_phases(found, console)
    _print_uncertain(totals, console)
    for step in _typical(found).values():
        _print_step(step, console)


def _typical(found: Sequence[Step]) -> dict[str, Step]:
    """A decode step and a prefill step; where prompts never come alone, a mixed one stands in."""
    chosen = {
        "decode": explain.typical(found, "decode"),
        "prefill": explain.typical(found, "prefill") or explain.typical(found, "mixed"),
    }
    return {name: step for name, step in chosen.items() if step is not None}


def _load_window(folder: Path) -> tuple[int | None, int | None]:
    """From the first request to the end of the last, in virtual nanoseconds, if a benchmark's client tells."""
    try:
        report = json.loads((folder / "client.json").read_text())
        starts = report["start_times"]
        ends = [
            start + ttft + sum(itls)
            for start, ttft, itls in zip(starts, report["ttfts"], report["itls"], strict=True)
        ]
        return round(1e9 * min(starts)), round(1e9 * max(ends))
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def _without_trace(session: Path, as_json: bool) -> None:
    stats = Session(session).stats()
    if not stats.duration_ns:
        raise UsageError(f"{session} holds neither a trace nor counters; give the --out folder of a run.")
    totals = Totals()
    for (family, source), time_ns in stats.duration_ns.items():
        totals.time_ns["all", family, source] = time_ns
        totals.count["all", family, source] = stats.count[family, source]
    if as_json:
        click.echo(json.dumps(_document(totals, []), indent=1))
        return
    _print_totals(totals, Console(highlight=False))
    click.echo(
        "\nThe whole run, start-up included. Phases, steps and single launches: run it with --trace FILE."
    )


def _document(totals: Totals, found: Sequence[Step]) -> dict[str, Any]:
    return {
        "seconds_by_family_and_source": {
            family: {
                source: seconds
                for source in SOURCES
                if (
                    seconds := sum(
                        time_ns for (_, f, s), time_ns in totals.time_ns.items() if (f, s) == (family, source)
                    )
                    / 1e9
                )
            }
            for family in totals.by(lambda key: key[1])
        },
        "seconds_by_phase": {
            phase: time_ns / 1e9 for phase, time_ns in totals.by(lambda key: key[0]).items()
        },
        "share_by_source": _shares(totals),
        "steps": {
            phase: sum(step.phase == phase for step in found) for phase in ("prefill", "mixed", "decode")
        },
        "most_uncertain": [
            {
                "kernel": entry.price.label,
                "shape": str(entry.price.shape or ""),
                "family": entry.price.family,
                "source": entry.price.source,
                "confidence": entry.price.confidence,
                "count": entry.count,
                "seconds": entry.total_ns / 1e9,
                "expected_error_seconds": entry.doubt_ns / 1e9,
            }
            for entry in totals.uncertain()
        ],
        "typical_steps": {name: _step_document(step) for name, step in _typical(found).items()},
    }


def _step_document(step: Step) -> dict[str, Any]:
    return {
        "phase": step.phase,
        "decoding_sequences": step.lengths[0],
        "other_sequences": step.lengths[1],
        "query_tokens": step.lengths[2],
        "keys": step.lengths[3],
        "seconds": (step.end_ns - step.start_ns) / 1e9,
        "gpu_busy_seconds": step.busy_ns / 1e9,
        "blocks": [
            {
                "times": block.times,
                "launches": [
                    {
                        "kernel": line.price.label,
                        "shape": str(line.price.shape or ""),
                        "family": line.price.family,
                        "source": line.price.source,
                        "confidence": line.price.confidence,
                        "offset_seconds": line.offset_ns / 1e9,
                        "seconds": line.duration_ns / 1e9,
                    }
                    for line in block.lines
                ],
            }
            for block in explain.layout(step)
        ],
    }


def _shares(totals: Totals) -> dict[str, float]:
    total = sum(totals.time_ns.values())
    return {source: time_ns / total for source, time_ns in totals.by(lambda key: key[2]).items()}


def _print_totals(totals: Totals, console: Console) -> None:
    total = sum(totals.time_ns.values())
    table = Table(box=None, pad_edge=False, title="Virtual GPU time, ms", title_justify="left")
    table.add_column("family")
    for source in SOURCES:
        table.add_column(source, justify="right")
    table.add_column("all", justify="right")
    table.add_column("share", justify="right")
    rows = totals.by(lambda key: key[1])
    for family in sorted(rows, key=lambda name: -rows[name]):
        cells = []
        for source in SOURCES:
            time_ns = sum(t for (_, f, s), t in totals.time_ns.items() if (f, s) == (family, source))
            cells.append(f"{time_ns / 1e6:.2f}" if time_ns else "")
        table.add_row(family, *cells, f"{rows[family] / 1e6:.2f}", f"{rows[family] / total:.1%}")
    shares = _shares(totals)
    table.add_row("share", *(f"{shares.get(source, 0):.1%}" for source in SOURCES), f"{total / 1e6:.2f}", "")
    console.print(table)


def _print_phases(found: Sequence[Step], console: Console) -> None:
    table = Table(box=None, pad_edge=False, title="\nEngine steps", title_justify="left")
    for heading in ("phase", "steps", "tokens a step", "ms a step", "GPU busy, ms", "idle inside"):
        table.add_column(heading, justify="left" if heading == "phase" else "right")
    for phase in ("prefill", "mixed", "decode"):
        chosen = [step for step in found if step.phase == phase]
        if not chosen:
            continue
        spans = [step.end_ns - step.start_ns for step in chosen]
        busy = [step.busy_ns for step in chosen]
        table.add_row(
            phase,
            str(len(chosen)),
            f"{statistics.fmean(step.lengths[2] for step in chosen):.1f}",
            f"{statistics.fmean(spans) / 1e6:.3f}",
            f"{statistics.fmean(busy) / 1e6:.3f}",
            f"{1 - sum(busy) / sum(spans):.1%}",
        )
    if table.row_count:
        console.print(table)


def _print_uncertain(totals: Totals, console: Console) -> None:
    table = Table(box=None, pad_edge=False, title="\nMost uncertain launches", title_justify="left")
    for heading in ("kernel and shape", "source", "confidence", "launches", "ms", "expected error, ms"):
        table.add_column(heading, justify="left" if heading in ("kernel and shape", "source") else "right")
    for entry in totals.uncertain():
        table.add_row(
            explain.title(entry.price),
            entry.price.source,
            f"{entry.price.confidence:.2f}",
            str(entry.count),
            f"{entry.total_ns / 1e6:.3f}",
            f"{entry.doubt_ns / 1e6:.3f}",
        )
    console.print(table)


def _print_step(step: Step, console: Console) -> None:
    decoding, others, tokens, keys = step.lengths
    console.print(
        f"\nA {step.phase} step: {decoding} decoding + {others} other sequences, {tokens} query tokens, {keys} keys; "
        f"{(step.end_ns - step.start_ns) / 1e6:.3f} ms, GPU busy {step.busy_ns / 1e6:.3f} ms"
    )
    table = Table(box=None, pad_edge=False)
    for heading in ("at, us", "us", "family", "source", "conf.", "kernel and shape"):
        table.add_column(heading, justify="right" if heading in ("at, us", "us", "conf.") else "left")
    for block in explain.layout(step):
        if block.times > 1:
            table.add_row("", "", "", "", "", f"{block.times} times:")
        for line in block.lines:
            table.add_row(
                f"{line.offset_ns / 1e3:.1f}",
                f"{line.duration_ns / 1e3:.2f}",
                line.price.family,
                line.price.source,
                f"{line.price.confidence:.2f}",
                ("  " if block.times > 1 else "") + explain.title(line.price),
            )
    console.print(table)
