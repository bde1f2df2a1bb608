"""Traces of launches, written here as native/device/trace.h describes them: read, cut into steps, laid out, drawn."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner

from revati.commands import explain as explain_command
from revati.errors import UsageError
from revati.tracing import chrome, explain, records, steps

HEADER, TEXT, DESCRIPTION, WORK, NODE, REPLAY, CHANGED, CALL, WAIT = range(1, 10)
GEMM, ATTENTION, SAMPLER, MODEL, ROOFLINE = 0, 1, 6, 1, 2
THREAD = 99


def record(
    kind: int, number: int = 0, values: tuple[int, ...] = (), codes: tuple[int, int, int] = (0, 0, 0)
) -> bytes:
    return struct.pack("<BBBBI7q", kind, *codes, number, *values, *(7 - len(values)) * (0,))


def text(number: int, content: str) -> bytes:
    data = content.encode()
    return record(TEXT, number, (len(data),)) + data.ljust(-(-len(data) // 64) * 64, b"\0")


def described(
    number: int,
    family: int,
    source: int,
    label: int,
    ns: int,
    confidence: float = 0.9,
    shape: tuple[int, ...] = (),
) -> bytes:
    bits = struct.unpack("<I", struct.pack("<f", confidence))[0]
    kind = {0: 0, GEMM + 1: 1, ATTENTION + 1: 2}[family + 1 if shape else 0]
    return record(DESCRIPTION, number, (ns, bits << 32 | label, *shape), (family, source, kind))


def attention(queries: int, single: int, others: int, keys: int) -> tuple[int, ...]:
    return (single, others, queries, keys, 8 << 32 | 128)


def work(number: int, start: int, end: int) -> bytes:
    return record(CALL, 0, (start - 8, start - 5, 0, 0, THREAD)) + record(
        WORK, number, (start, end, start - 5, 7, THREAD)
    )


def trace() -> bytes:
    """A prefill of single launches, two decode steps that replay a graph of two layers."""
    data = record(HEADER, 2, (1234,))
    data += text(1, "product") + text(2, "attention_" + "x" * 70) + text(3, "sampler")
    data += described(1, GEMM, MODEL, 1, 50, shape=(64, 4096, 4096, 1, 1285))
    data += described(2, ATTENTION, MODEL, 2, 20, shape=attention(64, 0, 1, 64))
    data += described(3, SAMPLER, ROOFLINE, 3, 10, 0.5)
    data += work(1, 100, 150) + work(2, 160, 180) + work(3, 200, 210)
    data += described(4, GEMM, MODEL, 1, 30, shape=(1, 4096, 4096, 1, 1285)) + described(
        5, ATTENTION, MODEL, 2, 7
    )
    # Node 4 is an event and no work.
    for index, number in enumerate((4, 5, 4, 5)):
        data += record(NODE, 1, (index + (index > 1), number))
    for start, number, keys in ((300, 6, 65), (500, 7, 66)):
        data += described(number, ATTENTION, MODEL, 2, keys - 60, shape=attention(1, 1, 0, keys))
        data += record(REPLAY, 1, (start, start + 80, start - 5, 7, THREAD, 2))
        for index in (1, 4):
            data += record(CHANGED, number, (index,))
        data += work(3, start + 90, start + 100)
    return data + record(WAIT, 0, (100, 210, 0, 0, THREAD)) + bytes(640)


@pytest.fixture
def read(tmp_path: Path) -> list[records.Trace]:
    (tmp_path / "trace.1234").write_bytes(trace())
    (tmp_path / "trace.json").write_bytes(b"not one of ours")
    return records.read(tmp_path)


def test_records_are_read(read: list[records.Trace]) -> None:
    (found,) = read
    assert found.pid == 1234
    assert len(found.work) == 7
    assert [span.what for span in found.host[:2]] == ["launch product", "launch attention_" + "x" * 70]
    assert found.host[-1].what == "wait for the GPU"
    first = found.work[0].price
    assert first is not None
    assert (first.family, first.source, first.label) == ("gemm", "model", "product")
    assert str(first.shape) == "64x4096x4096 bf16*bf16"
    replay = found.work[3]
    assert [price.duration_ns for price in found.prices(replay)] == [30, 5, 30, 5]
    assert next(iter(found.unfold(replay)))[0] == 300


def test_a_torn_or_foreign_file_does_no_harm(tmp_path: Path) -> None:
    data = trace()
    for size in range(0, len(data), 31):
        (tmp_path / "trace.1").write_bytes(data[:size])
        records.read(tmp_path)
    (tmp_path / "trace.1").write_bytes(record(HEADER, 99, (1,)) + data)
    assert records.read(tmp_path) == []


def test_any_bytes_are_read_or_refused(tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(300):
        data = bytearray(trace())
        for _ in range(12):
            data[chance.randrange(64, len(data))] = chance.randrange(256)
        (tmp_path / "trace.1").write_bytes(data)
        for found in records.read(tmp_path):
            explain.total([found], steps.split(found), None, None)


def test_steps(read: list[records.Trace]) -> None:
    found = steps.split(read[0])
    assert [step.phase for step in found] == ["prefill", "decode", "decode"]
    assert [len(step.work) for step in found] == [3, 2, 2]
    assert found[1].start_ns == 300
    assert found[1].busy_ns == 90
    assert len(steps.split(read[0], begin_ns=290)) == 2


def test_time_and_doubt_are_summed_up(read: list[records.Trace]) -> None:
    totals = explain.total(read, steps.split(read[0]), None, None)
    assert totals.by(lambda key: key[1]) == {"gemm": 170, "attention": 42, "sampler": 30}
    assert totals.by(lambda key: key[2]) == {"model": 212, "roofline": 30}
    assert totals.by(lambda key: key[0])["prefill"] == 80
    worst = totals.uncertain()[0]
    assert worst.price.label == "sampler"
    assert worst.count == 3
    assert worst.doubt_ns == pytest.approx(15)


def test_layers_are_laid_out_once(read: list[records.Trace]) -> None:
    step = explain.typical(steps.split(read[0]), "decode")
    assert step is not None
    blocks = explain.layout(step)
    assert [(len(block.lines), block.times) for block in blocks] == [(2, 2), (1, 1)]


def test_chrome_trace(read: list[records.Trace], tmp_path: Path) -> None:
    report = {
        "start_times": [1e-7],
        "ttfts": [1e-7],
        "itls": [[2e-7]],
        "input_lens": [64],
        "output_lens": [2],
    }
    count = chrome.write(tmp_path / "t.json", read, report)
    document = json.loads((tmp_path / "t.json").read_text())
    events = document["traceEvents"]
    assert len(events) == count
    assert all(event.get("ts", 0) >= 0 for event in events)
    names = {event["name"] for event in events}
    assert {"launch product", "product", "graph 1", "wait for the GPU", "first token", "decode"} <= names
    chrome.write(tmp_path / "t.json.gz", read)
    assert (tmp_path / "t.json.gz").read_bytes()[:2] == b"\x1f\x8b"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / "trace.1234").write_bytes(trace())
    return tmp_path


def test_explain(saved: Path) -> None:
    shown = CliRunner().invoke(explain_command.command, [str(saved)])
    assert shown.exit_code == 0, shown.output
    assert "A decode step: 1 decoding + 0 other sequences" in shown.output
    assert "A prefill step: 0 decoding + 1 other sequences" in shown.output
    assert "2 times:" in shown.output


def test_explain_json(saved: Path) -> None:
    shown = CliRunner().invoke(explain_command.command, [str(saved), "--json"])
    document = json.loads(shown.output)
    assert document["seconds_by_family_and_source"]["sampler"] == {"roofline": pytest.approx(3e-8)}
    assert sum(document["share_by_source"].values()) == pytest.approx(1)
    assert document["steps"] == {"prefill": 1, "mixed": 0, "decode": 2}
    assert [line["times"] for line in document["typical_steps"]["decode"]["blocks"]] == [2, 1]


def test_explain_counts_the_load_only(saved: Path) -> None:
    (saved / "client.json").write_text(
        json.dumps({"start_times": [2.9e-7], "ttfts": [1e-7], "itls": [[1e-6]]})
    )
    arguments = [str(saved), "--json"]
    assert json.loads(CliRunner().invoke(explain_command.command, arguments).output)["steps"]["prefill"] == 0
    everything = CliRunner().invoke(explain_command.command, [*arguments, "--all"])
    assert json.loads(everything.output)["steps"]["prefill"] == 1


def test_explain_says_what_it_lacks(tmp_path: Path) -> None:
    shown = CliRunner().invoke(explain_command.command, [str(tmp_path)])
    assert isinstance(shown.exception, UsageError)
