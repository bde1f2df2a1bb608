"""How far each host of a session may move its time: conservative advance by the global minimum.

No I/O and no real time in here. A host reports the earliest thing that it could do; since nothing that one host does
reaches another sooner than the network's latency, every host may do whatever comes before the others' earliest, plus
that latency. A host with a packet on its way to it may act as early as the packet arrives; and what a host sends may be
answered, so that its own leave shrinks to the earliest answer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

# As `no_deadline` in native/clock/page.h.
NEVER = 2**63 - 1


class ProtocolError(Exception):
    """A host said something that cannot be true; the message says what."""


@dataclass
class HostTime:
    """What is known of one host.

    Attributes:
        next_ns: It does nothing before that, as far as its latest report knows.
        held: Time stands still there at `now_ns`.
        waits: It has reported, and got no leave since.
        granted_ns: Up to where it has leave.
        on_the_way: Arrivals of packets sent to it that no report of its has covered.
        taken: Packets that its reports have covered.
        sent: Packets that it has sent.
    """

    now_ns: int
    next_ns: int
    held: bool = False
    waits: bool = False
    gone: bool = False
    granted_ns: int = -1
    on_the_way: deque[int] = field(default_factory=deque)
    taken: int = 0
    sent: int = 0

    @property
    def earliest_ns(self) -> int:
        """It acts no earlier than that."""
        if self.gone:
            return NEVER
        return min(self.now_ns if self.held else self.next_ns, *self.on_the_way, NEVER)


class Advance:
    """The time of all hosts, from the moment at which it became virtual."""

    def __init__(self, hosts: int, lookahead_ns: int, begin_ns: int) -> None:
        """Starts.

        Args:
            hosts: How many; they are numbered from 0.
            lookahead_ns: The shortest time from one host's act to another's that it causes; at least 1.
            begin_ns: When virtual time begins.
        """
        if hosts < 1 or lookahead_ns < 1:
            raise ValueError("at least one host, and a lookahead of at least 1 ns")
        self.lookahead_ns = lookahead_ns
        self.hosts = [HostTime(begin_ns, begin_ns) for _ in range(hosts)]
        self.grants = 0

    def report(self, host: int, now_ns: int, next_ns: int, packets_taken: int, held: bool) -> None:
        """Takes a host's report.

        Raises:
            ProtocolError: Its time runs backwards or past its leave, or it has taken packets that nobody sent.
        """
        time = self._living(host)
        if now_ns < time.now_ns:
            raise ProtocolError(f"host {host}'s time went back, from {time.now_ns} to {now_ns}")
        if now_ns > max(time.granted_ns, time.now_ns):
            raise ProtocolError(f"host {host} went to {now_ns} with leave up to {time.granted_ns} only")
        if next_ns < now_ns:
            raise ProtocolError(f"host {host} wants to go back, from {now_ns} to {next_ns}")
        newly_taken = packets_taken - time.taken
        if not 0 <= newly_taken <= len(time.on_the_way):
            raise ProtocolError(
                f"host {host} took {packets_taken} packets where {time.taken} to "
                f"{time.taken + len(time.on_the_way)} are possible"
            )
        for _ in range(newly_taken):
            time.on_the_way.popleft()
        time.taken = packets_taken
        time.now_ns, time.next_ns, time.held = now_ns, next_ns, held
        time.waits = True

    def send(self, sender: int, to: int, arrival_ns: int) -> None:
        """Notes a packet that is handed to `to` before any leave that is given later.

        Raises:
            ProtocolError: It arrives sooner than the network allows, or nowhere.
        """
        if not 0 <= to < len(self.hosts) or to == sender:
            raise ProtocolError(f"host {sender} sent a packet to host {to}, which is none of the others")
        earliest_ns = self._living(sender).earliest_ns
        if arrival_ns < earliest_ns + self.lookahead_ns:
            raise ProtocolError(
                f"host {sender} sent a packet that arrives at {arrival_ns}, sooner than {self.lookahead_ns} ns after "
                f"{earliest_ns}, the earliest that it could have sent it"
            )
        # An answer may follow it at once; the clock of the sender keeps to the same limit by itself.
        time = self.hosts[sender]
        time.sent += 1
        time.granted_ns = min(time.granted_ns, arrival_ns + self.lookahead_ns - 1)
        receiver = self.hosts[to]
        if arrival_ns <= receiver.granted_ns:
            raise ProtocolError(f"a packet of host {sender} came too late for host {to}")
        if not receiver.gone:
            receiver.on_the_way.append(arrival_ns)

    def leave(self, host: int) -> None:
        """A host that has ended holds up nobody."""
        self.hosts[host].gone = True

    def due(self) -> list[tuple[int, int, int]]:
        """Hosts that get leave now, up to where, inclusive, and how many packets of theirs that takes into account.

        Each is told once.
        """
        found = []
        for host, time in enumerate(self.hosts):
            if time.gone or time.held or not time.waits:
                continue
            others = min(
                (other.earliest_ns for index, other in enumerate(self.hosts) if index != host), default=NEVER
            )
            until_ns = min(others + self.lookahead_ns - 1, NEVER)
            if time.earliest_ns != NEVER and time.earliest_ns <= until_ns and until_ns > time.granted_ns:
                time.granted_ns = until_ns
                time.waits = False
                found.append((host, until_ns, time.sent))
        self.grants += len(found)
        return found

    @property
    def is_stuck(self) -> bool:
        """Nobody has anything left to do, and nobody stands still on purpose."""
        living = [time for time in self.hosts if not time.gone]
        return bool(living) and all(
            time.waits and not time.held and time.earliest_ns == NEVER for time in living
        )

    def _living(self, host: int) -> HostTime:
        time = self.hosts[host]
        if time.gone:
            raise ProtocolError(f"host {host} has said goodbye before")
        return time
