"""Conservative advance, against hosts that do and send things at random."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest
from revati.coordinator.advance import NEVER, Advance, ProtocolError

LOOKAHEAD = 15_000


@dataclass
class ToyHost:
    """Does something now and then, and sends; keeps to the rules of native/clock/coordinator/leave.h."""

    events: list[int]
    now: int = 0
    granted: int = -1
    taken: int = 0
    answers: list[int] = field(default_factory=list)  # earliest, to each packet that it has sent
    history: list[int] = field(default_factory=list)
    reported: tuple[int, int, int] | None = None

    @property
    def next(self) -> int:
        return self.events[0] if self.events else NEVER


def run(seed: int, hosts_count: int) -> tuple[list[list[int]], int]:  # noqa: PLR0912
    """Each host's events in the order in which it did them, and how often leave was given."""
    order, world = random.Random(seed), random.Random(12345)
    hosts = []
    for _ in range(hosts_count):
        hosts.append(ToyHost(sorted(world.randrange(1, 2_000_000) for _ in range(60))))
    advance = Advance(hosts_count, LOOKAHEAD, 0)
    to_root: list[list[tuple[str, int, int, int]]] = [[] for _ in hosts]
    to_host: list[list[tuple[str, int, int]]] = [[] for _ in hosts]
    while True:
        busy = [index for index in range(hosts_count) if to_root[index] or to_host[index]]
        ready = [
            index
            for index, host in enumerate(hosts)
            if (host.events and host.next <= host.granted)
            or host.reported != (host.now, host.next, host.taken)
        ]
        if not busy and not ready:
            break
        index = order.choice(busy + ready)
        host = hosts[index]
        if to_root[index] and order.random() < 0.5:
            kind, first, second, third = to_root[index].pop(0)
            if kind == "report":
                advance.report(index, first, second, third, False)
            else:
                advance.send(index, first, second)
                to_host[first].append(("packet", second, 0))
            for granted, until, sent in advance.due():
                to_host[granted].append(("grant", until, sent))
        elif to_host[index]:
            kind, value, known = to_host[index].pop(0)
            if kind == "grant":
                host.granted = min(value, *(answer - 1 for answer in host.answers[known:]), NEVER)
            else:
                assert value > host.now, "a packet from the past"
                heapq.heappush(host.events, value)
                host.taken += 1
        elif host.events and host.next <= host.granted:
            moment = heapq.heappop(host.events)
            assert moment >= host.now
            host.now = moment
            host.history.append(moment)
            # What a host does depends on its own past only.
            if (moment * 7919 + index) % 3 == 0 and moment < 3_000_000:
                to = (index + 1 + moment % (hosts_count - 1)) % hosts_count if hosts_count > 1 else index
                if to != index:
                    arrival = moment + LOOKAHEAD + moment % 5
                    to_root[index].append(("packet", to, arrival, 0))
                    host.answers.append(arrival + LOOKAHEAD)
                    host.granted = min(host.granted, arrival + LOOKAHEAD - 1)
        elif host.reported != (host.now, host.next, host.taken):
            host.reported = (host.now, host.next, host.taken)
            to_root[index].append(("report", *host.reported))
    assert advance.is_stuck
    return [host.history for host in hosts], advance.grants


@pytest.mark.parametrize("hosts", [1, 2, 3, 5])
def test_whatever_the_order_of_messages_the_history_is_one(hosts: int) -> None:
    expected, _ = run(0, hosts)
    assert sum(map(len, expected)) >= 60 * hosts
    for seed in range(1, 40):
        assert run(seed, hosts)[0] == expected


def test_a_host_alone_asks_once_and_an_idle_one_holds_nobody_up() -> None:
    advance = Advance(2, LOOKAHEAD, 0)
    advance.report(1, 0, NEVER, 0, False)
    advance.report(0, 0, 10, 0, False)
    assert advance.due() == [(0, NEVER, 0)]


def test_a_host_that_stands_still_holds_the_others() -> None:
    advance = Advance(2, LOOKAHEAD, 100)
    advance.report(0, 100, 200, 0, True)
    advance.report(1, 100, 100 + LOOKAHEAD, 0, False)
    assert advance.due() == []
    assert not advance.is_stuck
    advance.leave(0)
    assert advance.due() == [(1, NEVER, 0)]


def test_an_answer_shortens_the_leave() -> None:
    advance = Advance(2, LOOKAHEAD, 0)
    advance.report(1, 0, NEVER, 0, False)
    advance.report(0, 0, 10, 0, False)
    assert advance.due() == [(0, NEVER, 0)]
    advance.send(0, 1, 10 + LOOKAHEAD)
    assert advance.due() == []  # the first one may still send what arrives before
    advance.report(0, 10, 10 + LOOKAHEAD, 0, False)
    assert [host for host, _, _ in advance.due()] == [1]  # the first one has leave so far already
    advance.send(1, 0, 10 + 2 * LOOKAHEAD)
    with pytest.raises(ProtocolError, match="leave up to"):
        advance.report(0, 10 + 2 * LOOKAHEAD, NEVER, 0, False)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda a: a.report(0, -1, 5, 0, False), "went back"),
        (lambda a: a.report(0, 9, 10, 0, False), "with leave up to"),
        (lambda a: a.report(0, 0, -5, 0, False), "wants to go back"),
        (lambda a: a.report(0, 0, 5, 1, False), "took 1 packets"),
        (lambda a: a.send(0, 1, LOOKAHEAD - 1), "sooner than"),
        (lambda a: a.send(0, 0, LOOKAHEAD), "none of the others"),
        (lambda a: a.send(0, 7, LOOKAHEAD), "none of the others"),
        (lambda a: (a.leave(0), a.report(0, 0, 5, 0, False)), "goodbye"),
    ],
)
def test_what_cannot_be_true_is_refused(act: object, said: str) -> None:
    assert callable(act)
    with pytest.raises(ProtocolError, match=said):
        act(Advance(2, LOOKAHEAD, 0))
