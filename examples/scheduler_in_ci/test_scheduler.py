"""Does the scheduler in shortest_first.py do what it is for, and what does it cost? In CI, without a GPU:

pytest examples/scheduler_in_ci
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from revati import Emulation
from revati.bench import BenchResult, Load

SHORT, LONG = 32, 2048
FLAGS = [
    "--enforce-eager",
    "--max-model-len",
    "4096",
    "--max-num-seqs",
    "4",
    "--max-num-batched-tokens",
    "4096",
]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Forty requests within a second, long and short in turn."""
    rows = [f"{i / 40},{LONG if i % 2 else SHORT},8" for i in range(40)]
    path = tmp_path / "load.csv"
    path.write_text("arrival_s,input_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    return Load(num_prompts=40, replay=path)


def mean_ttft_s(result: BenchResult, prompt: int) -> float:
    """Of the short or the long requests: text of so many random tokens has a few more when it is read again."""
    return statistics.fmean(r.ttft_s for r in result.requests if prompt <= r.input_tokens < 2 * prompt)


@pytest.mark.vllm
def test_short_prompts_no_longer_wait_for_long_ones(
    emulate: Callable[..., Emulation], load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    results = []
    for flags in ([], ["--scheduler-cls", "shortest_first.ShortestPromptFirst"]):
        emulation = emulate("h100-sxm")
        emulation.serve("vllm", "llama-3.1-8b", server_args=[*FLAGS, *flags])
        results.append(emulation.bench(load))
        emulation.close()
    before, after = results
    assert mean_ttft_s(after, SHORT) < 0.7 * mean_ttft_s(before, SHORT)
    # What it costs: the long ones wait longer, but the whole load takes no more time.
    assert mean_ttft_s(after, LONG) < 1.5 * mean_ttft_s(before, LONG)
    assert after.virtual_seconds < 1.05 * before.virtual_seconds
