"""One session at the coordinator: which hosts have come, and what each is told. No network in here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from revati.coordinator import revati_coordinator_pb2 as pb
from revati.coordinator.advance import Advance, ProtocolError

# As in native/clock: virtual time begins at a multiple of an hour, at least a minute ahead of every host's own time.
MONOTONIC_ORIGIN_NS = 2**20 * 10**9
_GRID_NS = 3600 * 10**9
_GAP_NS = 60 * 10**9

Send = Callable[[pb.FromRoot], None]


class RefusedError(Exception):
    """A host cannot join; the message says why."""


@dataclass
class Member:
    """One host that has joined."""

    name: str
    send: Send
    heard_s: float
    sequence: int = 1  # of the next message from it; its Hello was 0
    sent: int = 0
    gone: bool = False


@dataclass
class Counters:
    """What the metrics tell."""

    reports: int = 0
    grants: int = 0
    packets: int = 0
    packet_bytes: int = 0
    began_s: float = field(default_factory=time.monotonic)


def _differences(hello: pb.Hello, session: Session) -> str:
    try:
        here, there = json.loads(hello.configuration), json.loads(session.configuration)
        keys = [key for key in {**here, **there} if here.get(key) != there.get(key)]
        return "; ".join(f"{key} {here.get(key)}, not {there.get(key)}" for key in keys) or "lookahead"
    except (ValueError, AttributeError, TypeError):
        return f"{hello.configuration}, not {session.configuration}"


class Session:
    """Hosts that share one virtual time."""

    def __init__(self, hello: pb.Hello) -> None:
        """Begins with what the first host says of itself.

        Raises:
            RefusedError: That makes no sense.
        """
        if not 1 <= hello.hosts <= 64 or hello.lookahead_ns < 1 or not hello.session:
            raise RefusedError(
                f"{hello.hosts} hosts, {hello.lookahead_ns} ns apart, in session '{hello.session}': no such session"
            )
        self.name = hello.session
        self.hosts = hello.hosts
        self.configuration = hello.configuration
        self.lookahead_ns = hello.lookahead_ns
        self.members: dict[int, Member] = {}
        self.advance: Advance | None = None
        self.ended: str | None = None
        self.counters = Counters()
        self._stuck_since_s: float | None = None

    def join(self, hello: pb.Hello, send: Send) -> None:
        """Takes a host in; once the last has come, all are welcomed by `welcome`.

        Raises:
            RefusedError: It does not belong here.
        """
        if self.ended is not None:
            raise RefusedError(f"session '{self.name}' is over: {self.ended}")
        if hello.hosts != self.hosts or not 0 <= hello.host < self.hosts:
            raise RefusedError(
                f"host {hello.host} of {hello.hosts} does not fit a session of {self.hosts} hosts"
            )
        if hello.host in self.members:
            raise RefusedError(
                f"host {hello.host} of session '{self.name}' is here already: {self.members[hello.host].name}"
            )
        if hello.configuration != self.configuration or hello.lookahead_ns != self.lookahead_ns:
            raise RefusedError(
                f"host {hello.host} is configured otherwise than the others: {_differences(hello, self)}"
            )
        self.members[hello.host] = Member(hello.name, send, time.monotonic())

    @property
    def is_complete(self) -> bool:
        """All hosts have come."""
        return len(self.members) == self.hosts

    @property
    def is_empty(self) -> bool:
        """All that came are gone."""
        return all(member.gone for member in self.members.values())

    def welcome(self, heartbeat_s: float) -> None:
        """Tells every host that all have come."""
        for host in self.members:
            self._tell(host, pb.FromRoot(welcome=pb.Welcome(heartbeat_s=heartbeat_s)))

    def take(self, host: int, message: pb.FromHost) -> None:
        """Takes a host's message and tells whomever it concerns.

        Raises:
            ProtocolError: It cannot be true, or came out of order.
        """
        member = self.members[host]
        member.heard_s = time.monotonic()
        if message.sequence != member.sequence:
            raise ProtocolError(
                f"message {message.sequence} of host {host} came where number {member.sequence} was due"
            )
        member.sequence += 1
        kind = message.WhichOneof("message")
        if kind == "alive":
            self._tell(host, pb.FromRoot(alive=pb.Alive()))
        elif kind == "goodbye":
            self.lose(host, message.goodbye.why)
        elif kind == "want_arm":
            self._arm()
        elif kind == "report" and self.advance is not None:
            report = message.report
            self.counters.reports += 1
            self.advance.report(host, report.now_ns, report.next_ns, report.packets_taken, report.held)
            self._grant()
        elif kind == "packet":
            self._forward(host, message.packet)
        else:
            raise ProtocolError(f"host {host} sent {kind or 'nothing'} where that makes no sense")

    def lose(self, host: int, why: str) -> None:
        """A host is gone; `why` is empty if it ended on purpose. Otherwise the run is over for all."""
        member = self.members[host]
        if member.gone:
            return
        member.gone = True
        if why:
            self.end(f"host {host} ({member.name}): {why}")
        elif self.advance is not None and self.ended is None:
            self.advance.leave(host)
            self._grant()

    def end(self, why: str) -> None:
        """Ends the run on all hosts. The first reason counts."""
        if self.ended is not None:
            return
        self.ended = why
        for host, member in self.members.items():
            if not member.gone:
                self._tell(host, pb.FromRoot(end=pb.End(why=why)))

    def check(self, now_s: float, heartbeat_s: float, stuck_after_s: float) -> None:
        """Ends the run if a host has fallen silent, or if nothing can move any more."""
        for host, member in self.members.items():
            if not member.gone and now_s - member.heard_s > heartbeat_s:
                self.lose(host, f"nothing was heard of it for {heartbeat_s:g} s")
        if self.advance is None or not self.advance.is_stuck:
            self._stuck_since_s = None
        elif self._stuck_since_s is None:
            self._stuck_since_s = now_s
        elif now_s - self._stuck_since_s > stuck_after_s:
            self.end("nothing can move: every program on every host waits, and none of them for a time")

    def _arm(self) -> None:
        if self.advance is not None or not self.is_complete:
            return
        elapsed_ns = int((time.monotonic() - self.counters.began_s) * 1e9)
        begin_ns = MONOTONIC_ORIGIN_NS + -(-(elapsed_ns + _GAP_NS) // _GRID_NS) * _GRID_NS
        realtime_ns = -(-time.time_ns() // 10**9) * 10**9
        self.advance = Advance(self.hosts, self.lookahead_ns, begin_ns)
        for host, member in self.members.items():
            if member.gone:
                self.advance.leave(host)
            else:
                self._tell(host, pb.FromRoot(arm=pb.Arm(virtual_ns=begin_ns, realtime_ns=realtime_ns)))

    def _forward(self, host: int, packet: pb.Packet) -> None:
        if packet.to == host or packet.to not in self.members:
            raise ProtocolError(f"host {host} sent a packet to host {packet.to}, which is none of the others")
        if self.advance is not None:
            self.advance.send(host, packet.to, packet.arrival_ns)
        self.counters.packets += 1
        self.counters.packet_bytes += len(packet.body)
        if not self.members[packet.to].gone:
            self._tell(packet.to, pb.FromRoot(packet=packet))
        self._grant()

    def _grant(self) -> None:
        if self.advance is None or self.ended is not None:
            return
        for host, until_ns, packets_sent in self.advance.due():
            self.counters.grants += 1
            self._tell(host, pb.FromRoot(grant=pb.Grant(until_ns=until_ns, packets_sent=packets_sent)))

    def _tell(self, host: int, message: pb.FromRoot) -> None:
        member = self.members[host]
        message.sequence = member.sent
        member.sent += 1
        member.send(message)
