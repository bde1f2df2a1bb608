"""`revati profile import`: durations that a user measured, to be looked up before any model."""

from __future__ import annotations

from pathlib import Path

import click

from revati import catalogue
from revati.errors import UsageError
from revati.predictors import model_file, points, store  # type: ignore[attr-defined]
from revati.predictors.training import SUFFIX
from revati.profile import files
from revati.profile.schema import ProfileError


@click.command("import", epilog="Example: revati profile import out/profile/*.jsonl --gpu h100-sxm")
@click.argument(
    "profiles", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--gpu", required=True, metavar="NAME", help="GPU of the catalogue that was measured.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write instead of the user's own."
)
def command(profiles: tuple[Path, ...], gpu: str, out: Path | None) -> None:
    """Make measured points of PROFILES (what `revati profile collect` and `record` write; see `revati.profile.schema`).

    The new file holds these points and the GPU's models that ship; the emulation takes it instead of the shipped one.
    It replaces an earlier import.
    """
    target = catalogue.get(gpu)
    records = []
    for path in profiles:
        try:
            records += files.read(path)[1]
        except ProfileError as error:
            raise UsageError(str(error)) from error
    found, unused = points.from_records(target, records)
    if not found:
        raise UsageError("none of these records is of a kind that the emulation asks about")
    path = out or store.imported_directory() / f"{target.name}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    shipped = store.shipped_directory() / f"{target.name}{SUFFIX}"
    models = model_file.read(shipped) if shipped.is_file() else []
    path.write_bytes(model_file.pack([*found, *models]))
    for entry in found:
        click.echo(f"{entry.header.name}: {len(entry.seconds)} points")
    for family, count in sorted(unused.items()):
        click.echo(f"{family}: {count} records not used: no exact look-up for them")
    click.echo(str(path))


def main(arguments: list[str]) -> int:
    """Entry point of `revati profile`."""
    command.main(arguments, prog_name="revati profile import", standalone_mode=False)
    return 0
