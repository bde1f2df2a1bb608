#!/usr/bin/env python3
"""Runs releases of vLLM and SGLang on virtual GPUs and writes down what came of it.

    scripts/compatibility.py run vllm==0.22.0 sglang==0.5.12     # each in an environment of its own, which is removed afterwards
    scripts/compatibility.py run all
    scripts/compatibility.py table                               # docs/compatibility.md from docs/compatibility.json

A release counts as working if a small load of its own benchmark client (`revati bench`, llama-3.1-8b on one H200, default flags)
ends without a failed request, twice with the same figures. Needs uv, network, a C++ compiler, and 10 GB of disk for each release at a
time. Dependencies are resolved as of now: where that fails, or what is resolved does not fit, an entry of OVERRIDES says what was
pinned to what and why, and so does the table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "compatibility.json"
TABLE = ROOT / "docs" / "compatibility.md"
RELEASES = (
    *(
        f"vllm=={release}"
        for release in ("0.15.1", "0.18.0", "0.20.0", "0.22.0", "0.24.0", "0.28.0", "0.33.0")
    ),
    *(f"sglang=={release}" for release in ("0.5.9", "0.5.12", "0.5.14", "0.5.17", "0.5.20", "0.5.23")),
)
# Release -> requirements that replace what its own metadata asks for. For an old index, or where a dependency that was
# left open has moved on since.
OVERRIDES: dict[str, tuple[str, ...]] = {
    "vllm==0.33.0": ("certifi",),  # wants one that is newer than some indices have
}
# Release -> variables without which it does not start on a real GPU either, and why.
VARIABLES: dict[str, dict[str, str]] = {
    # Asks for DeepGEMM where nothing uses it, and ends because its wheel's copy cannot be imported: as on a real H100
    # (vllm-project/vllm issue 41849).
    "vllm==0.20.0": {"VLLM_USE_DEEP_GEMM": "0"},
}
# Printed figures that must be the same in a second run.
FIGURES = ("completed", "mean_ttft_ms", "mean_tpot_ms", "p99_itl_ms", "duration")
LOAD = ("--num-prompts", "20", "--input-len", "256", "--output-len", "32", "--request-rate", "4")
HEAD = """\
# Compatibility

Releases that were really run, by `scripts/compatibility.py`: an environment made for the release alone, the release unmodified with its
default flags, llama-3.1-8b with dummy weights on one virtual H200, 20 requests of its own benchmark client in modelled time, twice. *works*
means no failed request and the same figures in both runs, or in the second and the
third where the first, which compiles, differs. Anyone can run it again: `scripts/compatibility.py run all`.

| release | torch | outcome | TTFT mean, TPOT mean (ms) | start-up (s) | remarks |
| --- | --- | --- | --- | ---: | --- |
"""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="run releases, keep what came of it, write the table")
    runs.add_argument("releases", nargs="+", metavar="NAME==RELEASE|all")
    runs.add_argument("--wheel", type=Path, help="Revati's wheel; built from this tree if left out")
    runs.add_argument("--environments", type=Path, default=ROOT / "build" / "compatibility")
    runs.add_argument("--results", type=Path, default=ROOT / "build" / "compatibility-results")
    runs.add_argument("--timeout", type=float, default=1200.0, metavar="SECONDS", help="for one benchmark")
    runs.add_argument("--keep", action="store_true", help="leave the environments")
    commands.add_parser("table", help="write the table")
    options = parser.parse_args()
    if options.command == "run":
        wanted = RELEASES if options.releases == ["all"] else options.releases
        wheel = (options.wheel or build_wheel()).resolve()
        for release in wanted:
            print(f"compatibility: {release}", flush=True)
            outcome = try_release(release, wheel, options)
            print(f"compatibility: {release}: {outcome['outcome']} {outcome.get('remarks', '')}", flush=True)
            keep(release, outcome)
    write_table()
    return 0


def build_wheel() -> Path:
    """Builds Revati once; its wheel serves every environment of the same Python."""
    folder = ROOT / "build" / "wheels"
    subprocess.run(
        [
            "uv",
            "build",
            "--quiet",
            "--wheel",
            "--python",
            sys.executable,
            "--out-dir",
            str(folder),
            str(ROOT),
        ],
        check=True,
    )
    return max(folder.glob("revati-*.whl"), key=lambda path: path.stat().st_mtime)


def try_release(release: str, wheel: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Makes the environment, runs the benchmark twice, removes the environment."""
    environment = options.environments / release.replace("==", "-")
    shutil.rmtree(environment, ignore_errors=True)
    overrides = OVERRIDES.get(release, ())
    try:
        try:
            install(environment, release, wheel, overrides)
        except subprocess.CalledProcessError as error:
            return {"outcome": "not installed", "remarks": last_words(error.stderr)}
        found = {
            "torch": version_of(environment, "torch"),
            "overrides": list(overrides),
            "variables": VARIABLES.get(release, {}),
        }
        return found | bench_twice(environment, release, options.results / environment.name, options.timeout)
    finally:
        if not options.keep:
            shutil.rmtree(environment, ignore_errors=True)


