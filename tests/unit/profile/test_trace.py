"""Reading traces, and joining them with launch features."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from revati.profile import join, record, trace
from revati.profile.schema import Header, ProfileError, Value

HEADER = Header("test", "NVIDIA H200", "1", {}, "cupti", "t")


def kernel(name: str, ts: float, dur: float, stream: int = 7, correlation: int = 1) -> dict[str, Any]:
    details = {
        "device": 0,
        "stream": stream,
        "correlation": correlation,
        "grid": [4, 1, 1],
        "block": [128, 1, 1],
    }
    return {
        "ph": "X",
        "cat": "kernel",
        "name": name,
        "ts": ts,
        "dur": dur,
        "args": {**details, "shared memory": 16, "graph node id": 3},
    }


def write_trace(path: Path, events: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"traceEvents": [*events, {"ph": "M", "name": "process_name"}]}))
    return path


def test_reads_what_the_device_did(tmp_path: Path) -> None:
    events = [
        kernel("second", 20.5, 2.25, correlation=6),
        kernel("first", 10, 1.5, correlation=5),
        {
            "ph": "X",
            "cat": "gpu_memcpy",
            "name": "Memcpy HtoD (Pinned -> Device)",
            "ts": 30,
            "dur": 1,
            "args": {"bytes": 64},
        },
        {
            "ph": "X",
            "cat": "cuda_runtime",
            "name": "cudaLaunchKernel",
            "ts": 3,
            "dur": 1,
            "args": {"correlation": 5},
        },
        {"ph": "X", "cat": "user_annotation", "name": "outer", "ts": 1, "dur": 9},
        {"ph": "X", "cat": "user_annotation", "name": "inner", "ts": 2, "dur": 4},
    ]
    found = trace.read(write_trace(tmp_path / "trace.json", events))
    assert [item.name for item in found.activities[:2]] == ["first", "second"]
    assert found.activities[1].duration_ns == 2250
    assert found.activities[0].grid == (4, 1, 1)
    assert found.activities[0].shared_bytes == 16
    assert found.range_of(5) == "inner"
    assert found.range_of(6) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"traceEvents": 5}', '{"traceEvents": [{"ph": "X", "cat": "kernel"}]}']
)
def test_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text)
    with pytest.raises(ProfileError, match=r"not a torch\.profiler trace"):
        trace.read(path)


def activities(tmp_path: Path, *names: str) -> tuple[trace.Activity, ...]:
    events = [kernel(name, 10.0 * index, 1 + index) for index, name in enumerate(names)]
    return trace.read(write_trace(tmp_path / "trace.json", events)).activities


def virtual(*names: str) -> list[join.VirtualLaunch]:
    return [join.VirtualLaunch(name, 1, "fill", {"bytes": 100 + index}) for index, name in enumerate(names)]


def test_alignment_takes_a_library_call_for_its_kernel(tmp_path: Path) -> None:
    real = activities(tmp_path, "norm", "nvjet_hsh_128x64", "rope", "flash", "stray", "act")
    matched = join.align(real, virtual("norm", "cublasGemmEx", "rope", "flash", "act"))
    assert {index: features["bytes"] for index, (_, features) in matched.items()} == {
        0: 100,
        1: 101,
        2: 102,
        3: 103,
        5: 104,
    }


def test_what_nobody_can_name_is_kept_by_geometry_and_counted(tmp_path: Path) -> None:
    def extractor(name: str, *_: Any) -> tuple[str, Mapping[str, Value]] | None:
        return ("fill", {"bytes": 8}) if name == "known" else None

    joined = join.join(activities(tmp_path, "known", "strange", "known"), extractor)
    records = {item.family: item for item in joined.records(HEADER)}
    assert records["fill"].count == 2
    assert records["fill"].duration_ns == 2000
    assert records["other"].features["kernel"] == "strange"
    assert records["other"].features["grid"] == (4, 1, 1)
    assert (joined.named_ns, joined.unnamed_ns) == (4000, 2000)


def test_an_extraction_that_left_the_format_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no feature"):
        join.join(activities(tmp_path, "x"), lambda *_: ("fill", {"bytes": 8, "colour": 1}))


def test_raw_launches_are_kept_compactly(tmp_path: Path) -> None:
    path = tmp_path / "launches.json.xz"
    record.write_activities(path, activities(tmp_path, "a", "b", "a"))
    document = json.loads(lzma.decompress(path.read_bytes()))
    assert document["names"] == ["a", "b"]
    assert [row[1] for row in document["rows"]] == [0, 1, 0]
    assert len(document["columns"]) == len(document["rows"][0])


def test_launch_logs_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"name": "k", "stream": 0, "family": "fill", "features": {"bytes": 4}}\n')
    assert join.read_launch_log(path) == [join.VirtualLaunch("k", 0, "fill", {"bytes": 4})]
    path.write_text('{"name": "k", "stream": 0, "family": "fill"}\n')
    with pytest.raises(ProfileError, match="line 1"):
        join.read_launch_log(path)
