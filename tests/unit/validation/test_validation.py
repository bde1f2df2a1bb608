"""`revati validate` without a server: rows, what they ask for, figures and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from revati.errors import UsageError
from revati.validation import comparison, figures, rows, workload
from revati.validation.comparison import Outcome
from revati.validation.rows import Row

CELLS = {
    "id": "a",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "gpu": "H100-SXM-80GB",
    "num_gpus": "1.0",
    "engine": "vllm",
    "engine_version": "0.15.1 (per sibling repo)",
    "load_kind": "constant rate",
    "load_value": "2",
    "isl": "100",
    "osl": "11",
    "num_requests": "1000",
    "ttft_mean_ms": "100",
    "tpot_mean_ms": "10",
    "output_tok_per_s": "20",
}


def row(**changes: str) -> Row:
    return Row({**CELLS, **changes})


def test_a_file_is_read_and_chosen_from(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    two = {**CELLS, "id": "b:stage1", "num_gpus": "4"}
    lines = [",".join(CELLS), *(",".join(cells[key] for key in CELLS) for cells in (CELLS, two))]
    path.write_text("\n".join(lines) + "\n")
    read = rows.read(path)
    assert [entry.id for entry in read] == ["a", "b:stage1"]
    assert [entry.id for entry in rows.choose(read, (), 1)] == ["a"]
    assert [entry.id for entry in rows.choose(read, ("b*",), None)] == ["b:stage1"]
    with pytest.raises(UsageError, match="no row fits"):
        rows.choose(read, ("stage7",), None)
    path.write_text("\n".join([lines[0], lines[1], lines[1]]) + "\n")
    with pytest.raises(UsageError, match="more than one row 'a'"):
        rows.read(path)
    path.write_text("id,model\na,b\n")
    with pytest.raises(UsageError, match="no column gpu"):
        rows.read(path)


def test_cells() -> None:
    assert row().engine_version == "0.15.1"
    assert row(engine_version="0.5.1.post1").engine_version == "0.5.1.post1"
    with pytest.raises(UsageError, match="no number"):
        row(isl="many").number("isl")
    assert row().digest != row(isl="101").digest


def test_what_a_row_asks_for() -> None:
    flags = '{"max_model_len": 4096, "max_num_seqs": 128}'
    planned = workload.plan(row(engine_flags=flags, quant="fp8"))
    assert (planned.gpu, planned.gpus, planned.model) == ("h100-sxm", 1, "llama-3.1-8b")
    assert planned.prompts == workload.Prompts(100, 11)
    assert planned.arrivals == workload.Arrivals(rate=2.0)
    assert " ".join(planned.server_args) == "--max-model-len 4096 --max-num-seqs 128 --quantization fp8"
    line = "vllm serve --disable-log-requests --cuda-graph-sizes 64 --block-size 16 (README.md)"
    planned = workload.plan(row(engine_flags=line, load_kind="Poisson target QPS", gpu="h200_sxm"))
    assert planned.server_args == ("--max-cudagraph-capture-size", "64", "--block-size", "16")
    assert planned.arrivals.poisson
    assert planned.gpu == "h200-sxm"
    assert workload.plan(row(load_kind="concurrency")).arrivals.concurrency == 2


def test_prompts_that_come_again() -> None:
    dataset = 'inference-perf shared_prefix {"system_prompt_len": 10, "question_len": 80, "output_len": 30}'
    prompts = workload.plan(row(dataset=dataset)).prompts
    assert prompts == workload.Prompts(100, 30, distinct=100, groups=10, prefix_len=10)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"engine": "abacus"}, "does not run abacus"),
        ({"isl": ""}, "how long prompts"),
        ({"gpu": "Voodoo 2"}, "no GPU"),
        ({"model": "nobody/nothing"}, "no model"),
        ({"notes": "failures=7; slow"}, "7 of its requests failed"),
        ({"num_gpus": "64"}, "at most"),
        ({"pp": "2"}, "pipeline"),
        ({"load_kind": "moonlight"}, "not known"),
        ({"mode": "disagg"}, "disagg"),
    ],
)
def test_rows_that_cannot_be_replayed_say_why(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(workload.UnplayableError, match=reason):
        workload.plan(row(**changes))


def report(count: int, every_s: float, ttft_s: float, itl_s: float) -> dict[str, Any]:
    return {
        "start_times": [every_s * index for index in range(count)],
        "ttfts": [ttft_s] * count,
        "itls": [[itl_s] * 20] * count,
        "output_lens": [21] * count,
    }


def test_figures_leave_out_the_beginning_and_the_end() -> None:
    planned = workload.plan(row())
    slow = report(100, 0.5, 0.1, 0.01)
    slow["ttfts"] = [9.0] * 10 + [0.1] * 90
    found = figures.of_report(slow, planned, warm_up=30)
    assert found.values["ttft_mean_ms"] == pytest.approx(100)
    # 20 gaps of 10 ms; the row's client saw 11 tokens where 21 were made.
    assert found.values["tpot_mean_ms"] == pytest.approx(20)
    assert found.values["req_per_s"] == pytest.approx(2, rel=0.05)
    assert found.values["output_tok_per_s"] == pytest.approx(22, rel=0.05)
    whole = figures.of_report(slow, workload.plan(row(num_requests="100")), warm_up=0)
    assert whole.requests == 100
    assert whole.values["ttft_mean_ms"] == pytest.approx(990)


def test_errors_are_summed_up_apart() -> None:
    outcomes = [
        Outcome(
            row(),
            "replayed",
            errors=comparison.compare(row(), {"ttft_mean_ms": ttft, "tpot_mean_ms": 9, "req_per_s": 1}),
        )
        for ttft in (90, 130, 105)
    ]
    summary = comparison.summarise([*outcomes, Outcome(row(), "not replayed", "no")])
    assert summary["median_abs_error"] == {"ttft": pytest.approx(0.1), "tpot": pytest.approx(0.1)}
    assert summary["bias"]["ttft"] == pytest.approx(0.05)
    assert outcomes[1].worst == pytest.approx(0.3)
    assert outcomes[0].as_json()["errors"]["ttft"]["error"] == pytest.approx(-0.1)
