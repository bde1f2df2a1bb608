"""`revati profile train`: from public operator tables to the model files that ship."""

from __future__ import annotations

import time
from pathlib import Path

import click

from revati.predictors import training


@click.command("train", epilog="Example: revati profile train --gpu h100-sxm --out out/models")
@click.option(
    "--gpu", "gpus", multiple=True, metavar="NAME", help="Only this GPU; may be given several times."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("profiles/models"),
    show_default=True,
    help="Where the files go.",
)
def command(gpus: tuple[str, ...], out: Path) -> None:
    """Train the models of every GPU that has tables; needs `pip install revati[train]`.

    The same versions of the tables and of the libraries give the same bytes.
    """
    for gpu in training.choose_gpus(gpus):
        start = time.monotonic()
        path, records = training.train(gpu, out)
        seconds = time.monotonic() - start
        click.echo(f"{path}: {len(records)} models, {path.stat().st_size} bytes, {seconds:.0f} s")


def main(arguments: list[str]) -> int:
    """Entry point of `revati profile`."""
    command.main(arguments, prog_name="revati profile train", standalone_mode=False)
    return 0
