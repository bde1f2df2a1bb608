"""`revati top`: a session's virtual time, live."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from revati.errors import ClockError, UsageError
from revati.launcher import names
from revati.launcher.clock import ClockControl
from revati.launcher.meter import Look, Speed
from revati.launcher.names import Record


@click.command(epilog="Example: revati top --session demo")
@click.option("--session", metavar="NAME", help="Which one.  [default: the only one with a virtual clock]")
@click.option("--interval", type=click.FloatRange(0.05), default=1.0, show_default=True, metavar="SECONDS")
@click.option("--count", type=click.IntRange(1), help="Stop after so many looks.  [default: until it ends]")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON per look.")
def command(session: str | None, interval: float, count: int | None, as_json: bool) -> None:
    """Watch a session's virtual time: how fast it runs, and who works.

    Real seconds are those of this machine, so speeds are not reproducible; virtual time is.
    """
    record = choose(session)
    clock = ClockControl(Path(record.path))
    console = Console()
    live = None if as_json or not console.is_terminal else Live(console=console, auto_refresh=False)
    looks = 0
    try:
        before = look(clock)
        if live:
            live.start()
        while count is None or looks < count:
            time.sleep(interval)
            after = look(clock)
            speed = Speed.between(before, after)
            before = after
            looks += 1
            if as_json:
                click.echo(json.dumps({"session": record.name, **dataclasses.asdict(speed)}))
            elif live:
                live.update(_screen(record, speed), refresh=True)
            else:
                click.echo(speed.line())
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    except ClockError as error:
        if names.is_running(record):
            raise
        if not looks:
            raise ClockError(f"session '{record.name}' has just ended ({error}).") from None
    finally:
        if live:
            live.stop()


def look(clock: ClockControl) -> Look:
    """One look at a clock."""
    return Look(clock.status(), clock.threads())


def choose(name: str | None) -> Record:
    """The session of that name, or the only one that there is.

    Raises:
        UsageError: There is none, there are several, or it has no virtual clock.
    """
    if name is not None:
        record = names.find(name)
        if record.clock == "off":
            raise UsageError(
                f"session '{name}' has no virtual clock (--clock off): its time is everybody's, there is nothing to watch."
            )
        return record
    records = [record for record in names.running() if record.clock != "off"]
    if not records:
        raise UsageError(
            "no session with a virtual clock runs; start one with: revati run --session NAME -- COMMAND"
        )
    if len(records) > 1:
        known = ", ".join(record.name for record in records)
        raise UsageError(f"several sessions run ({known}); choose one with --session NAME.")
    return records[0]


def _screen(record: Record, speed: Speed) -> Group:
    figures = Table(box=None, show_header=False, pad_edge=False)
    figures.add_column()
    figures.add_column(justify="right")
    per_wait = speed.releases_per_gpu_wait
    for label, value in (
        ("virtual seconds per real second", f"{speed.speed:.2f}"),
        ("jumps per second", f"{speed.jumps_per_s:,.0f}"),
        ("releases per second", f"{speed.releases_per_s:,.0f}"),
        ("GPU waits per second", f"{speed.gpu_waits_per_s:,.0f}"),
        ("releases per GPU wait", "-" if per_wait is None else f"{per_wait:.1f}"),
        ("clients, threads", f"{speed.clients}, {speed.threads}"),
    ):
        figures.add_row(label, value)
    threads = Table(box=None, pad_edge=False)
    threads.add_column("busiest threads")
    threads.add_column("waits", justify="right")
    for name, waits in speed.busiest:
        threads.add_row(name, f"{waits:,}")
    return Group(Text(f"session {record.name} ({record.title}): {speed.line()}"), figures, threads)
