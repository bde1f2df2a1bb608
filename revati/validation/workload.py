"""From a row to what has to be run: GPU, model, server flags, prompts and arrivals; or why that cannot be."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from revati import bench, catalogue, models
from revati.emulation import MAX_GPUS
from revati.errors import UsageError
from revati.validation.rows import Row

# inference-perf's defaults. Its releases of early 2026 take the keys num_groups and num_prompts_per_group and ignore
# others without a word: the effective configuration that the runs in `inference-sim/training` wrote down says 10 x 10
# although their input asked for num_unique_system_prompts and num_users_per_system_prompt, and multi-turn chat is off.
_SHARED_PREFIX_GROUPS = 10
_SHARED_PREFIX_PROMPTS = 10
_FAILED = re.compile(r"failures=(\d+)")
# Flags that releases before 0.11 had and later ones do not: none (no longer needed) or what became of it.
_RENAMED = {
    "--disable-log-requests": None,
    "--max_seq_len_to_capture": None,
    "--max-seq-len-to-capture": None,
    "--cuda-graph-sizes": "--max-cudagraph-capture-size",
}
_JSON_FLAGS = {
    "max_model_len": "--max-model-len",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "max_num_seqs": "--max-num-seqs",
    "gpu_memory_utilization": "--gpu-memory-utilization",
}


class UnplayableError(Exception):
    """The row cannot be replayed; the text says why."""


@dataclass(frozen=True)
class Prompts:
    """What is sent.

    Attributes:
        input_len: Tokens of a prompt, prefix and all.
        output_len: Tokens that each request generates.
        distinct: Different prompts, sent in turn; 0: no prompt comes twice.
        groups: Prompts of a group begin with the same `prefix_len` tokens.
        prefix_len: See `groups`.
    """

    input_len: int
    output_len: int
    distinct: int = 0
    groups: int = 1
    prefix_len: int = 0


@dataclass(frozen=True)
class Arrivals:
    """When it is sent: `rate` requests/s (constant or Poisson), or `concurrency` at a time, or all at once."""

    rate: float | None = None
    poisson: bool = False
    concurrency: int | None = None


@dataclass(frozen=True)
class Workload:
    """A row, ready to be replayed."""

    row: Row
    gpu: str
    gpus: int
    model: str
    prompts: Prompts
    arrivals: Arrivals
    server_args: tuple[str, ...]
    measured_requests: int | None
    # What of the row is left out or assumed, for the report.
    remarks: tuple[str, ...] = field(default=())


def plan(row: Row) -> Workload:
    """Works out what a row asks for.

    Raises:
        UnplayableError: It asks for something that cannot be replayed, or does not say enough.
    """
    gpus = row.count("num_gpus", 1)
    _check_parallelism(row, gpus)
    remarks: list[str] = []
    prompts = _prompts(row, remarks)
    try:
        gpu = _gpu(row.text("gpu"))
        model = models.get(row.text("model")).name
    except UsageError as error:
        raise UnplayableError(str(error)) from None
    failed = _FAILED.search(row.text("notes"))
    if failed and int(failed[1]) > 0:
        raise UnplayableError(f"{failed[1]} of its requests failed, for reasons that the row does not tell")
    return Workload(
        row=row,
        gpu=gpu,
        gpus=gpus,
        model=model,
        prompts=prompts,
        arrivals=_arrivals(row),
        server_args=_server_args(row, model, remarks),
        measured_requests=None if row.number("num_requests") is None else row.count("num_requests", 0),
        remarks=tuple(remarks),
    )


def _check_parallelism(row: Row, gpus: int) -> None:
    if row.text("engine") not in bench.ENGINES:
        raise UnplayableError(f"`revati bench` does not run {row.text('engine')} yet")
    if row.text("mode") not in ("", "agg"):
        raise UnplayableError(f"mode {row.text('mode')} (prefill and decode apart) is not replayed")
    if gpus > MAX_GPUS:
        raise UnplayableError(f"{gpus} GPUs; at most {MAX_GPUS} can be emulated")
    if row.count("pp", 1) > 1 or row.count("dp", 1) > 1:
        raise UnplayableError("pipeline and data parallelism are not replayed yet")
    if row.count("tp", gpus) * max(1, row.count("attention_dp", 1)) != gpus and row.count("tp", gpus) != gpus:
        raise UnplayableError(f"{gpus} GPUs with tensor parallelism {row.text('tp')} is not replayed yet")


def _gpu(name: str) -> str:
    """The catalogue's name for `H100-SXM-80GB`, `h200_sxm`, `H100 SXM 80GB (...)`.

    Raises:
        UsageError: No GPU of the catalogue fits.
    """
    words = set(re.split(r"[-_\s]+", name.partition("(")[0].strip().lower()))
    known = {entry: set(entry.split("-")) for entry in catalogue.gpus()}
    fitting = [entry for entry, parts in known.items() if parts <= words]
    fitting = fitting or [entry for entry, parts in known.items() if words <= parts]
    if not fitting:
        raise UsageError(f"no GPU {name!r} in the catalogue")
    return max(fitting, key=lambda entry: len(known[entry]))


def _prompts(row: Row, remarks: list[str]) -> Prompts:
    dataset = row.text("dataset")
    if "shared_prefix" in dataset:
        return _shared_prefix(row, dataset, remarks)
    input_len, output_len = row.number("isl"), row.number("osl")
    if not input_len or not output_len:
        raise UnplayableError(
            f"the row does not tell how long prompts and answers are ({dataset or 'no dataset'})"
        )
    return Prompts(round(input_len), round(output_len))


def _shared_prefix(row: Row, dataset: str, remarks: list[str]) -> Prompts:
    try:
        settings = json.loads(dataset[dataset.index("{") :])
        prefix, output_len = int(settings["system_prompt_len"]), int(settings["output_len"])
        question = int(settings["question_len"])
        groups = int(settings.get("num_groups", _SHARED_PREFIX_GROUPS))
        each = int(settings.get("num_prompts_per_group", _SHARED_PREFIX_PROMPTS))
    except (ValueError, KeyError, TypeError) as error:
        raise UnplayableError(f"its dataset column cannot be read: {error}") from None
    # The client counted the prompts as sent; decoding and encoding random tokens again makes them longer than asked for.
    input_len = row.number("isl") or float(prefix + question)
    remarks.append(
        f"{groups * each} prompts in turn, so that all but their last block is in the prefix cache"
    )
    return Prompts(round(input_len), output_len, groups * each, groups, prefix)


def _arrivals(row: Row) -> Arrivals:
    kind, value = row.text("load_kind").lower(), row.number("load_value")
    if kind.startswith("offline"):
        return Arrivals()
    if value is None or value <= 0:
        raise UnplayableError(f"load {kind!r} without a value")
    if "concurrency" in kind:
        return Arrivals(concurrency=round(value))
    if "poisson" in kind:
        return Arrivals(rate=value, poisson=True)
    if "rate" in kind:
        return Arrivals(rate=value)
    raise UnplayableError(f"load {row.text('load_kind')!r} is not known")


def _server_args(row: Row, model: str, remarks: list[str]) -> tuple[str, ...]:
    flags = row.text("engine_flags")
    args: list[str] = []
    if flags.startswith("{"):
        try:
            settings = json.loads(flags)
        except ValueError:
            raise UnplayableError("its engine_flags column is no JSON") from None
        for key, flag in _JSON_FLAGS.items():
            if settings.get(key) is not None:
                args += [flag, str(settings[key])]
    elif "vllm serve" in flags:
        args += _command_line(flags.partition("vllm serve")[2].partition("(")[0], remarks)
    elif flags:
        remarks.append(f"engine flags not replayed: {flags[:80]}")
    args += _types(row, model)
    if row.count("attention_dp", 1) > 1:
        remarks.append("attention data parallelism is replayed as tensor parallelism")
    return tuple(args)


def _command_line(text: str, remarks: list[str]) -> Sequence[str]:
    words, args = shlex.split(text), []
    index = 0
    while index < len(words):
        flag, has_value = words[index], index + 1 < len(words) and not words[index + 1].startswith("--")
        renamed = _RENAMED.get(flag, flag)
        if renamed is None:
            remarks.append(f"{flag} left out: later releases do not have it")
        else:
            args += [renamed, words[index + 1]] if has_value else [renamed]
        index += 2 if has_value else 1
    return args


def _types(row: Row, model: str) -> Sequence[str]:
    """Flags for weights and caches that the model's own configuration does not already say."""
    args: list[str] = []
    quantised = "quantization_config" in models.get(model).config
    if row.text("quant").lower().startswith("fp8") and not quantised:
        args += ["--quantization", "fp8"]
    if row.text("kv_dtype").lower().startswith("fp8"):
        args += ["--kv-cache-dtype", "fp8"]
    return args
