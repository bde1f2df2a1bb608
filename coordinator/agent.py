"""A host's agent: joins the coordinator, and tells this host's clock how far it may go.

Run by the launcher as ``python -m revati.coordinator.agent``, with its settings as JSON in the only argument and the
token in the environment. It prints ``ready`` once all hosts have come, or one line that says why not, and ends with the
clock, with the coordinator, or when its standard input closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from revati.coordinator import frames, loop
from revati.coordinator import revati_coordinator_pb2 as pb
from revati.coordinator import revati_coordinator_pb2_grpc as rpc
from revati.coordinator.frames import Frame
from revati.coordinator.root import LARGEST_MESSAGE_BYTES, TOKEN_HEADER

TOKEN_VARIABLE = "REVATI_COORDINATOR_TOKEN"
_CLOCK_SILENT_S = 3.0
_GOODBYE_S = 5.0


@dataclass(frozen=True)
class Settings:
    """What the launcher says.

    Attributes:
        coordinator: ``HOST:PORT``.
        session: Hosts of one name belong together.
        host: This host's number, from 0.
        hosts: How many there are.
        configuration: What must be alike on all hosts.
        lookahead_ns: What a packet takes at least.
        version: Of Revati.
        clock_fd: The socket to `revati-clockd`.
        ca: PEM file of the authority that the coordinator's certificate is checked with; None: no TLS.
        join_timeout_s: How long the others may take to come.
    """

    coordinator: str
    session: str
    host: int
    hosts: int
    configuration: str
    lookahead_ns: int
    version: str
    clock_fd: int
    ca: str | None
    join_timeout_s: float


class CannotJoinError(Exception):
    """The coordinator does not take this host in; the message says why."""


class Agent:
    """Between the clock's socket and the coordinator's stream."""

    def __init__(self, settings: Settings, token: str) -> None:
        """Connects to nothing yet."""
        self.settings = settings
        self._metadata = ((TOKEN_HEADER, f"Bearer {token}"),)
        self._sequence = 0
        self._writing = asyncio.Lock()
        self._heard_s = time.monotonic()
        self._said_goodbye = False

    async def run(self) -> None:
        """Until the session ends.

        Raises:
            CannotJoinError: It never began.
        """
        launcher_gone = asyncio.create_task(_end_of_stdin())
        async with self._channel() as channel:
            stream = rpc.CoordinatorStub(channel).Join(metadata=self._metadata)
            heartbeat_s = await self._join(stream, launcher_gone)
            clock = socket.socket(fileno=self.settings.clock_fd)
            reader, writer = await asyncio.open_unix_connection(sock=clock, limit=1 << 20)
            print("ready", flush=True)
            tasks = [
                asyncio.create_task(self._from_clock(reader, stream)),
                asyncio.create_task(self._from_root(stream, writer)),
                asyncio.create_task(self._stay_alive(stream, writer, heartbeat_s)),
                launcher_gone,
            ]
            _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # The clock has been told why; it says when it has ended.
            if not tasks[0].done():
                await asyncio.wait(tasks[:1], timeout=_CLOCK_SILENT_S)
            await self._say_goodbye(stream, "" if tasks[0].done() else "its clock does not answer")
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                await stream.done_writing()
            # The coordinator closes the stream once it has read that far; to leave sooner would look like a loss.
            await asyncio.wait(tasks[1:2], timeout=_GOODBYE_S)
            for task in pending:
                task.cancel()

    def _channel(self) -> grpc.aio.Channel:
        options = [
            ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
            ("grpc.max_send_message_length", LARGEST_MESSAGE_BYTES),
            ("grpc.enable_http_proxy", 0),
        ]
        if self.settings.ca is None:
            return grpc.aio.insecure_channel(self.settings.coordinator, options=options)
        credentials = grpc.ssl_channel_credentials(Path(self.settings.ca).read_bytes())
        return grpc.aio.secure_channel(self.settings.coordinator, credentials, options=options)

    async def _join(self, stream: Any, launcher_gone: asyncio.Task[None]) -> float:
        settings = self.settings
        hello = pb.Hello(
            version=settings.version,
            session=settings.session,
            host=settings.host,
            hosts=settings.hosts,
            configuration=settings.configuration,
            lookahead_ns=settings.lookahead_ns,
            name=socket.gethostname(),
        )
        answer: object = None
        with contextlib.suppress(grpc.RpcError):
            await self._send(stream, pb.FromHost(hello=hello))
            answer = await self._wait_for_all(stream, launcher_gone)
        if not isinstance(answer, pb.FromRoot):
            raise CannotJoinError(await self._reason(stream))
        if answer.WhichOneof("message") == "end":
            raise CannotJoinError(answer.end.why)
        return float(answer.welcome.heartbeat_s)

    # Without a word a host would be taken for lost while it waits for the others.
    async def _wait_for_all(self, stream: Any, launcher_gone: asyncio.Task[None]) -> object:
        deadline_s = time.monotonic() + self.settings.join_timeout_s
        reading = asyncio.create_task(stream.read())
        while time.monotonic() < deadline_s:
            done, _ = await asyncio.wait(
                [reading, launcher_gone], timeout=1.0, return_when=asyncio.FIRST_COMPLETED
            )
            if launcher_gone in done:
                raise CannotJoinError("whoever started this host is gone")
            if done:
                answer: object = reading.result()
                if not isinstance(answer, pb.FromRoot) or answer.WhichOneof("message") != "alive":
                    return answer
                reading = asyncio.create_task(stream.read())
            else:
                await self._send(stream, pb.FromHost(alive=pb.Alive()))
        reading.cancel()
        raise CannotJoinError(
            f"not all {self.settings.hosts} hosts have come to session '{self.settings.session}' within "
            f"{self.settings.join_timeout_s:g} s; start the others with the same --coordinator and --session"
        )

    # The exception of a single read or write may tell less than the call itself.
    async def _reason(self, stream: Any) -> str:
        code, details = await stream.code(), await stream.details()
        if code == grpc.StatusCode.UNAVAILABLE:
            return (
                f"no coordinator answers at {self.settings.coordinator} ({details}); start one with `revati coordinator "
                "serve`, and give --tls-ca where it has TLS"
            )
        return f"the coordinator at {self.settings.coordinator} refuses this host: {details}"

    async def _from_clock(self, reader: asyncio.StreamReader, stream: Any) -> None:
        why = "its clock was killed or crashed"
        while (got := await frames.read(reader)) is not None:
            kind, body = got
            if kind is Frame.REPORT:
                now_ns, next_ns, taken, held = frames.parse_report(body)
                report = pb.Report(now_ns=now_ns, next_ns=next_ns, packets_taken=taken, held=held)
                await self._send(stream, pb.FromHost(report=report))
            elif kind is Frame.PACKET:
                to, arrival_ns = frames.parse_packet(body)
                packet = pb.Packet(to=to, arrival_ns=arrival_ns, body=body)
                await self._send(stream, pb.FromHost(packet=packet))
            elif kind is Frame.WANT_ARM:
                await self._send(stream, pb.FromHost(want_arm=pb.WantArm()))
            elif kind is Frame.STOPPED:
                why = body.decode(errors="replace")
                break
        await self._say_goodbye(stream, why)

    async def _from_root(self, stream: Any, writer: asyncio.StreamWriter) -> None:
        expected = 1
        why = f"the connection to the coordinator at {self.settings.coordinator} broke"
        try:
            while isinstance(message := await stream.read(), pb.FromRoot):
                self._heard_s = time.monotonic()
                kind = message.WhichOneof("message")
                if message.sequence != expected:
                    why = f"the coordinator's message {message.sequence} came where number {expected} was due"
                    break
                expected += 1
                if kind == "grant":
                    writer.write(frames.grant(message.grant.until_ns, message.grant.packets_sent))
                elif kind == "packet":
                    writer.write(frames.frame(Frame.PACKET, message.packet.body))
                elif kind == "arm":
                    writer.write(frames.arm(message.arm.virtual_ns, message.arm.realtime_ns))
                elif kind == "end":
                    why = message.end.why
                    break
        except grpc.RpcError:
            pass
        writer.write(frames.end(why))
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    async def _stay_alive(self, stream: Any, writer: asyncio.StreamWriter, heartbeat_s: float) -> None:
        self._heard_s = time.monotonic()
        while time.monotonic() - self._heard_s < heartbeat_s:
            await self._send(stream, pb.FromHost(alive=pb.Alive()))
            await asyncio.sleep(heartbeat_s / 4)
        writer.write(frames.end(f"nothing was heard of the coordinator for {heartbeat_s:g} s"))

    async def _say_goodbye(self, stream: Any, why: str) -> None:
        if self._said_goodbye:
            return
        self._said_goodbye = True
        await self._send(stream, pb.FromHost(goodbye=pb.Goodbye(why=why)))

    async def _send(self, stream: Any, message: pb.FromHost) -> None:
        # One at a time: gRPC takes no second message before it has the first.
        async with self._writing:
            message.sequence = self._sequence
            self._sequence += 1
            with contextlib.suppress(asyncio.InvalidStateError, grpc.RpcError):
                await stream.write(message)


async def _end_of_stdin() -> None:
    """Returns when whoever started us is gone."""
    reader = asyncio.StreamReader()
    running = asyncio.get_running_loop()
    await running.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(64):
        pass


def main() -> int:
    """Runs with the settings of the command line; returns the exit code."""
    settings = Settings(**json.loads(sys.argv[1]))
    # Its end is the clock's: it has to tell the coordinator how that one ended.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        loop.run(Agent(settings, os.environ.get(TOKEN_VARIABLE, "")).run())
    except (CannotJoinError, OSError) as error:
        with contextlib.suppress(BrokenPipeError):
            print(error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
