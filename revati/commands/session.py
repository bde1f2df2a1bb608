"""`revati session`: what runs under a name."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from revati.errors import ClockError, UsageError
from revati.launcher import names
from revati.launcher.clock import ClockControl
from revati.launcher.names import Record

_STOP_TIMEOUT_S = 60.0
_POLL_S = 0.1


@click.group(epilog="Example: revati session list")
def command() -> None:
    """Sessions that several terminals share.

    `revati run --session NAME -- COMMAND` starts one or joins it. Every other `revati run` and `revati bench` has a session,
    too, named by its process id.
    """


@command.command("list", epilog="Example: revati session list --json")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def list_sessions(as_json: bool) -> None:
    """All sessions of this user. What killed ones left behind is removed."""
    records = names.running()
    if as_json:
        click.echo(json.dumps([_as_dict(record) for record in records], indent=2))
        return
    if not records:
        click.echo("no session runs; start one with: revati run --session NAME -- COMMAND", err=True)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "GPUs", "clock", "virtual time", "clients", "for", "command"):
        table.add_column(column, overflow="fold")
    for record in records:
        status = _status(record)
        table.add_row(
            record.name,
            f"{record.gpus} x {record.gpu}",
            record.clock,
            _time(status),
            str(status["clients"]) if status else "-",
            f"{time.time() - record.started:.0f} s",
            shlex.join(record.command),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@command.command(epilog="Example: revati session show demo")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def show(name: str, as_json: bool) -> None:
    """What a session is, and what each of its threads waits for."""
    record = names.find(name)
    if as_json:
        click.echo(json.dumps(_as_dict(record), indent=2))
        return
    click.echo(f"session {record.name}: {record.title}, process {record.pid}")
    click.echo(f"command: {shlex.join(record.command)}")
    if record.ready:
        click.echo(f"ready when this answers: {record.ready}")
    status = _status(record)
    if status:
        click.echo(f"time: {_time(status)}; clients: {status['clients']}, {status['clients_seen']} so far")
        click.echo(ClockControl(Path(record.path)).explain().rstrip())


@command.command(epilog="Example: revati session stop demo")
@click.argument("name")
def stop(name: str) -> None:
    """End a session: its first command gets SIGTERM; when that has ended, so do all others."""
    record = names.find(name)
    _signal(record, signal.SIGTERM)
    if _wait(lambda: not names.is_running(record)):
        click.echo(f"session {name} has ended", err=True)
        return
    _signal(record, signal.SIGKILL)
    if not _wait(lambda: not names.is_running(record)):
        raise UsageError(f"session '{name}' does not end; look at process {record.pid}.")
    click.echo(f"session {name} did not end by itself and was killed", err=True)


def _signal(record: Record, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, number)


def _wait(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(_POLL_S)
    return condition()


def _status(record: Record) -> dict[str, Any] | None:
    """The clock's status; None where there is none, or it is just ending."""
    if record.clock == "off":
        return None
    try:
        return ClockControl(Path(record.path)).status()
    except ClockError:
        return None


def _time(status: dict[str, Any] | None) -> str:
    if status is None:
        return "real"
    return f"{status['virtual_s']:,.3f} s" if status["armed"] else "real until a client comes"


def _as_dict(record: Record) -> dict[str, Any]:
    return {**dataclasses.asdict(record), "status": _status(record)}
