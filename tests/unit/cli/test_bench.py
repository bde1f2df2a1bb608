"""`revati bench` around a framework that misbehaves in every way a real one does."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from revati.bench import Benchmark, Load, Vllm, run
from revati.bench.engine import Address
from revati.bench.progress import Progress
from revati.errors import ClientError, ServerError, UsageError

Bench = Callable[..., dict[str, Any]]


class FakeVllm(Vllm):
    """vLLM's commands and log lines, another program behind them."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def find(self, environment: Mapping[str, str]) -> Path:
        return self._program


@pytest.fixture
def bench(
    tmp_path: Path, libraries: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Bench:
    monkeypatch.setenv("REVATI_LIBRARY_DIR", str(libraries))
    monkeypatch.setenv("REVATI_CACHE", environment["REVATI_CACHE"])
    program = tmp_path / "vllm"
    program.write_text(f"#!{sys.executable}\n" + (Path(__file__).parent / "fake_engine.py").read_text())
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def go(mode: str = "", **more: Any) -> dict[str, Any]:
        monkeypatch.setenv("FAKE", mode)
        settings: dict[str, Any] = {
            "model": "qwen3-0.6b",
            "load": Load(num_prompts=2),
            "gpu": "h200",
            "clock": "off",
            **more,
        }
        benchmark = Benchmark(FakeVllm(program), environment=dict(os.environ), **settings)
        with Progress() as progress:
            return run(benchmark, tmp_path / "out", progress)

    return go


def nobody_left(tmp_path: Path) -> bool:
    def words(process: psutil.Process) -> str:
        try:
            return " ".join(process.cmdline())
        except psutil.Error:
            return ""

    return not [process for process in psutil.process_iter() if str(tmp_path / "vllm") in words(process)]


def test_result(bench: Bench, tmp_path: Path) -> None:
    answer = bench(load=Load(2, 64, 32, 4.0, 8, 3))
    assert answer == json.loads((tmp_path / "out" / "result.json").read_text())
    expected = {
        "mean_ttft_ms": 1.5,
        "median_tpot_ms": 1.5,
        "completed": 2,
        "failed": 0,
        "model": "qwen3-0.6b",
        "engine": "vllm",
        "engine_version": "0.24.0",
        "gpu": "h200-sxm",
        "gpus": 1,
        "kv_cache_tokens": 1234560,
        "duration_sources": {},
        "virtual_seconds": 12.5,
    }
    assert {key: answer[key] for key in expected} == expected
    assert answer["wall_seconds"] > 0
    assert answer["startup_wall_seconds"] > 0
    assert not {"date", "ttfts"} & answer.keys()
    assert json.loads((tmp_path / "out" / "client.json").read_text())["ttfts"] == [0.1, 0.2]
    assert "GPU KV cache size" in (tmp_path / "out" / "server.log").read_text()
    assert nobody_left(tmp_path)


def test_model_too_large(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(
        ServerError, match=r"(?s)exit code 1.*No available memory.*What to do: the model does not fit"
    ):
        bench("does not fit")
    assert nobody_left(tmp_path)
    assert not (tmp_path / "out" / "result.json").exists()


def test_server_that_is_never_ready(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"not ready after 2 s(?s:.*)--ready-timeout"):
        bench("never ready", ready_timeout_s=2)
    assert nobody_left(tmp_path)


def test_server_that_dies_under_load(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="exit code 9"):
        bench("dies under load")
    assert nobody_left(tmp_path)


def test_client_that_fails(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"(?s)exit code 1.*no such dataset"):
        bench("client fails")
    assert nobody_left(tmp_path)


def test_requests_that_fail(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="1 requests failed"):
        bench("requests fail")
    assert nobody_left(tmp_path)


def test_port_in_use(bench: Bench) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"cannot listen on 127\.0\.0\.1:{port}.*--port"):
            bench(port=port)


def test_commands() -> None:
    engine = Vllm()
    address = Address("127.0.0.1", 1234, "m")
    serve = engine.serve_command(Path("/v/vllm"), Path("/m"), address, 2, ["--max-model-len", "8192"])
    assert (
        serve
        == (
            "/v/vllm serve /m --load-format dummy --served-model-name m --host 127.0.0.1 --port 1234 "
            "--tensor-parallel-size 2 --max-model-len 8192"
        ).split()
    )
    load = Load(100, 512, 128, 4.0, 16, 7)
    client = " ".join(
        engine.client_command(Path("vllm"), Path("/t"), address, load, Path("/o/c.json"), ["--top-p", "1"])
    )
    for part in (
        "vllm bench serve",
        "--tokenizer /t",
        "--random-input-len 512 --random-output-len 128",
        "--request-rate 4.0 --max-concurrency 16",
        "--seed 7",
        "--ignore-eos --temperature 0",
        "--result-dir /o --result-filename c.json",
    ):
        assert part in client
    assert client.endswith("--top-p 1")
