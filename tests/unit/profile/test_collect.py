"""The plan of what to measure, and the bookkeeping that survives interruptions."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from revati.profile import collect, files
from revati.profile.schema import Header
from revati.profile.spread import spread_of

HEADER = Header(collect.SOURCE, "NVIDIA H200", "1", {"torch": "2.11.0", "vllm": "0.24.0"}, "graph", "t")
SCRIPTS = Path(__file__).parents[3] / "scripts" / "gpu"


def test_the_plan_is_of_the_format_and_begins_with_what_tables_lack() -> None:
    pytest.importorskip("torch")
    from revati.profile.cases import plan

    cases = [case.check() for case in plan()]
    assert len({case.key for case in cases}) == len(cases)
    assert [case.order for case in cases] == sorted(case.order for case in cases)
    tiers = list(dict.fromkeys(case.tier for case in cases))
    assert tiers[:3] == ["overheads", "copies", "attention_mixed"]
    families = {case.family for case in cases}
    assert families >= {
        "gemm",
        "attention",
        "moe",
        "norm",
        "elementwise",
        "sampler",
        "embedding",
        "kv_cache",
        "copy",
    }
    assert any(case.family == "gemm" and int(str(case.features["n"])) > 65536 for case in cases[:400])
    mixed = next(case for case in cases if case.tier == "attention_mixed")
    lengths = mixed.features["q_lengths"]
    assert isinstance(lengths, tuple)
    assert len(set(lengths)) > 1


def test_what_is_measured_is_known_only_for_the_same_gpu_and_software(tmp_path: Path) -> None:
    record = HEADER.record("fill", {"bytes": 4}, 5.0, 0.0, 3)
    path = tmp_path / "profile-0.jsonl"
    files.write(path, HEADER, [record])
    assert collect.measured_keys([path], HEADER) == {record.key}
    for other in (
        {"gpu": "NVIDIA H100"},
        {"versions": {"torch": "2.11.0", "vllm": "0.25.0"}},
        {"source": "revati profile collect (virtual GPU)"},
    ):
        assert collect.measured_keys([path], dataclasses.replace(HEADER, **other)) == set()


def test_the_case_that_ended_the_process_is_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = collect.State(path, retry=False)
    state.begin("good")
    state.finish()
    state.begin("bad")  # and here the process dies
    state = collect.State(path, retry=False)
    assert list(state.failed) == ["bad"]
    state.fail("worse", "failed: RuntimeError")
    assert collect.State(path, retry=False).failed.keys() == {"bad", "worse"}
    assert collect.State(path, retry=True).failed == {}


def test_parts_are_complete_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "_PART_BYTES", 600)
    output = collect.Output(tmp_path, HEADER)
    for size in range(1, 12):
        output.add([HEADER.record("fill", {"bytes": size}, 5.0, 0.0, 3)])
    parts = sorted(tmp_path.glob("profile-*.jsonl"))
    assert len(parts) > 1
    assert len(collect.measured_keys(parts, HEADER)) == 11


def test_spread() -> None:
    assert spread_of([5.0]) == 0
    assert spread_of([1.0] * 9 + [100.0]) == pytest.approx(99)
    assert spread_of(range(90, 111)) == pytest.approx(0.16)


@pytest.mark.parametrize("script", ["collect", "record", "serve_truth", "conformance", "pack", "unpack"])
def test_scripts_need_nothing_of_ours(script: str, tmp_path: Path) -> None:
    """With an isolated Python that sees no installed package at all, `--help` works."""
    path = SCRIPTS / f"{script}.py"
    code = f"import sys, runpy; sys.path.insert(0, {str(path.parent)!r}); sys.argv = [{script!r}, '--help']; "
    code += f"runpy.run_path({str(path)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_without_a_gpu_the_answer_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "collect.py"), "--out", str(tmp_path / "out"), "--seconds", "60"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("revati: no GPU here")


def test_the_most_wanted_list_says_why(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from revati.profile.cases import plan

    cases = plan()[:10]
    done = {case.key for case in cases[:4]}
    collect.write_most_wanted(tmp_path, HEADER, cases, done, {cases[5].key: "unreachable: needs vllm"})
    document = json.loads((tmp_path / "most_wanted.json").read_text())
    assert (document["planned"], document["measured"]) == (10, 4)
    assert sum(entry["cases"] for entry in document["missing"]) == 6
    assert {entry["reason"] for entry in document["missing"]} == {"not reached", "unreachable: needs vllm"}
