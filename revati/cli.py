"""The `revati` command: one module per sub-command in `revati.commands`, imported only when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from revati.errors import RevatiError

# Sub-command -> one line for `revati --help`. The module of the same name in `revati.commands` holds `command`.
COMMANDS = {
    "run": "Run any command with virtual GPUs.",
    "bench": "Serve a model on virtual GPUs and load it with the framework's own benchmark client.",
    "sweep": "Run many configurations from one file; resumable, with objectives and costs.",
    "report": "Plots and tables of a sweep or a benchmark, as one HTML file.",
    "explain": "Where the virtual time of a run went, and how sure that is.",
    "validate": "Replay measured servings on virtual GPUs and say how far off they are.",
    "session": "Sessions that several terminals share: list, show, stop.",
    "top": "Watch a session's virtual time: how fast it runs, and who works.",
    "coordinator": "Several hosts as one virtual time.",
    "gpus": "The GPUs that can be emulated.",
    "models": "Models without weights: real configuration, local tokenizer.",
    "calibrate": "Measure what host work costs on this machine, for virtual time.",
    "profile": "Measured durations: collect them on a real GPU.",
    "doctor": "Say what this machine lacks, and how to get it.",
}


class LazyGroup(click.Group):
    """Imports a sub-command's module only when it is needed: `revati run` must start quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns the sub-command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"revati.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        command.name = cmd_name  # the modules do not say it; the documentation is made from it
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the sub-commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: revati run --gpu h200-sxm --gpus 2 -- vllm serve MODEL -tp 2",
)
@click.version_option(package_name="revati")
def revati() -> None:
    """Run unmodified LLM serving frameworks on virtual GPUs and see how they would perform."""


def main() -> None:
    """Entry point: turns errors that a user can mend into one sentence and an exit code."""
    try:
        revati()
    except RevatiError as error:
        print(f"revati: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
