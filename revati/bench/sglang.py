"""SGLang: `python -m sglang.launch_server` and `python -m sglang.bench_serving`.

Also drives servings on a real GPU (`scripts/gpu/serve_truth.py`).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from revati.bench.engine import Address, Engine, Hint, Load, Phase
from revati.errors import UsageError
from revati.launcher.interpreter import Interpreter


class Sglang(Engine):
    """SGLang's runtime. Its program is the Python that has it: both commands are modules.

    Options and log lines are those of 0.5.14 to 0.5.17, read in their sources.
    """

    name = "sglang"
    executable = "python3"
    phases = (
        Phase("importing", re.compile(r"^", re.MULTILINE)),
        Phase("loading the model", re.compile(r"Load weight begin")),
        Phase("allocating the KV cache", re.compile(r"Load weight end")),
        Phase("capturing graphs", re.compile(r"[Cc]apture .*(cuda|CUDA) graph begin")),
        Phase("starting the server", re.compile(r"max_total_num_tokens=")),
        Phase("warming up", re.compile(r"Application startup complete")),
    )
    hints = (
        Hint(re.compile(r"Address already in use", re.IGNORECASE), "choose another port"),
        Hint(
            re.compile(r"OutOfMemoryError|CUDA out of memory|Not enough memory"),
            "the model does not fit: use a larger GPU, or another --mem-fraction-static in the server's arguments",
        ),
        Hint(
            re.compile(r"unrecognized arguments|invalid choice"),
            "check the server's arguments against `python -m sglang.launch_server --help`",
        ),
        Hint(
            re.compile(r"[Nn]inja|nvcc"),
            "SGLang compiles kernels as it starts: it needs nvcc and ninja on PATH",
        ),
    )
    load_begins = re.compile(r"Starting main benchmark run")
    load_ends = re.compile(r"Serving Benchmark Result")

    def serve_command(
        self, program: Path, model: Path, address: Address, tp: int, extra: Sequence[str]
    ) -> list[str]:
        """The server, default flags apart from weights that need not exist and metrics that can be read."""
        command = [str(program), "-m", "sglang.launch_server", "--model-path", str(model)]
        command += ["--load-format", "dummy", "--served-model-name", address.model_name]
        command += ["--host", address.host, "--port", str(address.port), "--enable-metrics"]
        if tp > 1:
            command += ["--tp-size", str(tp)]
        return [*command, *extra]

    def parallelism(self, pp: int, dp: int) -> list[str]:
        """SGLang's own flags."""
        stages = ["--pp-size", str(pp)] if pp > 1 else []
        return [*stages, *(["--dp-size", str(dp)] if dp > 1 else [])]

    def client_command(
        self,
        program: Path,
        tokenizer: Path,
        address: Address,
        load: Load,
        result: Path,
        extra: Sequence[str],
    ) -> list[str]:
        """SGLang's own client, with random prompts of exact length that are sent as token ids.

        It samples greedily and ignores the end of sequence by default. `random-ids` alone needs no data set, and what its
        warm-up leaves in the prefix cache is flushed: the first prompt would find itself there.
        """
        command = [
            str(program),
            "-m",
            "sglang.bench_serving",
            "--backend",
            "sglang",
            "--base-url",
            address.url,
        ]
        # Given a name alone, it asks the model hub for a chat template.
        command += ["--model", str(tokenizer), "--served-model-name", address.model_name]
        command += ["--tokenizer", str(tokenizer)]
        command += ["--dataset-name", "random-ids", "--random-range-ratio", "1.0", "--tokenize-prompt"]
        command += ["--num-prompts", str(load.num_prompts), "--seed", str(load.seed), "--flush-cache"]
        command += ["--random-input-len", str(load.input_len), "--random-output-len", str(load.output_len)]
        if load.replay is not None:
            raise UsageError("a recorded load cannot be replayed with SGLang's client; leave --replay out.")
        if load.request_rate is not None:
            command += ["--request-rate", str(load.request_rate)]
        if load.max_concurrency is not None:
            command += ["--max-concurrency", str(load.max_concurrency)]
        command += ["--disable-tqdm", "--output-details", "--output-file", str(result)]
        return [*command, *extra]

    def report(self, report: dict[str, Any], load: Load) -> dict[str, Any]:
        """Its keys for end-to-end latency become everybody's, and what failed is counted.

        The server's whole configuration, which the client asks for, has its place in the client's own file.
        """
        left_out = ("server_info", "tag", "sharegpt_output_len")
        renamed = {
            re.sub(r"^(\w+)_e2e_latency_ms$", r"\1_e2el_ms", key): value
            for key, value in report.items()
            if key not in left_out
        }
        renamed["failed"] = load.num_prompts - renamed.get("completed", 0)
        return renamed

    def kv_cache_tokens(self, log: str) -> int | None:
        """From `max_total_num_tokens=123456, chunked_prefill_size=...`, or `KV Cache is allocated. ... #tokens: 123456`."""
        match = re.search(r"\bmax_total_num_tokens=(\d+)", log) or re.search(
            r"KV Cache is allocated\..*?#tokens: (\d+)", log
        )
        return int(match[1]) if match else None

    def version(self, log: str) -> str | None:
        """SGLang's log does not say; the environment that runs it does."""
        return None

    def installed_version(self, program: Path) -> str | None:
        """Of the Python that runs it."""
        return Interpreter(program, os.environ).packages.get("sglang")

    def find(self, environment: Mapping[str, str]) -> Path:
        """The Python that has SGLang: this one, else the first on PATH.

        Raises:
            UsageError: Neither has it.
        """
        if importlib.util.find_spec("sglang") is not None:
            return Path(sys.executable)
        python = shutil.which(self.executable, path=environment.get("PATH"))
        if python:
            # -P: a folder named sglang in the working directory is not the package.
            code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('sglang') is None)"
            if subprocess.run([python, "-P", "-c", code], check=False).returncode == 0:
                return Path(python)
        raise UsageError(
            "SGLang is not installed for this Python or the python3 on PATH; install it in an environment of its own "
            "(pip install sglang) and name that environment's python with --program."
        )
