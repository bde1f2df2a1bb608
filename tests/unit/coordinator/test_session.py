"""Sessions of the coordinator without a network: who may join, and messages that are wrong, reordered or random."""

from __future__ import annotations

import random
from typing import Any

import pytest
from revati.coordinator import revati_coordinator_pb2 as pb
from revati.coordinator.advance import NEVER, ProtocolError
from revati.coordinator.session import RefusedError, Session


def hello(host: int = 0, **changes: Any) -> pb.Hello:
    fields = {"version": "1", "session": "s", "host": host, "hosts": 2, "lookahead_ns": 1000}
    return pb.Hello(**{**fields, "configuration": "c", "name": f"machine{host}", **changes})


def joined() -> tuple[Session, list[list[pb.FromRoot]]]:
    session = Session(hello(0))
    told: list[list[pb.FromRoot]] = [[], []]
    for host in range(2):
        session.join(hello(host), told[host].append)
    session.welcome(10.0)
    return session, told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": 2}, "does not fit"),
        ({"hosts": 3}, "does not fit"),
        ({"host": 0}, "here already: machine0"),
        ({"configuration": "other"}, "configured otherwise"),
        ({"lookahead_ns": 5}, "configured otherwise"),
    ],
)
def test_who_cannot_join(changes: dict[str, Any], said: str) -> None:
    session = Session(hello(0))
    session.join(hello(0), lambda _: None)
    with pytest.raises(RefusedError, match=said):
        session.join(hello(**{"host": 1, **changes}), lambda _: None)
    with pytest.raises(RefusedError, match="no such session"):
        Session(hello(0, hosts=0))


def test_time_begins_for_all_at_once_and_ends_for_all() -> None:
    session, told = joined()
    session.take(1, pb.FromHost(sequence=1, want_arm=pb.WantArm()))
    begin = told[0][1].arm.virtual_ns
    assert begin % (3600 * 10**9) == (2**20 * 10**9) % (3600 * 10**9)
    assert told[1][1].arm == told[0][1].arm
    for host, number in ((0, 1), (1, 2)):
        report = pb.Report(now_ns=begin, next_ns=begin + 5 if host == 0 else NEVER)
        session.take(host, pb.FromHost(sequence=number, report=report))
    assert told[0][2].grant.until_ns == begin + 999  # the other one had not spoken yet
    session.lose(1, "its machine burns")
    assert told[0][-1].end.why == "host 1 (machine1): its machine burns"
    assert [message.sequence for message in told[0]] == list(range(len(told[0])))


def test_a_silent_host_ends_the_run() -> None:
    session, told = joined()
    session.members[0].heard_s += 5.0
    session.check(session.members[1].heard_s + 10.5, 10.0, 60.0)
    assert "machine1): nothing was heard of it for 10 s" in told[0][-1].end.why


def test_nothing_can_move() -> None:
    session, told = joined()
    session.take(0, pb.FromHost(sequence=1, want_arm=pb.WantArm()))
    begin = told[0][1].arm.virtual_ns
    for host, number in ((0, 2), (1, 1)):
        session.take(host, pb.FromHost(sequence=number, report=pb.Report(now_ns=begin, next_ns=NEVER)))
    now = session.members[0].heard_s
    session.check(now, 1e9, 60.0)
    session.check(now + 61, 1e9, 60.0)
    assert "nothing can move" in told[1][-1].end.why


def random_message(source: random.Random, begin: int) -> pb.FromHost:
    number = source.choice(
        [0, 1, begin, begin + source.randrange(10**6), NEVER, -1, source.randrange(-(2**63), 2**63)]
    )
    other = source.choice([begin, NEVER, begin + source.randrange(10**6), -5])
    return source.choice(
        [
            pb.FromHost(report=pb.Report(now_ns=number, next_ns=other, packets_taken=source.randrange(3))),
            pb.FromHost(report=pb.Report(now_ns=begin, next_ns=begin + source.randrange(1000), held=True)),
            pb.FromHost(
                packet=pb.Packet(to=source.randrange(4), arrival_ns=number, body=source.randbytes(9))
            ),
            pb.FromHost(want_arm=pb.WantArm()),
            pb.FromHost(hello=hello(0)),
            pb.FromHost(alive=pb.Alive()),
            pb.FromHost(),
        ]
    )


def test_random_messages_are_taken_or_refused_and_nothing_else() -> None:
    refused = 0
    for seed in range(300):
        source = random.Random(seed)
        session, told = joined()
        session.take(0, pb.FromHost(sequence=1, want_arm=pb.WantArm()))
        begin = told[0][1].arm.virtual_ns
        numbers = [2, 1]
        for _ in range(30):
            host = source.randrange(2)
            message = random_message(source, begin)
            message.sequence = numbers[host]
            try:
                session.take(host, message)
                numbers[host] += 1
            except ProtocolError:
                refused += 1
                break
    assert refused > 100


def test_reordered_messages_are_noticed() -> None:
    session, _ = joined()
    with pytest.raises(ProtocolError, match="message 2 of host 0 came where number 1 was due"):
        session.take(0, pb.FromHost(sequence=2, want_arm=pb.WantArm()))
    with pytest.raises(ProtocolError, match="came where number"):
        session.take(1, pb.FromHost(sequence=0, alive=pb.Alive()))
