"""`revati profile list`: the files of models and measured points that there are."""

from __future__ import annotations

import json

import click

from revati.predictors import model_file, store  # type: ignore[attr-defined]


@click.command("list", epilog="Example: revati profile list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def command(as_json: bool) -> None:
    """List the files of trained models and measured points, those that come first in a look-up first."""
    rows = []
    for path in store.files():
        records = model_file.read(path)
        points = sum(len(record.seconds) for record in records if isinstance(record, model_file.Points))
        models = sum(isinstance(record, model_file.TrainedModel) for record in records)
        rows.append(
            {
                "gpu": path.stem,
                "models": models,
                "points": points,
                "bytes": path.stat().st_size,
                "path": str(path),
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(
            f"{row['gpu']:<16} {row['models']:>3} models {row['points']:>8} points {row['bytes']:>9} bytes  {row['path']}"
        )


def main(arguments: list[str]) -> int:
    """Entry point of `revati profile`."""
    command.main(arguments, prog_name="revati profile list", standalone_mode=False)
    return 0
