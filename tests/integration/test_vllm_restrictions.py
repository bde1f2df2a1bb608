"""Masks on what may be sampled are obeyed, log-probabilities are finite: both model runners of the real vLLM."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from revati import models

pytestmark = pytest.mark.vllm

SCRIPT = Path(__file__).parent / "vllm_restrictions.py"


@pytest.mark.parametrize("runner", [1, 2])
def test_restrictions(runner: int) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "revati", "run", "--gpu", "h200-sxm", "--"),
            *(sys.executable, "-P", str(SCRIPT), str(models.create("llama-3.1-8b"))),
        ],
        env=os.environ | {"VLLM_USE_V2_MODEL_RUNNER": str(runner - 1)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    answer = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"plain"')))
    assert [len(ids) for ids in answer["plain"]] == [6, 6, 6]
    assert all(token in (1500, 1501) for ids in answer["allowed"] for token in ids)
    assert all(re.fullmatch("(yes|no), [0-9]{3}", text) for text in answer["matching"])
    values = [value for request in answer["log_probabilities"] for token in request for value in token]
    assert values
    assert all(math.isfinite(value) and value <= 0 for value in values)
    assert answer["prompt_log_probabilities"] == [5, 40, 600]
