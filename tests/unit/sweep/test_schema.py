"""What a sweep's file may say; every mistake is named with its line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from revati.errors import UsageError
from revati.sweep import expand, schema
from revati.sweep.trial import command_line


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    return path


def expanded(path: Path) -> list[expand.Task]:
    return expand.tasks(*schema.read(path))


GRID = """\
name: small
configuration:
  model: qwen3-0.6b
  gpu: h200-sxm
  server_args: {max-model-len: 8192}
  load: {num_prompts: 10}
vary:
  tp: [1, 2]
  load.request_rate: [1, 2.5]
  server_args.max-num-seqs: [64]
"""


def test_grid(tmp_path: Path) -> None:
    tasks = expanded(write(tmp_path, GRID))
    assert [(task.configuration.tp, task.configuration.load.request_rate) for task in tasks] == [
        (1, 1),
        (1, 2.5),
        (2, 1),
        (2, 2.5),
    ]
    assert tasks[0].label == "tp 1, request_rate 1, server_args.max-num-seqs 64"
    assert tasks[0].configuration.server_args == {"max-model-len": 8192, "max-num-seqs": 64}
    assert tasks[3].configuration.gpu_count == 2
    assert len({task.id for task in tasks}) == 4
    assert [task.id for task in tasks] == [task.id for task in expanded(write(tmp_path, GRID))]


def test_list(tmp_path: Path) -> None:
    text = (
        "search: list\nconfiguration: {model: qwen3-0.6b, gpu: h100}\n"
        "configurations:\n  - {tp: 2}\n  - {gpu: h200, load: {seed: 4}}\n  - {tp: 2}\n"
    )
    tasks = expanded(write(tmp_path, text))
    assert [task.label for task in tasks] == ["tp 2", "gpu h200, seed 4"]  # the same one twice is one


def test_random(tmp_path: Path) -> None:
    text = (
        "search: random\nsamples: 20\nconfiguration: {model: qwen3-0.6b, gpu: h100}\n"
        "vary:\n  load.request_rate: {low: 0.1, high: 10, log: true}\n"
        "  server_args.max-num-seqs: {low: 1, high: 99, integer: true}\n  tp: [1, 2, 4]\n"
    )
    tasks = expanded(write(tmp_path, text))
    assert len(tasks) == 20
    rates = [task.configuration.load.request_rate or 0 for task in tasks]
    assert all(0.1 <= rate <= 10 for rate in rates)
    assert sum(rate < 1 for rate in rates) >= 5
    assert {type(task.configuration.server_args["max-num-seqs"]) for task in tasks} == {int}
    assert [task.id for task in tasks] == [task.id for task in expanded(write(tmp_path, text))]


def test_what_decides_the_outcome_decides_the_id(tmp_path: Path) -> None:
    first = [task.id for task in expanded(write(tmp_path, GRID))]
    assert first == [task.id for task in expanded(write(tmp_path, GRID + "price: {h200-sxm: 3}\n"))]
    assert not set(first) & {task.id for task in expanded(write(tmp_path, GRID + "clock: cpu\n"))}
    assert not set(first) & {
        task.id for task in expanded(write(tmp_path, GRID + "slo: {ttft_ms: {p99: 5}}\n"))
    }


def test_gpu_file_beside_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "fast.toml").write_text('base = "h200-sxm"\n[memory]\nmemory_bandwidth = 9.6e12\n')
    text = "configuration: {model: qwen3-0.6b}\nvary: {gpu: [h200-sxm, fast.toml]}\n"
    tasks = expanded(write(tmp_path, text))
    assert tasks[1].configuration.gpu == str(tmp_path / "fast.toml")
    before = tasks[1].id
    (tmp_path / "fast.toml").write_text('base = "h200-sxm"\n[memory]\nmemory_bandwidth = 9e12\n')
    assert expanded(write(tmp_path, text))[1].id != before


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: [\n", 2, "this is no YAML"),
        ("- a\n", None, "must be a mapping"),
        ("name: a\nnmae: b\n", 2, "nmae: there is no such key"),
        ("name: a/b\n", 1, "name: string should match pattern"),
        ("search: all\n", 1, "search: input should be 'grid', 'list' or 'random'"),
        ("clock: sundial\n", 1, "clock: there is no clock 'sundial'; choose from off, modelled"),
        ("slo:\n  ttft_ms:\n    p101: 5\n", 3, "slo.ttft_ms.p101: there is no statistic 'p101'"),
        ("slo:\n  ttft_ms:\n    p99: -5\n", 3, "slo.ttft_ms.p99: input should be greater than 0"),
        ("slo:\n  goodput: {share: 0.9}\n", 2, "slo.goodput: needs a limit"),
        ("capacity: {low: 5, high: 1}\n", 1, r"low \(5\) must be below high \(1\)"),
        ("capacity: {low: 1, high: 5}\n", 1, "capacity searches the highest rate that meets the slo"),
        ("price:\n  voodoo-2: 3\n", 2, "price.voodoo-2: unknown GPU 'voodoo-2'"),
        ("search: list\n", 1, "needs configurations"),
        ("configurations:\n  - {tp: 1}\n", 1, "belong to search: list"),
        ("search: random\n", 1, "samples and search: random need each other"),
        ("vary:\n  tp: {low: 1, high: 2}\n", 1, "belongs to search: random"),
        ("vary:\n  tp: []\n", 1, "a list of vary is empty"),
    ],
)
def test_mistakes_of_the_file(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    where = f", line {line}" if line else ""
    with pytest.raises(UsageError, match=rf"sweep\.yaml{where}: .*{words}"):
        schema.read(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("{gpu: h100}\nvary:\n  tp: [1]\n", 1, "configuration.model: is missing"),
        ("\n  model: gpt-17\n  gpu: h100\n", 2, "configuration.model: .*gpt-17"),
        (
            "{model: qwen3-0.6b, gpu: h100}\nvary:\n  tp:\n    - 1\n    - two\n",
            3,
            "vary.tp: input should be a valid integer",
        ),
        ("{model: qwen3-0.6b, gpu: h100}\nvary:\n  t: [1]\n", 3, "vary.t: there is no such key"),
        ("{model: qwen3-0.6b, gpu: h100}\nvary:\n  tp.a: [1]\n", 3, "vary.tp.a: tp has no parts"),
        (
            "{model: qwen3-0.6b, gpu: h100}\nvary:\n  load.rate: [1]\n",
            3,
            "vary.load.rate: there is no such key",
        ),
        (
            "{model: qwen3-0.6b, gpu: h100}\nvary:\n  gpu: [h100, voodoo]\n",
            3,
            "vary.gpu: unknown GPU 'voodoo'",
        ),
        ("{model: qwen3-0.6b, gpu: h100}\nvary:\n  gpu: [none.toml]\n", 3, "vary.gpu: no GPU file"),
        (
            "{model: qwen3-0.6b, gpu: h100}\nvary:\n  engine: [tgi]\n",
            3,
            "vary.engine: there is no engine 'tgi'",
        ),
        ("{model: qwen3-0.6b, gpu: h100, gpus: 1}\nvary:\n  tp: [2]\n", 3, "vary.tp: 2 ranks on 1 GPUs"),
        ("{model: qwen3-0.6b, gpu: h100}\nvary:\n  tp: [32]\n", 3, "at most 16"),
        ("\n  model: qwen3-0.6b\n  gpu: h100\n  load: {replay: none.csv}\n", 4, "no recorded load"),
    ],
)
def test_mistakes_of_a_configuration(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(UsageError, match=rf"sweep\.yaml, line {line}: .*{words}"):
        expanded(write(tmp_path, f"configuration: {text}"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        schema.read(tmp_path / "none.yaml")


def test_command_line() -> None:
    flags: dict[str, schema.Scalar | list[schema.Scalar]] = {
        "max_num_seqs": 64,
        "enforce-eager": True,
        "enable-prefix-caching": False,
        "left-out": None,
        "-O": 2,
        "cuda-graph-sizes": [1, 2],
    }
    assert " ".join(command_line(flags)) == (
        "--max-num-seqs 64 --enforce-eager --no-enable-prefix-caching -O 2 --cuda-graph-sizes 1 2"
    )
