"""`revati profile`: measured durations, from collecting them on a GPU to the models trained from them.

Each sub-command is a function `main(arguments) -> exit code` in a module of its own, imported only when it is called.
Some of these modules also run on machines that hold nothing of ours, so each parses its own arguments.
"""

from __future__ import annotations

import importlib
import sys

import click

# Sub-command -> module with `main`, and one line for `revati profile --help`.
COMMANDS = {
    "collect": ("revati.profile.collect", "Measure launches on this machine's GPU, most wanted first."),
    "record": ("revati.profile.record", "Profile a framework on this machine's GPU, launch by launch."),
    "list": ("revati.commands.profile_list", "List the files of trained models and measured points."),
    "show": ("revati.commands.profile_show", "Show what a GPU's models know, and where they come from."),
    "import": ("revati.commands.profile_import", "Use measured durations before any model."),
    "train": ("revati.commands.profile_train", "Train the models that ship from public operator tables."),
    "evaluate": ("revati.commands.profile_evaluate", "Errors of the models on ranges they have not seen."),
    "pack": ("revati.profile.packing.main", "Pack a framework for a GPU machine without network."),
}


class ProfileGroup(click.Group):
    """Makes each sub-command from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns the sub-command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, help_text = COMMANDS[cmd_name]

        @click.command(
            cmd_name,
            help=help_text,
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        )
        @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
        def run(arguments: tuple[str, ...]) -> None:
            sys.exit(importlib.import_module(module).main(list(arguments)))

        return run

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the sub-commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])


@click.group(cls=ProfileGroup, epilog="Example: revati profile list")
def command() -> None:
    """Measured durations: collect them on a real GPU."""
