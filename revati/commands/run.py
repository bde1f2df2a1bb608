"""`revati run`: any command, with virtual GPUs."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.core import ParameterSource

from revati import catalogue
from revati.commands.options import gpu_options, node_options, out_option, scheduler_option, trace_option
from revati.emulation import Emulation
from revati.errors import UsageError
from revati.launcher import names, process
from revati.launcher.clock import GROUP_ENDED_EXIT_CODE, MODES
from revati.launcher.membership import Membership
from revati.launcher.names import Record
from revati.launcher.readiness import Readiness
from revati.launcher.remote import TOKEN_VARIABLE, Host, read_token
from revati.launcher.summary import Summary
from revati.tracing import chrome, records

# Options that only the command that starts a session may give.
_FOUNDING = (
    "gpu",
    "gpus",
    "nodes",
    "network",
    "clock",
    "scheduler",
    "clients",
    "ready",
    "trace",
    "coordinator",
    "host_rank",
    "token_file",
    "tls_ca",
)
# Of these, the ones for which others must be able to come.
_NAMED = ("clients", "ready")
# Options that only a command that joins one may give.
_JOINING = ("client", "wait")
# How long the end of a clock may take to be explained, by whoever of the group sees it.
_CLOCK_SPEAKS_S = 2.0


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: revati run --gpu h100-sxm --gpus 8 -- vllm serve MODEL -tp 8",
)
@gpu_options
@node_options
@click.option(
    "--node", type=int, default=0, show_default=True, metavar="K", help="On which node the command runs."
)
@click.option(
    "--clock",
    type=click.Choice(list(MODES)),
    help="What time is (docs/clock.md).  [default: modelled with --session, off without]",
)
@scheduler_option
@click.option(
    "--coordinator",
    metavar="HOST:PORT",
    help="The nodes are hosts of their own, and this is where they meet: see `revati coordinator serve`.",
)
@click.option(
    "--host-rank", type=int, metavar="R", help="With --coordinator: which of the nodes this host is."
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"With --coordinator: what this host presents.  [default: ${TOKEN_VARIABLE}]",
)
@click.option(
    "--tls-ca",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --coordinator: whose certificates to trust, PEM; without it there is no TLS.",
)
@click.option(
    "--session",
    metavar="NAME",
    help="The first command of a name starts the session, later ones join it: same GPUs, same time. "
    "It ends with its first command.",
)
@click.option(
    "--client/--no-client",
    default=None,
    help="Joining: whether virtual time waits for this command.  [default: --client]",
)
@click.option(
    "--clients", type=click.IntRange(1), help="Virtual time moves once so many have joined.  [default: 1]"
)
@click.option(
    "--ready",
    metavar="URL|PORT",
    help="Clients start once this answers.  [default: vllm's and sglang's own, else nothing is waited for]",
)
@click.option(
    "--wait/--no-wait", default=None, help="Joining: whether to wait for the server.  [default: --wait]"
)
@trace_option
@out_option("Write summary.json and the virtual GPU's logs there.")
@click.argument("command_line", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.pass_context
def command(
    context: click.Context,
    gpu: str,
    gpus: int,
    nodes: int,
    network: str,
    node: int,
    clock: str | None,
    scheduler: str,
    coordinator: str | None,
    host_rank: int | None,
    token_file: Path | None,
    tls_ca: Path | None,
    session: str | None,
    client: bool | None,
    clients: int | None,
    ready: str | None,
    wait: bool | None,
    trace: Path | None,
    out: Path | None,
    command_line: tuple[str, ...],
) -> None:
    """Run any command with virtual GPUs.

    Signals go to the command, its exit code comes back (128 + signal if a signal ended it), and no process that it
    started outlives it. When the virtual GPU must stop a program rather than give it wrong data, that program ends with
    exit code 86; when the virtual clock must end the session, its commands end with 87, and a list says who waited for
    what.

    With --session NAME, `vllm serve` in one terminal and its clients in others share one virtual time: it is real while
    the server starts, becomes virtual when the first client joins, and stands still while no client is there.
    """
    given = [name for name in ("node", *_FOUNDING, *_JOINING) if _is_given(context, name)]
    if session is not None and not _is_free(session):
        _check_joins(names.find(session), given, gpu, gpus, nodes, clock)
        sys.exit(_join(session, command_line, client is not False, wait is not False, out, node))
    _refuse(
        [name for name in given if name in _JOINING],
        "a command that does not join a running session",
        "start the session first, or leave it out",
    )
    if session is None:
        _refuse(
            [name for name in given if name in _NAMED],
            "a command without --session",
            "nobody else can join it",
        )
    host = _host(coordinator, host_rank, token_file, tls_ca)
    if host is not None:
        _refuse(
            [name for name in given if name == "node"],
            "a host of several",
            "--host-rank says which node it is",
        )
    emulation = Emulation(
        gpu,
        gpus,
        clock or ("off" if session is None and host is None else "modelled"),
        name=session,
        command=command_line,
        ready=Readiness.parse(ready) if ready else Readiness.of_command(command_line),
        clients=clients or 1,
        scheduler=scheduler,
        trace=trace is not None,
        nodes=nodes,
        network=network,
        node=node,
        host=host,
    )
    sys.exit(_found(emulation, command_line, named=session is not None, out=out, trace=trace))


def _found(
    emulation: Emulation, command_line: tuple[str, ...], named: bool, out: Path | None, trace: Path | None
) -> int:
    """Starts a session with its first command; returns the exit code."""
    interactive = _interactive()
    told: list[int] = []

    def end_is_meant(number: int) -> None:
        told.append(number)
        if emulation.clock:
            emulation.clock.wind_down()

    with emulation:
        # Without a name nobody else can come: the command is its own client, and its time is virtual from the start.
        alone = not named
        if alone:
            emulation.arm_clock()
        process.become_subreaper()
        process.block_signals()
        try:
            started = emulation.launch(command_line, own_group=not interactive, client=alone)
            clock = emulation.clock
            code = process.wait_forwarding(
                started,
                own_group=not interactive,
                on_deadly=end_is_meant,
                is_over=lambda: clock is not None and not clock.is_running(),
            )
            if clock is not None and not clock.is_running():
                emulation.session.wait_for_clock_message(_CLOCK_SPEAKS_S)
            # Before anything else is ended: the clock calls that an accident.
            if emulation.session.clock_message() and not told:
                code = GROUP_ENDED_EXIT_CODE
            emulation.end_with(f"its first command, {command_line[0]}, ended with exit code {code}")
        finally:
            process.end_orphans()
        summary = Summary.of(emulation.session)
        if out is not None:
            summary.write(
                out / "summary.json",
                command=list(command_line),
                gpu=emulation.gpu.name,
                gpus=emulation.gpus,
                nodes=emulation.nodes,
                clock=emulation.clock_mode,
                exit_code=code,
            )
            emulation.session.save(out)
        if trace is not None:
            chrome.write(trace, records.read(emulation.session.path))
    _print(summary.lines(with_clock=code == GROUP_ENDED_EXIT_CODE))
    return code


def _join(
    name: str, command_line: tuple[str, ...], client: bool, wait: bool, out: Path | None, node: int
) -> int:
    """Runs one more command in a session; returns the exit code."""
    if out is not None:
        raise UsageError(
            "--out belongs to the command that starts a session; its counters are shared by all."
        )
    interactive = _interactive()
    why: list[str] = []
    with Membership(name) as member:
        if client and wait:
            member.wait_ready(
                lambda ready: _print(
                    [
                        f"session '{name}': waiting for {ready} in real time (--no-wait starts the client at once)"
                    ]
                )
            )
        process.become_subreaper()
        process.block_signals()

        def is_over() -> bool:
            why[:] = [reason for reason in [member.ended()] if reason]
            return bool(why)

        try:
            started = member.launch(command_line, client=client, own_group=not interactive, node=node)
            code = process.wait_forwarding(started, own_group=not interactive, is_over=is_over)
        finally:
            process.end_orphans()
        is_over()
        message = member.session.clock_message()
    if code == 0:
        return 0
    if why:
        _print([f"session '{name}' is over: {why[0]}."])
    elif message:
        _print(Summary.clock_lines(message))
        return GROUP_ENDED_EXIT_CODE
    return code


def _host(coordinator: str | None, rank: int | None, token_file: Path | None, ca: Path | None) -> Host | None:
    if (coordinator is None) != (rank is None):
        raise UsageError("--coordinator and --host-rank go together.")
    if coordinator is None or rank is None:
        _refuse(
            [name for name, value in (("token_file", token_file), ("tls_ca", ca)) if value is not None],
            "a command without --coordinator",
            "leave it out",
        )
        return None
    return Host(coordinator, rank, read_token(token_file), ca)


def _is_free(name: str) -> bool:
    """Whether no living session has the name."""
    names.check(name)
    return all(record.name != name for record in names.running())


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _refuse(wrong: list[str], whom: str, advice: str) -> None:
    if wrong:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise UsageError(f"{whom} has no use for {options}; {advice}.")


def _check_joins(
    record: Record, given: list[str], gpu: str, gpus: int, nodes: int, clock: str | None
) -> None:
    """Refuses options that contradict what the session has.

    Raises:
        UsageError: One does, or belongs to the start of a session.
    """
    differs = {
        "gpu": catalogue.get(gpu).name != record.gpu,
        "gpus": gpus != record.gpus,
        "nodes": nodes != record.nodes,
        "clock": clock != record.clock,
    }
    wrong = [name for name in given if name in _FOUNDING and differs.get(name, True)]
    _refuse(
        wrong,
        f"session '{record.name}' runs already ({record.title}), and a command that joins it",
        f"leave it out, take another name, or end the session with: revati session stop {record.name}",
    )


def _interactive() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _print(lines: list[str]) -> None:
    for line in lines:
        click.echo(f"revati: {line}", err=True)
