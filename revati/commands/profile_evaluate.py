"""`revati profile evaluate`: errors on ranges that the models have not seen."""

from __future__ import annotations

import json
from pathlib import Path

import click

from revati.predictors import evaluation, training  # type: ignore[attr-defined]


@click.command("evaluate", epilog="Example: revati profile evaluate --gpu h100-sxm --family gemm")
@click.option(
    "--gpu", "gpus", multiple=True, metavar="NAME", help="Only this GPU; may be given several times."
)
@click.option(
    "--family", "families", multiple=True, metavar="NAME", help="Only this family; several are possible."
)
@click.option(
    "--rows",
    type=click.IntRange(100),
    help="At most so many rows of a table, for a quicker and rougher answer.  [default: all]",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all errors there."
)
def command(
    gpus: tuple[str, ...], families: tuple[str, ...], rows: int | None, json_file: Path | None
) -> None:
    """Train again without whole bands of sizes, batches and contexts, and predict them.

    Errors are relative to the measured duration. Every third band is held out at a time. What misses its goal is
    listed at the end, band by band.
    """
    click.echo(
        f"{'gpu':<14} {'model':<28} {'engine':<7} {'held out':<8} {'rows':>6}  median    P90   MAPE   bias"
    )

    def report(result: evaluation.Evaluation) -> None:
        errors = result.errors
        click.echo(
            f"{result.gpu:<14} {result.model:<28} {result.engine or 'any':<7} {result.held_out:<8} {errors.rows:>6}  "
            f"{errors.median:>6.1%} {errors.p90:>6.1%} {errors.mape:>6.1%} {errors.bias:>+6.1%}"
            f"{'' if result.met else '  misses its goal'}"
        )

    results = evaluation.evaluate(
        training.choose_gpus(gpus), training.choose_families(families), report, rows
    )
    lines = evaluation.misses(results)
    click.echo(
        f"\n{len(lines)} misses of the goals (models, then single bands), worst first:"
        if lines
        else "\nAll goals met."
    )
    for line in lines:
        click.echo(f"  {line}")
    if json_file is not None:
        json_file.write_text(
            json.dumps([result.as_json() for result in results], indent=1) + "\n", encoding="utf-8"
        )


def main(arguments: list[str]) -> int:
    """Entry point of `revati profile`."""
    command.main(arguments, prog_name="revati profile evaluate", standalone_mode=False)
    return 0
