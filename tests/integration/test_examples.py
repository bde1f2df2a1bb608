"""The examples, over a stand-in engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from revati.sweep.store import Row, Store

EXAMPLES = Path(__file__).parents[2] / "examples"
# Whatever the example serves is served by the stand-in.
STAND_IN = "import sys, runpy; from pathlib import Path; from revati.bench import Vllm; Vllm.find = lambda *_: Path({toy!r})\n"


def python(code: str, folder: Path) -> str:
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sweep(name: str, toy: Path, folder: Path, **changes: Any) -> list[Row]:
    """Runs the example's sweep, smaller, and makes its report."""
    shutil.copytree(EXAMPLES / name, folder / name)
    path = folder / name / "sweep.yaml"
    content = yaml.safe_load(path.read_text())
    content["configuration"] |= {"program": str(toy)}
    content |= {"clock": "off", **changes}
    path.write_text(yaml.safe_dump(content))
    for arguments in (("sweep", str(path), "--out", str(folder / "out")), ("report", str(folder / "out"))):
        command = [sys.executable, "-P", "-m", "revati", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
    assert (folder / "out" / "report" / "report.html").stat().st_size > 1e6
    with Store(folder / "out", writing=False) as store:
        return store.rows()


def outcomes(rows: list[Row]) -> list[dict[str, Any]]:
    assert [row.state for row in rows] == ["done"] * len(rows), [row.reason for row in rows]
    return [row.outcome for row in rows if row.outcome is not None]


def test_first_sweep(toy_vllm: Path, tmp_path: Path) -> None:
    vary = {"model": ["llama-3.1-8b", "qwen3-32b"], "gpu": ["h200-sxm"], "load.request_rate": [1, 4]}
    assert yaml.safe_load((EXAMPLES / "first_sweep" / "sweep.yaml").read_text())["vary"].keys() == vary.keys()
    found = outcomes(sweep("first_sweep", toy_vllm, tmp_path, vary=vary))
    assert len(found) == 4
    assert {outcome["result"]["model"] for outcome in found} == {"llama-3.1-8b", "qwen3-32b"}


def test_choose_tp(toy_vllm: Path, tmp_path: Path) -> None:
    capacity = {"low": 0.5, "high": 32, "precision": 0.5}
    rows = sweep("choose_tp", toy_vllm, tmp_path, capacity=capacity)
    rates = [outcome["capacity"]["rate"] or 0 for outcome in outcomes(rows)]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]


def test_what_if_gpu(toy_vllm: Path, tmp_path: Path) -> None:
    now, faster = outcomes(sweep("what_if_gpu", toy_vllm, tmp_path))
    assert faster["result"]["median_tpot_ms"] < 0.75 * now["result"]["median_tpot_ms"]
    assert faster["result"]["gpu"] == "h200-double-bandwidth"


def test_replay(toy_vllm: Path, tmp_path: Path) -> None:
    script = str(EXAMPLES / "replay" / "replay.py")
    said = python(
        STAND_IN.format(toy=str(toy_vllm)) + f"runpy.run_path({script!r}, run_name='__main__')", tmp_path
    )
    assert said.splitlines()[0] == "60 requests of sample.csv"
    assert "h200-sxm: TTFT p99" in said


def test_notebook(toy_vllm: Path, tmp_path: Path) -> None:
    """Its cells, one after the other."""
    notebook = json.loads((EXAMPLES / "notebook" / "first_steps.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    said = python(STAND_IN.format(toy=str(toy_vllm)) + "\n".join(cells), tmp_path)
    assert "16 requests/s: TTFT p99" in said
