"""Reading traces, and joining them with launch features."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from revati.profile import join, launch_log, record, trace
from revati.profile.launch_log import Description, Execution, Taken
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


def virtual(*names: str) -> list[Execution]:
    """Launches that were taken for fills of 100 bytes and more; names that begin with `cublas` are library calls."""
    executions = []
    for index, name in enumerate(names):
        library = name.startswith("cublas")
        taken = Taken("fill", {"bytes": 100 + index}, "part" if name == "second pass" else "exact")
        grid, block = (None, None) if library else ((4, 1, 1), (128, 1, 1))
        what = Description(name, grid, block, 0 if library else 16, taken, "roofline")
        executions.append(Execution(0, 1, what, 0, 5))
    return executions


def bytes_of(joined: join.Joined) -> dict[str, set[Value]]:
    """By kernel: the bytes of the fills that it was taken for."""
    result: dict[str, set[Value]] = {}
    for group in joined.groups.values():
        if group.family == "fill":
            result.setdefault(group.launch.first.name, set()).add(group.features["bytes"])
    return result


def test_surroundings_tell_a_library_call_from_a_stray_kernel(tmp_path: Path) -> None:
    real = activities(tmp_path, "norm", "nvjet_hsh_128x64", "rope", "flash", "stray", "act")
    joined = join.join(real, None, virtual("norm", "cublasGemmEx", "rope", "flash", "act"))
    assert bytes_of(joined) == {
        "norm": {100},
        "nvjet_hsh_128x64": {101},
        "rope": {102},
        "flash": {103},
        "act": {104},
    }
    assert joined.unnamed_ns == 5000


def test_the_same_program_is_joined_in_order(tmp_path: Path) -> None:
    """The third launch looks like the first and is something else: only the order tells."""
    real = activities(tmp_path, "flash", "nvjet", "flash", "nvjet")
    joined = join.join(real, None, virtual("flash", "cublasLtMatmul", "flash", "cublasLtMatmul"))
    assert bytes_of(joined) == {"flash": {100, 102}, "nvjet": {101, 103}}


def test_where_virtual_launches_disagree_nothing_is_concluded(tmp_path: Path) -> None:
    real = activities(tmp_path, "flash", "nvjet", "act", "flash")
    seen = virtual("flash", "cublasLtMatmul", "act", "flash", "cublasLtMatmul", "act")
    joined = join.join(real, None, seen)
    assert bytes_of(joined) == {}
    assert joined.named_ns == 0
    assert joined.unnamed_ns == 1000 + 2000 + 3000 + 4000


def test_second_passes_belong_to_the_launch_before_them(tmp_path: Path) -> None:
    real = activities(tmp_path, "flash", "second pass", "nvjet", "cublasLt::splitKreduce_kernel<32>", "act")
    joined = join.join(real, None, virtual("flash", "second pass", "cublasLtMatmul", "act"))
    durations = {group.launch.first.name: group.durations for group in joined.groups.values()}
    assert durations == {"flash": [3000], "nvjet": [7000], "act": [5000]}
    record_of_product = next(item for item in joined.records(HEADER) if item.features["bytes"] == 102)
    assert [kernel.name for kernel in record_of_product.kernels] == [
        "nvjet",
        "cublasLt::splitKreduce_kernel<32>",
    ]


def test_what_nobody_can_name_is_kept_by_geometry_and_counted(tmp_path: Path) -> None:
    def extractor(name: str, *_: Any) -> Taken:
        certainty = "exact" if name == "known" else "guess"
        return Taken("fill", {"bytes": 8}, certainty)

    joined = join.join(activities(tmp_path, "known", "strange", "known"), extractor)
    records = {item.family: item for item in joined.records(HEADER)}
    assert records["fill"].count == 2
    assert records["fill"].duration_ns == 2000
    assert records["other"].features["kernel"] == "strange"
    assert records["other"].features["grid"] == (4, 1, 1)
    assert (joined.named_ns, joined.guessed_ns, joined.unnamed_ns) == (4000, 0, 2000)


def test_an_extraction_that_left_the_format_is_an_error(tmp_path: Path) -> None:
    taken = Taken("fill", {"bytes": 8, "colour": 1}, "exact")
    with pytest.raises(ProfileError, match="no feature"):
        join.join(activities(tmp_path, "x"), lambda *_: taken)


def test_raw_launches_are_kept_compactly(tmp_path: Path) -> None:
    path = tmp_path / "launches.json.xz"
    written = activities(tmp_path, "a", "b", "a")
    record.write_activities(path, HEADER, written)
    document = json.loads(lzma.decompress(path.read_bytes()))
    assert document["names"] == ["a", "b"]
    assert [row[1] for row in document["rows"]] == [0, 1, 0]
    assert record.read_activities(path) == (HEADER, list(written))
    path.write_bytes(lzma.compress(json.dumps({**document, "columns": ["other"]}).encode()))
    with pytest.raises(ProfileError, match="not raw launches"):
        record.read_activities(path)


LOG_LINE = {
    "id": 1,
    "name": "k",
    "grid": [2, 1, 1],
    "block": [32, 1, 1],
    "shared_bytes": 0,
    "family": "norm",
    "features": {"bytes": 4, "kernel": "k"},
    "certainty": "exact",
    "source": "roofline",
    "ns": 7,
}


def test_reads_a_launch_log(tmp_path: Path) -> None:
    path = tmp_path / "launches.1.jsonl"
    path.write_text(json.dumps(LOG_LINE) + "\n[0, 65, 1, 3, 7]\n")
    (execution,) = launch_log.read(path)
    assert (execution.stream, execution.replay, execution.ns) == (65, 3, 7)
    assert execution.description.taken == Taken("norm", {"bytes": 4, "kernel": "k"}, "exact")
    compressed = tmp_path / "launches.2.jsonl.xz"
    compressed.write_bytes(lzma.compress(path.read_bytes()))
    assert launch_log.read(tmp_path) == [execution, execution]


@pytest.mark.parametrize(
    "line",
    ["{", "[0, 1, 9, 0, 5]", "[0]", '{"id": 1}', json.dumps({**LOG_LINE, "certainty": "maybe"}),
     json.dumps({**LOG_LINE, "features": {"colour": 1}}), json.dumps({**LOG_LINE, "grid": [1]}), "7"],
)  # fmt: skip
def test_launch_logs_are_checked(tmp_path: Path, line: str) -> None:
    path = tmp_path / "launches.1.jsonl"
    path.write_text(json.dumps(LOG_LINE) + "\n" + line + "\n")
    with pytest.raises(ProfileError, match="line 2"):
        launch_log.read(path)


def test_a_folder_without_a_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no launch log here"):
        launch_log.read(tmp_path)
