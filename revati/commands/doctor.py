"""`revati doctor`: what is missing, and how to get it."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from revati.launcher.host import Level, examine

_STYLES = {Level.OK: "green", Level.NOTE: "yellow", Level.PROBLEM: "red"}


@click.command(epilog="Example: revati doctor --python /path/to/venv/bin/python")
@click.option(
    "--python",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The serving framework's Python; default: the one that runs Revati.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def command(python: Path | None, as_json: bool) -> None:
    """Say what this machine lacks, and how to get it. Exits with 1 if something will not work."""
    findings = examine(os.environ, python.absolute() if python else None)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in findings:
            style = _STYLES[finding.level]
            table.add_row(finding.name, f"[{style}]{finding.level}[/{style}]", finding.found)
            if finding.advice:
                table.add_row("", "", f"[{style}]{finding.advice}[/{style}]")
        Console(width=None if sys.stdout.isatty() else 160).print(table)
    sys.exit(any(finding.level is Level.PROBLEM for finding in findings))
