"""`revati gpus`: the GPUs that can be emulated, and where each of their figures comes from."""

from __future__ import annotations

import json
import sys

import click
from rich.console import Console
from rich.table import Table

from revati import catalogue


@click.group(epilog="Example: revati gpus list")
def command() -> None:
    """The GPUs that can be emulated."""


@command.command("list", epilog="Example: revati gpus list --json")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def list_gpus(as_json: bool) -> None:
    """List the catalogue."""
    gpus = catalogue.gpus()
    if as_json:
        click.echo(json.dumps({name: dict(gpu.values) for name, gpu in gpus.items()}, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "device", "memory", "bandwidth", "bf16 dense", "SMs", "capability", "also"):
        table.add_column(
            heading, justify="right" if heading in {"memory", "bandwidth", "bf16 dense", "SMs"} else "left"
        )
    for name, gpu in gpus.items():
        table.add_row(
            name,
            gpu.device_name,
            f"{gpu.memory_bytes / 2**30:.1f} GiB",
            f"{float(gpu.values['memory_bandwidth']) / 1e12:.2f} TB/s",
            f"{float(gpu.values['bf16_flops']) / 1e12:.0f} TFLOPS",
            str(gpu.values["sm_count"]),
            "{}.{}".format(*gpu.compute_capability),
            ", ".join(gpu.aliases),
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@command.command("networks", epilog="Example: revati gpus networks")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def list_networks(as_json: bool) -> None:
    """List what can join several nodes (--nodes), with the source of every figure."""
    networks = catalogue.networks()
    if as_json:
        click.echo(json.dumps({name: dict(network.values) for name, network in networks.items()}, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("network", "field", "value", "source"):
        table.add_column(heading, justify="right" if heading == "value" else "left", overflow="fold")
    for name, network in networks.items():
        for index, (key, value) in enumerate(network.values.items()):
            table.add_row("" if index else name, key, _readable(value), network.sources[key])
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@command.command("show", epilog="Example: revati gpus show h200-sxm")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def show(name: str, as_json: bool) -> None:
    """Show one GPU with the source of every figure.

    NAME may also be a .toml file: `base = "h200-sxm"` and sections with the fields that differ.
    """
    gpu = catalogue.get(name)
    if as_json:
        document = {
            "name": gpu.name,
            "title": gpu.title,
            "aliases": list(gpu.aliases),
            "values": dict(gpu.values),
            "sources": dict(gpu.sources),
        }
        click.echo(json.dumps(document, indent=2))
        return
    table = Table(box=None, pad_edge=False, title=f"{gpu.name}: {gpu.title}", title_justify="left")
    table.add_column("field")
    table.add_column("value", justify="right")
    table.add_column("source", overflow="fold")
    for key in catalogue.FIELDS:
        table.add_row(key, _readable(gpu.values[key]), gpu.sources[key])
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _readable(value: int | float | str) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and value >= 10000 else str(value)
