"""The conformance cases on a real GPU, compared with what the virtual GPU does.

The case files state CUDA's semantics and pass on the virtual GPU (the test suite sees to that). Run here natively, a
case that fails shows a difference: the virtual GPU is wrong together with its case, or the machine lacks something.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from revati.profile import provenance

SOURCE: Final = "revati conformance"
CASES: Final = Path(__file__).resolve().parents[2] / "tests" / "conformance"
_SCRIPTS: Final = CASES.parents[1] / "scripts" / "gpu"
_FILE_TIMEOUT_S: Final = 300
_SHOWN: Final = 40


def case_files(root: Path, only: Sequence[str]) -> list[Path]:
    """Every file of cases: torch's, and those of each library that call the API directly."""
    found = [*root.glob("torch_cases/test_*.py"), *root.glob("*/cases/test_*.py")]
    return sorted(
        path for path in found if not only or any(text in str(path.relative_to(root)) for text in only)
    )


def run_file(path: Path, native: bool) -> dict[str, dict[str, str]]:
    """Runs one file in a process of its own: a case that breaks the context spoils no other file.

    Returns:
        Case -> {"outcome": passed, failed, error or skipped; "message": why}.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={path.parent}"]
    if native:
        environment["REVATI_CONFORMANCE_NATIVE"] = "1"
        # Cases may import our own modules, which a borrowed machine has only as this checkout.
        environment |= {
            "REVATI_BARE": "1",
            "PYTHONPATH": os.pathsep.join([str(_SCRIPTS), *_paths(environment)]),
        }
        options += ["-p", "bootstrap"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # -P: the working directory may be a checkout, which is not what is tested.
        command = [sys.executable, "-P", "-m", "pytest", *options, f"--junitxml={report}", str(path)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, timeout=_FILE_TIMEOUT_S, check=False
            )
            tail = (done.stdout + done.stderr)[-1500:]
        except subprocess.TimeoutExpired:
            tail = f"not finished after {_FILE_TIMEOUT_S} s"
        if not report.is_file():
            return {"(the file)": {"outcome": "error", "message": tail}}
        return dict(_outcomes(ElementTree.parse(report).getroot()))


def _paths(environment: Mapping[str, str]) -> list[str]:
    return [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]


def _outcomes(root: ElementTree.Element) -> list[tuple[str, dict[str, str]]]:
    outcomes = []
    for case in root.iter("testcase"):
        outcome, message = "passed", ""
        for child in case:
            if child.tag in ("failure", "error", "skipped"):
                outcome = {"failure": "failed"}.get(child.tag, child.tag)
                message = f"{child.get('message', '')}\n{(child.text or '')[-1500:]}".strip()
        outcomes.append((str(case.get("name")), {"outcome": outcome, "message": message}))
    return outcomes


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
    results: dict[str, dict[str, str]] = {}
    for path in case_files(CASES, given.only):
        relative = path.relative_to(CASES)
        outcomes = run_file(path, native)
        results |= {f"{relative}::{name}": result for name, result in outcomes.items()}
        counts = [result["outcome"] for result in outcomes.values()]
        print(
            f"{relative}: {', '.join(f'{counts.count(kind)} {kind}' for kind in sorted(set(counts)))}",
            flush=True,
        )
    expected: dict[str, Any] = json.loads(given.expected.read_text())["results"] if given.expected else {}
    lines = differences(results, expected)
    given.out.mkdir(parents=True, exist_ok=True)
    header = provenance.header(SOURCE, "host").to_json()
    document = {"header": header, "results": results, "differences": lines}
    (given.out / "conformance.json").write_text(json.dumps(document, indent=1) + "\n")
    print(f"{len(results)} cases, {len(lines)} differ" + "".join(f"\n  {line}" for line in lines[:_SHOWN]))
    return 0 if results else 2


if __name__ == "__main__":
    sys.exit(main())
