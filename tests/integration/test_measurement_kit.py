"""The measurement kit, dry: every script on the virtual GPU, and a packed set in a clean environment.

What these runs measure means nothing; that they run, write what they should and go on where they stopped does.
"""

from __future__ import annotations

import dataclasses
import gzip
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from revati.profile import files, join, launch_log
from revati.profile.schema import key_of
from revati.tracing import explain
from revati.tracing import records as traces

from .conftest import BIN, run_revati

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts" / "gpu"
RECORD = (str(BIN / "revati"), "profile", "record")


def dry(script: str, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """A script on one virtual H200."""
    command = ["run", "--gpu", "h200-sxm", "--", sys.executable, str(SCRIPTS / f"{script}.py"), *arguments]
    return run_revati(*command, timeout=timeout)


def test_collect(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "--quick", "--per-tier", "1", "--seconds", "540"]
    done = dry("collect", *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    header, records = files.read(tmp_path / "profile-0.jsonl")
    assert header.gpu == "NVIDIA H200"
    assert header.source == "revati profile collect (virtual GPU)"
    assert header.notes["virtual"] is True
    assert header.versions["torch"].startswith("2.11.0")
    families = {record.family for record in records}
    assert families >= {
        "graph_overhead",
        "host_overhead",
        "copy",
        "attention",
        "norm",
        "gemm",
        "kv_cache",
        "embedding",
        "elementwise",
        "sampler",
        "moe",
    }
    copies = {record.features["kind"] for record in records if record.family == "copy"}
    assert copies == {"host_to_device", "device_to_host", "device_to_device"}
    wanted = json.loads((tmp_path / "most_wanted.json").read_text())
    assert wanted["measured"] == len(records)
    # Nothing but what this kit cannot measure is missing.
    assert {entry["tier"] for entry in wanted["missing"]} == {"collective"}, wanted["missing"]
    assert "unreachable" in wanted["missing"][0]["reason"]
    again = dry("collect", *arguments)
    assert again.returncode == 0, again.stderr
    assert f"{len(records)} measured before" in again.stdout
    assert not (tmp_path / "profile-1.jsonl").exists()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small program, recorded on the virtual GPU. What the emulator counted lies in `counted.json`."""
    out = tmp_path_factory.mktemp("recorded")
    program = [sys.executable, str(Path(__file__).parent / "recorded_program.py"), str(out / "counted.json")]
    # In virtual time the host always waits for the GPU: a slow host in real time may find its work done.
    options = (
        "--gpu",
        "h200-sxm",
        "--clock",
        "modelled",
        "--trace",
        str(out / "chrome.json"),
        "--out",
        str(out / "run"),
    )
    done = run_revati("run", *options, "--", *RECORD, "--out", str(out), "--", *program, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out


def test_the_launch_log_agrees_with_the_counters(recorded: Path) -> None:
    """Launch by launch it shows all work that the emulator put on its streams, replays of graphs included."""
    logged: Counter[tuple[str, str]] = Counter()
    duration_ns: Counter[tuple[str, str]] = Counter()
    for item in launch_log.read(recorded):
        key = (item.description.taken.family, item.description.source)
        logged[key] += 1
        duration_ns[key] += item.ns
    counted = json.loads((recorded / "counted.json").read_text())
    assert logged == {(family, source): count for family, source, count, _ in counted}
    assert duration_ns == {(family, source): ns for family, source, _, ns in counted}
    assert {family for family, _ in logged} >= {"gemm", "elementwise", "copy", "fill", "reduce"}


def test_the_trace_agrees_with_the_counters(recorded: Path) -> None:
    """As the launch log does; and a device's streams, graphs and host threads are drawn."""
    counted = json.loads((recorded / "counted.json").read_text())
    (trace,) = traces.read(recorded / "run" / "session")
    totals = explain.total([trace], [], None, None)
    assert {key[1:]: ns for key, ns in totals.time_ns.items() if ns} == {
        (family, source): ns for family, source, _, ns in counted
    }
    assert {key[1:]: n for key, n in totals.count.items() if n} == {
        (family, source): n for family, source, n, _ in counted
    }
    for before, after in pairwise([item for item in trace.work if item.stream == trace.work[0].stream]):
        assert before.end_ns <= after.start_ns
    events = json.loads((recorded / "chrome.json").read_text())["traceEvents"]
    names = [event["name"] for event in events if event["ph"] == "X"]
    assert sum(name.startswith("graph ") and name[6:].isdigit() for name in names) == 3
    assert sum(name == "triton_poi_fused_scale" for name in names) == 3 + 3 * 2
    assert {"launch triton_poi_fused_scale", "wait for the GPU", "copy"} <= set(names)
    shown = run_revati("explain", str(recorded / "run"), "--all", "--json")
    families = json.loads(shown.stdout)["seconds_by_family_and_source"]
    for family, source, _, ns in counted:
        assert families[family][source] == pytest.approx(ns / 1e9)


def test_record_has_the_keys_that_the_emulator_prices_by(recorded: Path) -> None:
    header, records = files.read(recorded / "recorded.jsonl")
    assert header.source == "revati profile record (virtual GPU)"
    log = launch_log.read(recorded)
    by_name_only = {item.description.name for item in log if item.description.taken.certainty != "exact"}
    keys = {key_of(t.family, t.features) for t in (item.description.taken for item in log)}
    # Without a launch log, names and geometry alone place few kernels, and never wrongly.
    for record in records:
        assert record.key in keys or record.family == "other"
    report = json.loads((recorded / "report.json").read_text())
    assert report["kernels"] > 20
    assert any("--launch-log" in text for text in report["missing"])
    # With it, every launch has the emulator's own key.
    done = run_revati("profile", "record", "--rejoin", str(recorded), "--launch-log", str(recorded))
    assert done.returncode == 0, done.stderr
    _, records = files.read(recorded / "recorded.jsonl")
    assert {record.key for record in records} == keys
    assert sum(record.count for record in records) == len(log)
    report = json.loads((recorded / "report.json").read_text())
    assert report["device_ms_by_name_only"] == 0
    assert (report["device_ms_guessed"] > 0) == bool(by_name_only)


def test_a_real_trace_gets_the_same_keys(recorded: Path) -> None:
    """As a real GPU would show the run: a library's kernels under names of their own, and another beginning."""
    log = launch_log.read(recorded)
    real = []
    for item in launch_log.activities(log):
        library = item.category == "kernel" and item.name.startswith("cublas")
        name = "nvjet_tst_64x8_64x16_4x1_v_bz_TNT" if library else item.name
        real.append(dataclasses.replace(item, name=name, stream=item.stream + 6))
    joined = join.join(real[4:], join.native_extractor(), log)
    assert joined.unnamed_ns < 0.3 * (joined.named_ns + joined.guessed_ns)
    keys = {key_of(t.family, t.features) for t in (item.description.taken for item in log)}
    found = {
        record.key
        for record in joined.records(files.read(recorded / "recorded.jsonl")[0])
        if record.family != "other"
    }
    assert found <= keys
    products = {
        (g.features["m"], g.features["n"], g.features["k"])
        for g in joined.groups.values()
        if g.family == "gemm"
    }
    assert products == {(8, 256, 128), (100, 256, 128), (64, 256, 128), (32, 256, 128)}


def test_conformance(tmp_path: Path) -> None:
    done = dry("conformance", "--out", str(tmp_path), "--only", "torch_cases/test_streams_events")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "conformance.json").read_text())
    assert document["results"]
    assert document["differences"] == []
    assert {result["outcome"] for result in document["results"].values()} <= {"passed", "skipped"}


