"""`revati run`: any command, with virtual GPUs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from revati.commands.options import gpu_options, out_option
from revati.emulation import Emulation
from revati.launcher import process
from revati.launcher.summary import Summary


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: revati run --gpu h100-sxm --gpus 8 -- vllm serve MODEL -tp 8",
)
@gpu_options
@out_option("Write summary.json and the virtual GPU's logs there.")
@click.argument("command_line", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(gpu: str, gpus: int, out: Path | None, command_line: tuple[str, ...]) -> None:
    """Run any command with virtual GPUs.

    Signals go to the command, its exit code comes back (128 + signal if a signal ended it), and no process that it
    started outlives it. When the virtual GPU must stop a program rather than give it wrong data, that program ends with
    exit code 86.
    """
    interactive = sys.stdin is not None and sys.stdin.isatty()
    with Emulation(gpu, gpus) as emulation:
        process.become_subreaper()
        process.block_signals()
        try:
            started = emulation.launch(command_line, own_group=not interactive)
            code = process.wait_forwarding(started, own_group=not interactive)
        finally:
            process.end_orphans()
        summary = Summary.of(emulation.session)
        if out is not None:
            summary.write(
                out / "summary.json", command=list(command_line), gpu=gpu, gpus=gpus, exit_code=code
            )
            emulation.session.save(out)
    for line in summary.lines():
        click.echo(f"revati: {line}", err=True)
    sys.exit(code)
