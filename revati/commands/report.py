"""`revati report`: one HTML file about a sweep or benchmarks."""

from __future__ import annotations

from pathlib import Path

import click

from revati import __version__
from revati.commands.options import out_option
from revati.errors import UnsupportedError

_FIRST_MS = 500.0
_BETWEEN_MS = 50.0


@click.command(
    epilog="Example: revati report out/first-sweep; revati report out/tp1 out/tp2 --out out/compared"
)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@out_option("Where report.html, report.json and the CSV files go.  [default: DIR/report]")
@click.option(
    "--ttft-ms",
    type=click.FloatRange(0, min_open=True),
    help="Deadline of the first token, for the fluidity index.  [default: the SLO's, else 500]",
)
@click.option(
    "--itl-ms",
    type=click.FloatRange(0, min_open=True),
    help="Deadline of every other token after the one before.  [default: the SLO's, else 50]",
)
def command(folders: tuple[Path, ...], out: Path | None, ttft_ms: float | None, itl_ms: float | None) -> None:
    """Plots and tables of DIR: a folder of `revati sweep`, or folders of `revati bench`.

    One HTML file that needs no network, and the same numbers as CSV and JSON.
    """
    try:
        from revati.report import collect, numbers, page  # noqa: PLC0415 (optional packages)
    except ImportError as error:
        raise UnsupportedError(
            f"`revati report` needs {error.name}; install it with: pip install 'revati[report]'."
        ) from None
    subject = collect.collect(folders)
    limits = numbers.limits_of(subject)
    deadlines = numbers.Deadlines(
        (ttft_ms or (limits and limits.ttft_ms) or _FIRST_MS) / 1e3,
        (itl_ms or (limits and limits.tpot_ms) or _BETWEEN_MS) / 1e3,
    )
    click.echo(str(page.write(subject, deadlines, out or folders[0] / "report", __version__)))
