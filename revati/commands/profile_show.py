"""`revati profile show`: what one file knows, in which range, and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from revati import catalogue
from revati.errors import UsageError
from revati.predictors import model_file, store  # type: ignore[attr-defined]
from revati.predictors.kinds import INPUTS


@click.command("show", epilog="Example: revati profile show h100-sxm")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def command(name: str, as_json: bool) -> None:
    """Show the models and points of NAME: a GPU of the catalogue, or a model file."""
    paths = [Path(name)] if name.endswith(".rvm") else store.files(catalogue.get(name).name)
    if not paths:
        raise UsageError(f"no models for {name}; `revati profile list` shows what there is")
    documents = [
        {"path": str(path), "records": [_describe(record) for record in model_file.read(path)]}
        for path in paths
    ]
    if as_json:
        click.echo(json.dumps(documents, indent=2))
        return
    for document in documents:
        click.echo(document["path"])
        for record in document["records"]:
            assert isinstance(record, dict)
            click.echo(f"  {record['name']} {record['engine'] or 'any engine'}: {record['content']}")
            for key in ("selectors", "range", "notes"):
                if record[key]:
                    click.echo(f"    {key}: " + ", ".join(f"{a} {b}" for a, b in record[key].items()))


def _describe(record: model_file.Record) -> dict[str, object]:
    header, inputs = record.header, INPUTS[record.header.kind]

    def spans(intervals: tuple[model_file.Interval, ...]) -> dict[str, str]:
        return {
            inputs[span.index]: f"{span.low:g}..{span.high:g}"
            for span in intervals
            if span.index < len(inputs)
        }

    if isinstance(record, model_file.Points):
        content, limits = f"{len(record.seconds)} measured points", {}
    else:
        content = f"{len(record.roots)} trees, {len(record.nodes)} nodes, answers {record.reach:g} octaves beyond its range"
        limits = spans(record.limits)
    return {
        "name": header.name,
        "engine": header.engine,
        "kind": header.kind.name.lower(),
        "content": content,
        "confidence": [round(header.confidence_inside, 3), round(header.confidence_outside, 3)],
        "selectors": spans(header.selectors),
        "range": limits,
        "notes": dict(header.notes),
    }


def main(arguments: list[str]) -> int:
    """Entry point of `revati profile`."""
    command.main(arguments, prog_name="revati profile show", standalone_mode=False)
    return 0
