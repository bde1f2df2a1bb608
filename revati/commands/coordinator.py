"""`revati coordinator`: where several hosts agree on one virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from pathlib import Path

import click

from revati.errors import UsageError
from revati.launcher.remote import TOKEN_VARIABLE, check_installed, read_token


@click.group(epilog="Example: revati coordinator serve --listen 0.0.0.0:7464 --token-file token")
def command() -> None:
    """Several hosts as one virtual time (docs/ranks.md)."""


@command.command("token", epilog="Example: revati coordinator token token")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def make_token(file: Path) -> None:
    """Write a new token into FILE, which only you can read."""
    try:
        with file.open("x") as out:
            file.chmod(0o600)
            out.write(secrets.token_hex(32) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write the token: {error}") from error


@command.command(
    "serve",
    epilog="Example: revati coordinator serve --listen 0.0.0.0:7464 --token-file token --tls-cert c.pem --tls-key k.pem",
)
@click.option("--listen", default="127.0.0.1:7464", show_default=True, metavar="HOST:PORT")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"What every host must present.  [default: ${TOKEN_VARIABLE}]",
)
@click.option("--tls-cert", type=click.Path(path_type=Path, dir_okay=False), help="Certificate chain, PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path, dir_okay=False), help="Its private key, PEM.")
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without TLS.")
@click.option(
    "--heartbeat",
    type=click.FloatRange(0.5, 600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="A host that is silent for so long is lost, and its run ends.",
)
@click.option("--metrics", metavar="HOST:PORT", help="Answer HTTP there with figures for Prometheus.")
def serve(
    listen: str,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure: bool,
    heartbeat: float,
    metrics: str | None,
) -> None:
    """Serve until interrupted. Any number of sessions, told apart by name."""
    check_installed()
    from revati.coordinator import loop  # noqa: PLC0415
    from revati.coordinator.root import Root, Settings, serve_metrics  # noqa: PLC0415

    settings = Settings(listen, read_token(token_file), tls_cert, tls_key, heartbeat, insecure=insecure)

    async def run() -> None:
        root = Root(settings)
        await root.start()
        where = listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{root.port}"
        click.echo(f"revati: coordinator at {where}")
        if metrics is not None:
            try:
                server = await serve_metrics(root, metrics)
            except (OSError, ValueError) as error:
                await root.stop()
                raise UsageError(f"cannot answer at {metrics}: {error}") from error
            click.echo(
                f"revati: metrics at http://{metrics.rpartition(':')[0]}:{server.sockets[0].getsockname()[1]}/"
            )
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()
        await root.stop()

    with contextlib.suppress(KeyboardInterrupt):
        loop.run(run())
