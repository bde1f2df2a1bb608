"""The conformance cases on a real GPU, compared with what the virtual GPU does.

The case files state CUDA's semantics and pass on the virtual GPU (the test suite sees to that). Run here natively, a
case that fails shows a difference: the virtual GPU is wrong together with its case, or the machine lacks something.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from revati.profile import outcomes, provenance

SOURCE: Final = "revati conformance"
CASES: Final = Path(__file__).resolve().parents[2] / "tests" / "conformance"
_SCRIPTS: Final = CASES.parents[1] / "scripts" / "gpu"
_FILE: Final = "(the file)"
_NATIVE_TIMEOUT_S: Final = 90.0
_VIRTUAL_TIMEOUT_S: Final = 600.0  # two busy cores
_MOST_PROCESSES: Final = 12
_SHOWN: Final = 40


def case_files(root: Path, only: Sequence[str]) -> list[Path]:
    """Every file of cases: torch's, and those of each library that call the API directly."""
    found = [*root.glob("torch_cases/test_*.py"), *root.glob("*/cases/test_*.py")]
    return sorted(
        path for path in found if not only or any(text in str(path.relative_to(root)) for text in only)
    )


def run_file(path: Path, native: bool, timeout_s: float | None = None) -> dict[str, dict[str, str]]:
    """Runs one file in a process of its own: a case that breaks the context spoils no other file.

    A case that ends or hangs the process is to blame for that, and a fresh process goes on after it.

    Returns:
        Case -> {"outcome": passed, failed, error or skipped; "message": why}.
    """
    found: dict[str, dict[str, str]] = {}
    timeout_s = timeout_s or (_NATIVE_TIMEOUT_S if native else _VIRTUAL_TIMEOUT_S)
    for _ in range(_MOST_PROCESSES):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "outcomes.jsonl"
            log.touch()
            words = _run(path, native, log, [case for case in found if case != _FILE], timeout_s)
            begun, over = _read(log, found)
        if over and found:
            break
        if begun is None:
            found[_FILE] = {"outcome": "error", "message": words}
            break
        found[begun] = {"outcome": "failed", "message": words}
    else:
        message = f"not finished: {_MOST_PROCESSES} cases ended their process"
        found[_FILE] = {"outcome": "error", "message": message}
    return {name.partition("::")[2] or name: result for name, result in found.items()}


def _run(path: Path, native: bool, log: Path, done: Sequence[str], timeout_s: float) -> str:
    """One process over the cases that are not done. Returns how it ended, and its last words."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", outcomes.VARIABLE: str(log)}
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={path.parent}"]
    if native:
        environment |= {
            "REVATI_CONFORMANCE_NATIVE": "1",
            # Cases may import our own modules, which a borrowed machine has only as this checkout.
            "REVATI_BARE": "1",
            "PYTHONPATH": os.pathsep.join([str(_SCRIPTS), *_paths(environment, "PYTHONPATH")]),
            "LD_LIBRARY_PATH": os.pathsep.join([*_paths(environment, "LD_LIBRARY_PATH"), *library_folders()]),
        }
        options += ["-p", "bootstrap"]
    options += ["-p", outcomes.__name__, *(f"--deselect={case}" for case in done)]
    # -P: the working directory may be a checkout, which is not what is tested.
    command = [sys.executable, "-P", "-m", "pytest", *options, str(path)]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return f"hung: not finished after {timeout_s:.0f} s"
    how = f"killed by signal {-ended.returncode}" if ended.returncode < 0 else f"exit code {ended.returncode}"
    return f"ended its process: {how}\n{(ended.stdout + ended.stderr)[-1500:]}"


def _read(log: Path, found: dict[str, dict[str, str]]) -> tuple[str | None, bool]:
    """Adds what the log says. Returns the case that began and did not end, and whether all are over."""
    begun, over = None, False
    for text in log.read_text().splitlines():
        line = json.loads(text)
        if line["kind"] == "begin":
            begun = line["case"]
        elif line["kind"] == "end":
            found[line["case"]] = {"outcome": line["outcome"], "message": line["message"]}
            begun = None
        else:
            over = True
    return begun, over


def library_folders() -> list[str]:
    """Where packages brought NVIDIA's libraries: the cases open them by name, and torch is not there to find them."""
    spec = importlib.util.find_spec("nvidia")
    places = spec.submodule_search_locations if spec else None
    return sorted(str(folder) for place in places or () for folder in Path(place).glob("*/lib"))


def _paths(environment: Mapping[str, str], name: str) -> list[str]:
    return [path for path in environment.get(name, "").split(os.pathsep) if path]


def differences(
    found: Mapping[str, Mapping[str, str]], expected: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Cases whose outcome is not the expected one; a case that is not named there is expected to pass."""
    lines = []
    for name, result in sorted(found.items()):
        wanted = expected.get(name, {"outcome": "passed"})["outcome"]
        if result["outcome"] not in (wanted, "skipped"):
            first = result["message"].splitlines()[0] if result["message"] else ""
            lines.append(f"{name}: {result['outcome']} here, {wanted} on the virtual GPU: {first[:200]}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `scripts/gpu/conformance.py`. Returns 0 even if cases differ: the list is the result."""
    parser = argparse.ArgumentParser(
        description="Runs the conformance cases on this machine's GPU; lists differences."
    )
    parser.add_argument("--out", type=Path, default=Path("out/conformance"), metavar="DIR")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="files whose path contains TEXT"
    )
    parser.add_argument(
        "--expected", type=Path, metavar="FILE", help="results on the virtual GPU (default: all pass)"
    )
    given = parser.parse_args(argv)
    native = not provenance.is_virtual()
    if native and not provenance.has_gpu():
        print(
            "revati: no GPU here; to try this without one: revati run -- python scripts/gpu/conformance.py ...",
            file=sys.stderr,
        )
        return 3
    expected: dict[str, Any] = json.loads(given.expected.read_text())["results"] if given.expected else {}
    results: dict[str, dict[str, str]] = {}
    for path in case_files(CASES, given.only):
        relative = path.relative_to(CASES)
        found = run_file(path, native)
        results |= {f"{relative}::{name}": result for name, result in found.items()}
        counts = [result["outcome"] for result in found.values()]
        print(
            f"{relative}: {', '.join(f'{counts.count(kind)} {kind}' for kind in sorted(set(counts)))}",
            flush=True,
        )
        _store(given.out, results, expected)
    lines = differences(results, expected)
    print(f"{len(results)} cases, {len(lines)} differ" + "".join(f"\n  {line}" for line in lines[:_SHOWN]))
    return 0 if results else 2


def _store(out: Path, results: Mapping[str, Mapping[str, str]], expected: Mapping[str, Any]) -> None:
    """After every file: the machine's time may be up before the last."""
    out.mkdir(parents=True, exist_ok=True)
    header = provenance.header(SOURCE, "host").to_json()
    document = {"header": header, "results": results, "differences": differences(results, expected)}
    (out / "conformance.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
