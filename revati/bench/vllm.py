"""vLLM: `vllm serve` and `vllm bench serve`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from revati.bench import arrivals
from revati.bench.engine import Address, Engine, Hint, Load, Phase

_FIT = "use more GPUs (--gpus N --tp N), a larger GPU, or a shorter context (--server-args '--max-model-len 8192')"

_SAMPLER = "VLLM_USE_FLASHINFER_SAMPLER"
_HAS_FLASHINFER = "import importlib.util; print(importlib.util.find_spec('flashinfer') is not None)"


class Vllm(Engine):
    """vLLM's V1 engine.

    The log lines are those of 0.24.0; one that a release words differently costs the name of a phase in the display.
    """

    name = "vllm"
    executable = "vllm"
    phases = (
        Phase("importing", re.compile(r"^", re.MULTILINE)),
        Phase("starting the engine", re.compile(r"Initializing a V1 LLM engine")),
        Phase("loading the model", re.compile(r"Starting to load model|Loading model from scratch")),
        Phase("profiling and compiling", re.compile(r"Model loading took")),
        Phase("warming up", re.compile(r"GPU KV cache size")),
        Phase("capturing graphs", re.compile(r"Capturing CUDA graphs")),
        Phase("starting the server", re.compile(r"Starting vLLM server|Application startup complete")),
    )
    hints = (
        Hint(re.compile(r"Address already in use", re.IGNORECASE), "choose another port with --port"),
        Hint(
            re.compile(
                r"OutOfMemoryError|CUDA out of memory|No available memory for the cache|KV cache is needed"
            ),
            f"the model does not fit: {_FIT}",
        ),
        Hint(
            re.compile(r"Free memory on device .* is less than desired"),
            "another command uses the same GPU's memory",
        ),
        Hint(
            re.compile(r"unrecognized arguments|invalid choice"),
            "check --server-args against `vllm serve --help=all`",
        ),
        Hint(re.compile(r"is not divisible by tensor parallel"), "choose another --tp"),
    )
    load_begins = re.compile(r"Starting main benchmark run")
    load_ends = re.compile(r"Serving Benchmark Result")

    def serve_command(
        self, program: Path, model: Path, address: Address, tp: int, extra: Sequence[str]
    ) -> list[str]:
        """`vllm serve`, default flags apart from weights that need not exist."""
        command = [str(program), "serve", str(model), "--load-format", "dummy"]
        command += [
            "--served-model-name",
            address.model_name,
            "--host",
            address.host,
            "--port",
            str(address.port),
        ]
        if tp > 1:
            command += ["--tensor-parallel-size", str(tp)]
        return [*command, *extra]

    def parallelism(self, pp: int, dp: int) -> list[str]:
        """VLLM's own flags."""
        stages = ["--pipeline-parallel-size", str(pp)] if pp > 1 else []
        return [*stages, *(["--data-parallel-size", str(dp)] if dp > 1 else [])]

    def client_command(
        self,
        program: Path,
        tokenizer: Path,
        address: Address,
        load: Load,
        result: Path,
        extra: Sequence[str],
    ) -> list[str]:
        """`vllm bench serve` with random prompts of exact length, every request generating all its tokens.

        A recorded load becomes a file beside `result`.

        Greedy sampling unless `extra` says otherwise: a model's own defaults (top-p for most) would add a sampler that
        no figure published for such loads contains.
        """
        command = [str(program), "bench", "serve", "--backend", "openai", "--base-url", address.url]
        command += [
            "--endpoint",
            "/v1/completions",
            "--model",
            address.model_name,
            "--tokenizer",
            str(tokenizer),
        ]
        command += ["--num-prompts", str(load.num_prompts), "--seed", str(load.seed)]
        if load.replay is None:
            command += ["--dataset-name", "random"]
            command += ["--random-input-len", str(load.input_len)]
            command += ["--random-output-len", str(load.output_len)]
        else:
            recorded = arrivals.read(load.replay, load.num_prompts, load.replay_speed)
            path = result.with_name("replay.jsonl")
            chunk = arrivals.write_timed_trace(recorded, path)
            command += ["--dataset-name", "timed_trace", "--dataset-path", str(path)]
            command += ["--timed-trace-chunk-hash-size", str(chunk)]
        command += ["--ignore-eos", "--temperature", "0"]
        if load.request_rate is not None:
            command += ["--request-rate", str(load.request_rate)]
        if load.max_concurrency is not None:
            command += ["--max-concurrency", str(load.max_concurrency)]
        command += ["--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "50,90,95,99"]
        command += ["--save-result", "--save-detailed"]
        command += ["--result-dir", str(result.parent), "--result-filename", result.name]
        return [*command, *extra]

    def adjustments(self, program: Path, environment: Mapping[str, str]) -> dict[str, str]:
        """Its sampler imports flashinfer unless told not to use it, and a packed set has none."""
        if _SAMPLER in environment or not _lacks_flashinfer(program, environment):
            return {}
        return {_SAMPLER: "0"}

    def kv_cache_tokens(self, log: str) -> int | None:
        """From `GPU KV cache size: 1,234,567 tokens`."""
        match = re.search(r"GPU KV cache size: ([\d,]+) tokens", log)
        return int(match[1].replace(",", "")) if match else None

    def version(self, log: str) -> str | None:
        """From `Initializing a V1 LLM engine (v0.24.0) with config: ...`."""
        match = re.search(r"V1 LLM engine \(v([^)]+)\)", log)
        return match[1] if match else None


def _lacks_flashinfer(program: Path, environment: Mapping[str, str]) -> bool:
    """Asks the Python that the program runs in. False, too, where there is no telling."""
    try:
        with program.open("rb") as file:
            first = file.readline(512).decode(errors="replace")
        if not first.startswith("#!") or "python" not in first:
            return False
        command = [*first[2:].split(), "-c", _HAS_FLASHINFER]
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.stdout.strip() == "False"