def install(environment: Path, release: str, wheel: Path, overrides: tuple[str, ...]) -> None:
    """One environment with one release and Revati."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    uv("venv", "--python", sys.executable, str(environment))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(overrides))
        file.flush()
        arguments = ["--override", file.name] if overrides else []
        uv("pip", "install", "--python", str(environment / "bin/python"), *arguments, release, str(wheel))


def uv(*arguments: str) -> str:
    """Runs uv and returns what it printed."""
    done = subprocess.run(["uv", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def version_of(environment: Path, package: str) -> str:
    """The installed release of a package."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    python = environment / "bin/python"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def bench_twice(environment: Path, release: str, results: Path, timeout_s: float) -> dict[str, Any]:
    """`works`, `fails` or `differs`, with figures or the reason.

    Where the first two runs differ a third decides: some releases compile in their first request.
    """
    engine = release.partition("==")[0]
    answers: list[dict[str, Any]] = []
    shutil.rmtree(results, ignore_errors=True)
    remarks = []
    for run in ("first", "second", "third"):
        if run == "third":
            if not (difference := different(*answers)):
                break
            remarks.append(f"the first run differed in {difference}")
        out = results / run
        out.mkdir(parents=True)
        program = environment / "bin/revati"
        command = [str(program), "bench", "--engine", engine, "--model", "llama-3.1-8b", "--gpu", "h200-sxm"]
        command += [*LOAD, "--out", str(out)]
        path = os.pathsep.join([str(environment / "bin"), os.environ.get("PATH", os.defpath)])
        began = time.monotonic()
        try:
            done = subprocess.run(
                command,
                # Where two runs part, their traces say why.
                env=os.environ
                | VARIABLES.get(release, {})
                | {"PATH": path, "REVATI_CLOCK_TRACE": str(out / "clock.trace")},
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"outcome": "fails", "remarks": f"no end after {time.monotonic() - began:.0f} s"}
        printed = done.stderr + "\n" + done.stdout
        (out / "printed.log").write_text(printed)
        if done.returncode:
            return {"outcome": "fails", "remarks": last_words(printed)}
        answers.append(json.loads((out / "result.json").read_text()))
    if difference := different(*answers[-2:]):
        remarks.append(f"the last two runs differ in {difference}")
    return {
        "outcome": "differs" if difference else "works",
        "remarks": "; ".join(remarks),
        "figures": {key: answers[-1].get(key) for key in FIGURES},
        "startup_s": round(answers[0]["startup_wall_seconds"]),
        "warnings": answers[0].get("warnings", []),
    }


def different(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Which figures are not the same, and by how much."""
    return ", ".join(
        f"{key} ({abs(other[key] / one[key] - 1):.1e})" for key in FIGURES if one.get(key) != other.get(key)
    )


def last_words(text: str | None) -> str:
    """The line of an output that most probably says why."""
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).strip() for line in (text or "").splitlines() if line.strip()]
    errors = [
        line
        for line in lines
        if re.search(r"\b\w*(Error|error:|cause:|virtual GPU stopped)", line)
        and "See root cause above" not in line
    ]
    return (errors or lines or ["no output"])[-1][:300]


def keep(release: str, outcome: dict[str, Any]) -> None:
    """Puts an outcome among the others."""
    results = read_results() | {release: outcome}
    ordered = {name: results[name] for name in sorted(results, key=order)}
    RESULTS.write_text(json.dumps(ordered, indent=2) + "\n")


def order(release: str) -> tuple[str, list[int]]:
    """Frameworks one after the other, and their releases as numbers, not as text."""
    name, _, version = release.partition("==")
    return ("" if name == "vllm" else name, [int(part) for part in re.findall(r"\d+", version)])


def read_results() -> dict[str, Any]:
    """What is known so far."""
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    return found


def write_table() -> None:
    """docs/compatibility.md."""
    results = read_results()
    rows = []
    for release in sorted({*results, *RELEASES}, key=order):
        entry = results.get(release, {"outcome": "not run"})
        figures = entry.get("figures", {})
        latencies = f"{figures['mean_ttft_ms']:.2f}, {figures['mean_tpot_ms']:.2f}" if figures else ""
        remarks = [str(entry.get("remarks", "")).replace("|", "\\|")]
        given = [*entry.get("overrides", []), *(f"{k}={v}" for k, v in entry.get("variables", {}).items())]
        remarks += [f"with {', '.join(given)}"] if given else []
        cells = [release.replace("==", " "), str(entry.get("torch", "")), entry["outcome"], latencies]
        cells += [str(entry.get("startup_s", "")), "; ".join(remark for remark in remarks if remark)]
        rows.append("| " + " | ".join(cells) + " |")
    TABLE.write_text(HEAD + "\n".join(rows) + "\n")


if __name__ == "__main__":
    sys.exit(main())
