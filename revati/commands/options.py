"""Options that several sub-commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from revati.catalogue import DEFAULT_NETWORK
from revati.emulation import DEFAULT_GPU
from revati.launcher.clock import SCHEDULERS

F = TypeVar("F", bound=Callable[..., Any])


def gpu_options(function: F) -> F:
    """`--gpu NAME --gpus N`."""
    function = click.option(
        "--gpus", type=int, default=1, show_default=True, metavar="N", help="How many GPUs a machine has."
    )(function)
    return click.option(
        "--gpu",
        default=DEFAULT_GPU,
        show_default=True,
        metavar="NAME",
        help="GPU model; see `revati gpus list`.",
    )(function)


def node_options(function: F) -> F:
    """`--nodes N --network NAME`."""
    function = click.option(
        "--network",
        default=DEFAULT_NETWORK,
        show_default=True,
        metavar="NAME",
        help="What joins the nodes; `revati gpus networks` lists them.",
    )(function)
    return click.option(
        "--nodes",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="How many machines with --gpus GPUs each there are (docs/ranks.md).",
    )(function)


def trace_option(function: F) -> F:
    """`--trace FILE`."""
    return click.option(
        "--trace",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Record every launch and write a Chrome trace (.json or .json.gz; ui.perfetto.dev opens it).",
    )(function)


def scheduler_option(function: F) -> F:
    """`--scheduler auto|fair|fifo`."""
    return click.option(
        "--scheduler",
        type=click.Choice(list(SCHEDULERS)),
        default="auto",
        show_default=True,
        help="Of the virtual clock: fifo is faster and needs rights (docs/clock.md); auto takes it on four CPUs or more.",
    )(function)


def out_option(help_text: str) -> Callable[[F], F]:
    """`--out DIR`."""
    return click.option(
        "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help=help_text
    )
