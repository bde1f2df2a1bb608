"""`revati models`: models without weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from revati import models


@click.group(epilog="Example: vllm serve $(revati models create llama-3.1-8b) --load-format dummy")
def command() -> None:
    """Models without weights: the published configuration, and a tokenizer that needs no network."""


@command.command("list", epilog="Example: revati models list")
def list_models() -> None:
    """List the models that can be made."""
    table = Table(box=None, pad_edge=False)
    for heading in (
        "name",
        "model",
        "layers",
        "hidden",
        "heads",
        "vocabulary",
        "weights",
        "configuration of",
    ):
        right = heading in {"layers", "hidden", "heads", "vocabulary"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for name in models.names():
        skeleton = models.get(name)
        config = skeleton.config
        table.add_row(
            name,
            skeleton.title,
            str(config["num_hidden_layers"]),
            str(config["hidden_size"]),
            f"{config['num_attention_heads']}/{config['num_key_value_heads']}",
            f"{config['vocab_size']:,}",
            skeleton.quantization,
            skeleton.source,
        )
    console = Console(width=None if sys.stdout.isatty() else 180)
    console.print(table)


@command.command("show", epilog="Example: revati models show qwen3-32b")
@click.argument("name")
def show(name: str) -> None:
    """Show one model's configuration and where it is from."""
    skeleton = models.get(name)
    click.echo(f"{skeleton.name}: {skeleton.title}")
    click.echo(f"config.json as published in the Hugging Face repository {skeleton.source}:")
    click.echo(json.dumps(skeleton.config, indent=2))


@command.command("create", epilog="Example: revati models create qwen3-32b")
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where; default: the cache.",
)
def create(name: str, folder: Path | None) -> None:
    """Make a model folder (once) and print its path."""
    click.echo(models.create(name, folder))
