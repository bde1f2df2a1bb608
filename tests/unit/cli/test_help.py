"""Every command's help ends with an example that names the command."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from revati.cli import COMMANDS, revati


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*path, name))


PATHS = list(commands(revati, ()))


def test_all_are_found() -> None:
    assert {path[0] for path in PATHS if path} == set(COMMANDS)


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_has_an_example(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(revati, [*path, "--help"], prog_name="revati", terminal_width=200)
    assert done.exit_code == 0, done.output
    _, found, example = done.output.rpartition("Example: ")
    assert found, f"revati {' '.join(path)} --help has no example"
    assert f"revati {' '.join(path)}".strip() in " ".join(example.split())
