"""Real vLLM servers on virtual GPUs, started by the installed `revati` and shared between tests: each takes minutes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from revati import catalogue, models

BIN = Path(sys.executable).parent
READY_TIMEOUT_S = 600
MOST_SERVERS = 2


@dataclass(frozen=True)
class Setup:
    """One server: what is served, on what, how."""

    model: str = "llama-3.1-8b"
    gpu: str = "h200-sxm"
    gpus: int = 1
    flags: tuple[str, ...] = ("--enforce-eager", "--max-model-len", "16384")
    variables: tuple[tuple[str, str], ...] = ()


@dataclass
class Server:
    """A server, from its start to `stop`."""

    setup: Setup
    folder: Path
    port: int = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [str(BIN / "revati"), "run", "--gpu", self.setup.gpu, "--gpus", str(self.setup.gpus)]
        command += [
            "--out",
            str(self.folder),
            "--",
            str(BIN / "vllm"),
            "serve",
            str(models.create(self.setup.model)),
        ]
        command += ["--load-format", "dummy", "--served-model-name", "m", "--port", str(self.port)]
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **dict(self.setup.variables)}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *self.setup.flags],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log_path(self) -> Path:
        return self.folder / "server.log"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            assert self.process.poll() is None, f"server ended: {self.process.returncode}\n{self.log[-6000:]}"
            assert time.monotonic() < deadline, f"server not ready\n{self.log[-6000:]}"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2):
                    return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.5)

    def stop(self) -> int:
        """Ends it as a user would; returns the exit code."""
        tree = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(120)
        _, alive = psutil.wait_procs(tree, timeout=5)
        assert not alive, alive
        return code

    def complete(self, prompt: str | Sequence[int], max_tokens: int = 8, **more: Any) -> dict[str, Any]:
        """One request; returns the response."""
        body = {
            "model": "m",
            "prompt": prompt,
            "max_tokens": max_tokens,
            "ignore_eos": True,
            "temperature": 0,
            **more,
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.code}: {error.read().decode()}\n{self.log[-4000:]}") from None
        return answer

    def metric(self, name: str) -> float:
        """The sum of a Prometheus counter over its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as response:
            text = response.read().decode()
        values = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? ([\d.e+-]+)$", text, re.MULTILINE)
        assert values, f"no metric {name}"
        return sum(map(float, values))

    @property
    def kv_cache_tokens(self) -> int:
        match = re.search(r"GPU KV cache size: ([\d,]+) tokens", self.log)
        assert match, self.log[-4000:]
        return int(match[1].replace(",", ""))

    @property
    def summary(self) -> dict[str, Any]:
        """What `revati run --out` wrote when the server ended."""
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return summary


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Starts servers and keeps the last few for the tests that follow."""
    live: dict[Setup, Server] = {}

    def get(*setups: Setup) -> list[Server]:
        others = [setup for setup in live if setup not in setups]
        for setup in others[: max(0, len(others) + len(setups) - MOST_SERVERS)]:
            assert_clean_end(live.pop(setup))
        new = [setup for setup in setups if setup not in live]
        for setup in new:
            live[setup] = Server(setup, tmp_path_factory.mktemp("server"))
            live[setup].start()
        for setup in new:
            try:
                live[setup].wait_ready()
            except AssertionError:
                for other in new:
                    live.pop(other).process.terminate()
                raise
        return [live[setup] for setup in setups]

    yield get
    for server in live.values():
        assert_clean_end(server)


def assert_clean_end(server: Server) -> None:
    """Every server of these tests must end well and must have met nothing that the virtual GPU does not know."""
    code = server.stop()
    assert code in (0, 128 + signal.SIGTERM), server.log[-4000:]
    assert not server.summary["fatal"]


def memory_bytes(gpu: str) -> int:
    return catalogue.get(gpu).memory_bytes


def run_revati(
    *arguments: str, timeout: float = 900, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The installed command, to its end."""
    return subprocess.run(
        [str(BIN / "revati"), *arguments],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
