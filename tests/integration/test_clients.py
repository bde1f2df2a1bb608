"""Clients that know nothing of Revati, each unchanged, see the virtual time of a server in another terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from revati import models

from .conftest import BIN, run_revati

pytestmark = pytest.mark.vllm

MODEL = "llama-3.1-8b"
SESSION = "clients"
GUIDELLM = Path(sys.prefix) / "guidellm"
# What a client measures on top of the server's own figure: the model's price of the messages in between.
NETWORK_S = 0.5e-3


@dataclass
class Clients:
    """A session with a server, and what runs beside it."""

    folder: Path
    port: int = field(init=False)
    server: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        return {"REVATI_RUNTIME_DIR": str(self.folder / "names"), "PATH": f"{BIN}:{os.environ['PATH']}"}

    def start(self) -> None:
        # The server's code is to take no time between what it measures and what its clients do.
        free = {"format": 1, "host_factor": 1.0, "driver_ns": {}, "work": {}}
        (self.folder / "free.json").write_text(json.dumps(free))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with (self.folder / "server.log").open("wb") as log:
            self.server = subprocess.Popen(
                [
                    *(str(BIN / "revati"), "run", "--session", SESSION, "--gpu", "h200-sxm", "--"),
                    *(str(BIN / "vllm"), "serve", str(models.create(MODEL)), "--load-format", "dummy"),
                    *("--served-model-name", "m", "--port", str(self.port)),
                    *("--enforce-eager", "--max-model-len", "16384"),
                ],
                env={**os.environ, **self.variables, "REVATI_HOST_COSTS": str(self.folder / "free.json")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while run_revati("session", "show", SESSION, env=self.variables).returncode != 0:
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text(errors="replace")
            time.sleep(0.2)

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        """Runs a client in the session, to its end; returns what it printed."""
        done = run_revati(
            *("run", "--session", SESSION, "--client", "--", *command), env={**self.variables, **(env or {})}
        )
        log = (self.folder / "server.log").read_text(errors="replace")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log[-4000:]}"
        return done.stdout

    def server_ttft(self) -> tuple[float, float]:
        """By the server's own metric: sum in seconds, and count."""
        text = self.run("curl", "--silent", "--show-error", f"{self.url}/metrics")
        name = "vllm:time_to_first_token_seconds"
        values = [
            re.findall(rf"^{name}_{what}{{.*}} (\S+)$", text, re.MULTILINE) for what in ("sum", "count")
        ]
        return sum(map(float, values[0])), sum(map(float, values[1]))


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    clients = Clients(tmp_path_factory.mktemp("clients"))
    clients.start()
    yield clients
    clients.server.send_signal(signal.SIGTERM)
    assert clients.server.wait(120) in (0, 128 + signal.SIGTERM)


@pytest.fixture
def server_mean(clients: Clients) -> Iterator[list[float]]:
    """Append what the client measured as mean time to first token, in s; the server must have measured the same."""
    before = clients.server_ttft()
    measured: list[float] = []
    yield measured
    after = clients.server_ttft()
    own = (after[0] - before[0]) / (after[1] - before[1])
    (by_client,) = measured
    assert own <= by_client <= own + NETWORK_S


def test_openai_sdk(clients: Clients, server_mean: list[float]) -> None:
    """A client's ten minutes of sleep are ten minutes to it."""
    script = Path(__file__).with_name("streaming_client.py")
    figures = json.loads(clients.run(sys.executable, "-P", str(script), str(clients.port)))
    assert figures["slept_s"] == pytest.approx(600, abs=1e-3)
    server_mean.append(figures["mean_ttft_s"])


def test_curl(clients: Clients) -> None:
    """Fifty times as many tokens take curl's own stopwatch nearly fifty times as long, on a virtual GPU."""
    seconds = []
    for tokens in (2, 101):
        body = {"model": "m", "prompt": "Hello", "max_tokens": tokens, "ignore_eos": True}
        out = clients.run(
            *(
                "curl",
                "--silent",
                "--show-error",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code} %{time_total}",
            ),
            *(f"{clients.url}/v1/completions", "--json", json.dumps(body)),
        )
        code, total = out.split()
        assert code == "200"
        seconds.append(float(total))
    steps_s = seconds[1] - seconds[0]
    assert steps_s / 99 == pytest.approx(seconds[0] / 2, rel=0.3)


def test_vllm_bench_serve(clients: Clients, server_mean: list[float], tmp_path: Path) -> None:
    clients.run(
        *(
            str(BIN / "vllm"),
            "bench",
            "serve",
            "--backend",
            "openai",
            "--base-url",
            clients.url,
            "--model",
            "m",
        ),
        *("--tokenizer", str(models.create(MODEL)), "--dataset-name", "random", "--random-input-len", "128"),
        *("--random-output-len", "16", "--num-prompts", "8", "--request-rate", "4", "--ignore-eos"),
        *("--ready-check-timeout-sec", "0", "--save-result", "--result-dir", str(tmp_path)),
        *("--result-filename", "result.json"),
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["completed"], result["failed"]) == (8, 0)
    assert result["total_output_tokens"] == 8 * 16
    server_mean.append(result["mean_ttft_ms"] / 1e3)


def test_guidellm(clients: Clients, server_mean: list[float], tmp_path: Path) -> None:
    assert GUIDELLM.is_dir(), "GuideLLM is not installed; run the tests with `make test` or scripts/test.sh"
    clients.run(
        *(sys.executable, "-P", "-m", "guidellm", "run", "--disable-console"),
        *("--backend", f"kind=openai_http,target={clients.url},model=m"),
        *("--profile", "kind=concurrent,streams=2", "--constraint", "kind=max_requests,count=6"),
        *("--tokenizer", f"kind=huggingface_auto,model={models.create(MODEL)}"),
        *("--data", "kind=synthetic_text,prompt_tokens=128,output_tokens=16"),
        *("--output", f"kind=json,path={tmp_path / 'report.json'}"),
        env={"PYTHONPATH": str(GUIDELLM)},
    )
    (benchmark,) = json.loads((tmp_path / "report.json").read_text())["benchmarks"]
    assert benchmark["metrics"]["request_totals"]["successful"] == 6
    server_mean.append(benchmark["metrics"]["time_to_first_token_ms"]["successful"]["mean"] / 1e3)
