"""Chrome's trace event format, which ui.perfetto.dev and chrome://tracing open: streams, graphs, host threads, requests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from revati.tracing import steps
from revati.tracing.names import short
from revati.tracing.records import Price, Trace

# Nodes inside graphs are left out beyond this: Perfetto takes about so many events without trouble.
MAX_EVENTS = 2_000_000
_CLIENT = 0  # process id under which requests are shown
_HOST_BASE = 1_000_000  # thread ids of streams and of host threads must not meet
_STEPS = 999_999


def write(path: Path, traces: Sequence[Trace], report: dict[str, Any] | None = None) -> int:
    """Writes a trace; `.gz` at the end of its name compresses it.

    Args:
        path: File to write.
        traces: Of a session's processes.
        report: The benchmark client's own, for the requests.

    Returns:
        The number of events.
    """
    launches = sum(
        1 if item.price is not None else len(trace.graphs.get(item.graph, ()))
        for trace in traces
        for item in trace.work
    )
    starts = [item.start_ns for trace in traces for item in trace.work]
    starts += [span.start_ns for trace in traces for span in trace.host]
    origin = min(starts, default=0)
    if report and report.get("start_times"):
        origin = min(origin, round(1e9 * min(report["start_times"])))
    count = 0
    with _open(path) as file:
        file.write('{"displayTimeUnit":"ns","traceEvents":[\n')
        for event in _events(traces, report, origin, launches <= MAX_EVENTS):
            file.write((",\n" if count else "") + json.dumps(event, separators=(",", ":")))
            count += 1
        note = "" if launches <= MAX_EVENTS else "graphs are shown without their nodes: the trace is long"
        file.write('\n],"otherData":' + json.dumps({"time": "virtual", "note": note}) + "}\n")
    return count


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "wt", compresslevel=3, encoding="utf-8")
    return path.open("w", encoding="utf-8")


def _events(
    traces: Sequence[Trace], report: dict[str, Any] | None, origin: int, nodes: bool
) -> Iterator[dict[str, Any]]:
    for trace in traces:
        gpus = ", ".join(str(device) for device in sorted({item.device for item in trace.work}))
        yield _meta("process_name", trace.pid, 0, f"GPU {gpus} (pid {trace.pid})")
        yield from _names(trace)
        yield from _work(trace, origin, nodes)
        for span in trace.host:
            track, length_ns = _HOST_BASE + span.thread, span.end_ns - span.start_ns
            yield _slice(short(span.what, 80), trace.pid, track, span.start_ns - origin, length_ns)
        for step in steps.split(trace):
            decoding, others, tokens, keys = step.lengths
            yield {
                **_slice(step.phase, trace.pid, _STEPS, step.start_ns - origin, step.end_ns - step.start_ns),
                "args": {
                    "decoding sequences": decoding,
                    "other sequences": others,
                    "query tokens": tokens,
                    "keys": keys,
                },
            }
    if report:
        yield _meta("process_name", _CLIENT, 0, "requests")
        yield from _requests(report, origin)


def _names(trace: Trace) -> Iterator[dict[str, Any]]:
    yield _meta("thread_name", trace.pid, _STEPS, "engine steps")
    for device, stream in sorted({(item.device, item.stream) for item in trace.work}):
        yield _meta("thread_name", trace.pid, _track(device, stream), f"GPU {device} stream {stream}")
    threads = {item.thread for item in trace.work} | {span.thread for span in trace.host}
    for thread in sorted(threads):
        yield _meta("thread_name", trace.pid, _HOST_BASE + thread, f"host thread {thread}")


def _work(trace: Trace, origin: int, nodes: bool) -> Iterator[dict[str, Any]]:
    for item in trace.work:
        track, start = _track(item.device, item.stream), item.start_ns - origin
        if item.price is not None:
            yield _launch(item.price, trace.pid, track, start, item.duration_ns)
        else:
            yield {
                **_slice(f"graph {item.graph}", trace.pid, track, start, item.duration_ns),
                "args": {"nodes": len(trace.graphs.get(item.graph, ()))},
            }
            if nodes:
                for at, price in trace.unfold(item):
                    yield _launch(price, trace.pid, track, at - origin, price.duration_ns)


def _launch(price: Price, pid: int, track: int, start_ns: int, duration_ns: int) -> dict[str, Any]:
    return {
        **_slice(short(price.label, 80), pid, track, start_ns, duration_ns),
        "cat": price.family,
        "args": {
            "family": price.family,
            "source": price.source,
            "confidence": round(price.confidence, 3),
            "shape": str(price.shape or ""),
        },
    }


def _requests(report: dict[str, Any], origin: int) -> Iterator[dict[str, Any]]:
    columns = (report.get(key) or [] for key in ("start_times", "ttfts", "itls", "input_lens", "output_lens"))
    for number, (start_s, ttft_s, itls_s, asked, made) in enumerate(zip(*columns, strict=False)):
        first = start_s + ttft_s
        spans = (("first token", start_s, first), ("more tokens", first, first + sum(itls_s)))
        for name, begin_s, end_s in spans:
            common = {"cat": "request", "id": number, "pid": _CLIENT, "tid": 0, "name": name}
            yield {
                **common,
                "ph": "b",
                "ts": (1e9 * begin_s - origin) / 1e3,
                "args": {"request": number, "prompt tokens": asked, "answer tokens": made},
            }
            yield {**common, "ph": "e", "ts": (1e9 * end_s - origin) / 1e3}


def _slice(name: str, pid: int, tid: int, start_ns: float, duration_ns: float) -> dict[str, Any]:
    return {"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": start_ns / 1e3, "dur": duration_ns / 1e3}


def _meta(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def _track(device: int, stream: int) -> int:
    return 1 + device * 10_000 + stream % 10_000
