"""The coordinator as a gRPC service."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from revati.coordinator import revati_coordinator_pb2 as pb
from revati.coordinator import revati_coordinator_pb2_grpc as rpc
from revati.coordinator.advance import ProtocolError
from revati.coordinator.session import RefusedError, Send, Session

from revati import __version__
from revati.errors import UsageError

TOKEN_HEADER = "authorization"
LARGEST_MESSAGE_BYTES = 64 << 20
_HELLO_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Settings:
    """How the coordinator serves.

    Attributes:
        listen: ``HOST:PORT``, where port 0 takes a free one, or ``unix:PATH``.
        token: What every host must present.
        certificate: PEM file of the server's certificate chain; None: no TLS, permitted on loopback only.
        key: PEM file of its private key.
        heartbeat_s: A host that is silent for so long is lost.
        stuck_after_s: Real time in which no host has anything to do, until the run is ended.
        insecure: Permits other addresses without TLS.
        version: Of Revati.
    """

    listen: str
    token: str
    certificate: Path | None = None
    key: Path | None = None
    heartbeat_s: float = 10.0
    stuck_after_s: float = 60.0
    insecure: bool = False
    version: str = __version__


def is_loopback(listen: str) -> bool:
    """Whether only this machine can reach the address: loopback, or ``unix:PATH``."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Root(rpc.CoordinatorServicer):
    """Serves any number of sessions, told apart by name."""

    def __init__(self, settings: Settings) -> None:
        """Nothing listens before `start`.

        Raises:
            UsageError: The settings would let strangers in.
        """
        if len(settings.token) < 16:
            raise UsageError("the token has fewer than 16 characters; make one with: openssl rand -hex 32")
        if (settings.certificate is None) != (settings.key is None):
            raise UsageError("TLS needs both --tls-cert and --tls-key.")
        if settings.certificate is None and not is_loopback(settings.listen) and not settings.insecure:
            raise UsageError(
                f"{settings.listen} can be reached from other machines, and the token would go there in clear: add "
                "--tls-cert and --tls-key, or listen at 127.0.0.1, or say --insecure."
            )
        self.settings = settings
        self.sessions: dict[str, Session] = {}
        self.refused = 0
        self.port = 0
        self._server: grpc.aio.Server | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens.

        Raises:
            UsageError: The address is taken, or a TLS file cannot be read.
        """
        options = [
            ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
            ("grpc.max_send_message_length", LARGEST_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        ]
        server = grpc.aio.server(options=options)
        rpc.add_CoordinatorServicer_to_server(self, server)
        try:
            if self.settings.certificate is None or self.settings.key is None:
                self.port = server.add_insecure_port(self.settings.listen)
            else:
                pair = (self.settings.key.read_bytes(), self.settings.certificate.read_bytes())
                self.port = server.add_secure_port(self.settings.listen, grpc.ssl_server_credentials([pair]))
        except (OSError, RuntimeError) as error:
            raise UsageError(f"cannot listen at {self.settings.listen}: {error}") from error
        await server.start()
        self._server = server
        self._watch = asyncio.create_task(self._keep_watch())

    async def stop(self) -> None:
        """Ends every session and stops listening."""
        for session in self.sessions.values():
            session.end("the coordinator was stopped")
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            await self._server.stop(1.0)

    async def Join(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.FromHost], context: grpc.aio.ServicerContext
    ) -> None:
        """One host, from its Hello to its end."""
        await self._authenticate(context, is_stream=True)
        outbox: asyncio.Queue[pb.FromRoot] = asyncio.Queue()
        session, host = await self._admit(context, outbox.put_nowait)
        writer = asyncio.create_task(_write_all(context, outbox))
        try:
            if session.is_complete:
                session.welcome(self.settings.heartbeat_s)
            await self._listen(session, host, context)
        finally:
            session.lose(host, "its connection to the coordinator broke")
            if session.is_empty:
                self.sessions.pop(session.name, None)
            await _drain(outbox, writer)

    async def Metrics(  # noqa: N802
        self, request: pb.MetricsRequest, context: grpc.aio.ServicerContext
    ) -> pb.MetricsReply:
        """Figures for Prometheus."""
        await self._authenticate(context)
        return pb.MetricsReply(text=self.metrics())

    def metrics(self) -> str:
        """Figures in Prometheus's text format."""
        lines = [f"revati_coordinator_refused_total {self.refused}"]
        lines.append(f"revati_coordinator_sessions {len(self.sessions)}")
        for session in self.sessions.values():
            counters = session.counters
            label = f'{{session="{session.name}"}}'
            lines.append(
                f"revati_coordinator_hosts{label} {sum(not m.gone for m in session.members.values())}"
            )
            lines.append(f"revati_coordinator_reports_total{label} {counters.reports}")
            lines.append(f"revati_coordinator_grants_total{label} {counters.grants}")
            lines.append(f"revati_coordinator_packets_total{label} {counters.packets}")
            lines.append(f"revati_coordinator_packet_bytes_total{label} {counters.packet_bytes}")
            if session.advance is not None:
                earliest_s = min(time.now_ns for time in session.advance.hosts) * 1e-9
                lines.append(f"revati_coordinator_virtual_seconds{label} {earliest_s:.9f}")
        return "\n".join(lines) + "\n"

    async def _authenticate(self, context: grpc.aio.ServicerContext, *, is_stream: bool = False) -> None:
        given = dict(context.invocation_metadata() or ()).get(TOKEN_HEADER, "")
        expected = f"Bearer {self.settings.token}"
        if not hmac.compare_digest(str(given).encode(), expected.encode()):
            # Its hello is on its way; a refusal that overtakes it reaches the host as an error of gRPC's own.
            if is_stream:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(context.read(), _HELLO_TIMEOUT_S)
            await self._refuse(context, grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong")

    async def _admit(self, context: grpc.aio.ServicerContext, send: Send) -> tuple[Session, int]:
        try:
            first = await asyncio.wait_for(context.read(), _HELLO_TIMEOUT_S)
        except TimeoutError:
            first = None
        if (
            not isinstance(first, pb.FromHost)
            or first.WhichOneof("message") != "hello"
            or first.sequence != 0
        ):
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "a host says hello first")
        assert isinstance(first, pb.FromHost)
        hello = first.hello
        if hello.version != self.settings.version:
            text = f"this host has Revati {hello.version or '(unknown)'}, the coordinator {self.settings.version}"
            await self._refuse(context, grpc.StatusCode.FAILED_PRECONDITION, text)
        try:
            session = self.sessions.get(hello.session)
            if session is None:
                session = Session(hello)
            session.join(hello, send)
        except RefusedError as error:
            await self._refuse(context, grpc.StatusCode.FAILED_PRECONDITION, str(error))
        self.sessions[hello.session] = session
        return session, hello.host

    async def _refuse(self, context: grpc.aio.ServicerContext, code: grpc.StatusCode, text: str) -> None:
        self.refused += 1
        await context.abort(code, text)

    async def _listen(self, session: Session, host: int, context: grpc.aio.ServicerContext) -> None:
        while not session.members[host].gone:
            message = await context.read()
            if not isinstance(message, pb.FromHost):
                return
            try:
                session.take(host, message)
            except ProtocolError as error:
                session.lose(host, f"it does not keep to the protocol: {error}")

    async def _keep_watch(self) -> None:
        while True:
            await asyncio.sleep(self.settings.heartbeat_s / 8)
            for session in list(self.sessions.values()):
                session.check(time.monotonic(), self.settings.heartbeat_s, self.settings.stuck_after_s)


async def _write_all(context: grpc.aio.ServicerContext, outbox: asyncio.Queue[pb.FromRoot]) -> None:
    is_open = True
    while True:
        message = await outbox.get()
        try:
            if is_open:
                await context.write(message)
        except Exception:  # gRPC has several for a stream that is closed; whoever reads from it notices, too
            is_open = False
        finally:
            outbox.task_done()


async def _drain(outbox: asyncio.Queue[pb.FromRoot], writer: asyncio.Task[None]) -> None:
    """Whoever leaves still hears why."""
    with contextlib.suppress(TimeoutError, Exception):
        await asyncio.wait_for(outbox.join(), 1.0)
    writer.cancel()


async def serve_metrics(root: Root, listen: str) -> asyncio.Server:
    """Answers every HTTP request at ``HOST:PORT`` with the metrics."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5.0)
            body = root.metrics().encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        writer.close()

    host, _, port = listen.rpartition(":")
    return await asyncio.start_server(answer, host.strip("[]"), int(port))