@pytest.mark.vllm
def test_serve_truth(tmp_path: Path) -> None:
    """The client's arguments are those of `revati bench`: both come from the same function."""
    arguments = [
        "--out",
        str(tmp_path),
        "--quick",
        "--model",
        "qwen3-0.6b",
        "--vllm",
        str(BIN / "vllm"),
        "--record",
    ]
    done = dry(
        "serve_truth", *arguments, "--server-args", "--enforce-eager --max-model-len 4096", timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    document = json.loads(gzip.decompress((tmp_path / "truth-qwen3-0.6b.json.gz").read_bytes()))
    assert document["header"]["notes"]["virtual"] is True
    assert document["engine_version"] == "0.24.0"
    assert document["kv_cache_tokens"] > 100_000
    load = document["loads"]["quick"]
    assert load["client"]["completed"] == 4
    assert load["client"]["output_lens"] == [4] * 4
    assert len(load["client"]["ttfts"]) == 4
    assert any("generation_tokens_total" in line for line in load["metrics_after"])
    assert (tmp_path / "server-qwen3-0.6b.log.xz").stat().st_size > 500
    assert (tmp_path / "qwen3-0.6b-report.json").is_file()
    assert len(list(tmp_path.iterdir())) <= 8


@pytest.mark.vllm
@pytest.mark.packed_set
def test_a_packed_set_imports_in_a_clean_environment(tmp_path: Path) -> None:
    """The clean environment holds what a borrowed machine holds: torch, Triton, transformers, numpy. No network is used
    after it is made, and the set alone brings vLLM there, in parts that travel one by one. The driver is the virtual GPU's.

    The Python and the versions are this environment's, which has the framework already; for the real machine's, the same two
    commands are in `scripts/gpu/README.md`.
    """
    held = ("torch", "triton", "transformers", "huggingface_hub", "numpy", "pillow", "grpcio", "torchvision")
    machine = tmp_path / "machine.toml"
    machine.write_text(
        f'python = "{sys.version_info[0]}.{sys.version_info[1]}"\narch = 90\npart_mib = 40\n'
        f"present = {[f'{name}=={importlib.metadata.version(name)}' for name in held]}\n"
    )
    clean, packed, arrived = tmp_path / "clean", tmp_path / "set", tmp_path / "arrived"
    done = run_revati(
        *("profile", "pack", str(SCRIPTS / "sets" / "vllm.toml"), "--env", sys.prefix, "--out", str(packed)),
        *("--machine", str(machine), "--make-clean", str(clean), "--interpreter", sys.executable),
        *("--preset", "0"),
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    parts = sorted(packed.glob("part-*"))
    assert len(parts) > 1
    assert all(sum(file.stat().st_size for file in part.iterdir()) <= 40 << 20 for part in parts)
    for number, part in enumerate(
        parts
    ):  # each goes over by itself, and only the last one is still there at the end
        shutil.move(part, arrived / f"transfer-{number}" / part.name)
    done = subprocess.run(
        [SCRIPTS / "try_set.sh", clean, tmp_path / "site", *sorted(arrived.glob("*/part-*"))],
        env={**os.environ, "REVATI": str(BIN / "revati")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert f"vLLM 0.24.0 imported from {tmp_path / 'site'}" in done.stdout
