"""`Emulation.serve` and `bench`, with an engine that is a stand-in."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

import revati
from revati.bench import BenchResult, Engine, Load, Sglang, Vllm
from revati.bench.engine import Address
from revati.errors import ServerError, UsageError

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.6805900,396,10
2023-11-16 18:15:50.9805900,40,0
2023-11-16 18:15:51.6805900,20,3
"""


def test_typed_result(toy_vllm: Path, tmp_path: Path) -> None:
    with revati.Emulation("h200-sxm", 2, clock="off") as emulation:
        serving = emulation.serve("vllm", "qwen3-0.6b", program=toy_vllm, out=tmp_path)
        assert serving.deployment.tp == 2
        with socket.create_connection((serving.address.host, serving.address.port)):
            pass
        slow = serving.bench(Load(num_prompts=20, output_len=16, request_rate=1))
        fast = emulation.bench(Load(num_prompts=20, output_len=16), out=tmp_path / "fast")
    assert isinstance(slow, BenchResult)
    assert (slow.model, slow.gpu, slow.gpus, slow.tp, slow.completed) == ("qwen3-0.6b", "h200-sxm", 2, 2, 20)
    assert slow.output_throughput is not None
    assert fast.output_throughput is not None
    assert slow.output_throughput < fast.output_throughput
    assert slow.ttft.p99_ms is not None
    assert slow.ttft.p99_ms < max(request.ttft_s for request in fast.requests) * 1e3
    assert len(slow.requests) == 20
    assert len(slow.requests[0].itls_s) == 15
    assert slow.requests[0].start_s == 0
    assert BenchResult.read(tmp_path) == slow
    assert BenchResult.read(tmp_path / "fast") == fast


def test_temporary_folder_is_removed(toy_vllm: Path) -> None:
    with revati.Emulation(clock="off") as emulation:
        emulation.serve("vllm", "qwen3-0.6b", program=toy_vllm)
        result = emulation.bench(Load(num_prompts=2))
        assert result.folder.is_dir()
    assert not result.folder.exists()
    assert len(result.requests) == 2


def test_async(toy_vllm: Path) -> None:
    async def go() -> BenchResult:
        async with revati.Emulation(clock="off") as emulation:
            await emulation.aserve("vllm", "qwen3-0.6b", program=toy_vllm)
            return await emulation.abench(Load(num_prompts=2))

    assert asyncio.run(go()).completed == 2


def test_replay(toy_vllm: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "azure.csv"
    recorded.write_text(AZURE)
    with revati.Emulation(clock="off") as emulation:
        emulation.serve("vllm", "qwen3-0.6b", program=toy_vllm)
        result = emulation.bench(Load(replay=recorded, replay_speed=2.0))
    assert [request.start_s for request in result.requests] == pytest.approx([0, 2, 2.5])
    assert [request.input_tokens for request in result.requests] == [374, 396, 20]
    assert [request.output_tokens for request in result.requests] == [44, 10, 3]
    assert result.values["replay"] == "azure.csv"


def test_errors(toy_vllm: Path, tmp_path: Path) -> None:
    with revati.Emulation(clock="off") as emulation:
        with pytest.raises(UsageError, match="no server to load"):
            emulation.bench()
        with pytest.raises(UsageError, match="no engine 'tgi'; choose from vllm"):
            emulation.serve("tgi", "qwen3-0.6b")
        with pytest.raises(UsageError, match="--tp 2 --pp 2 needs as many GPUs; add --gpus 4"):
            emulation.serve("vllm", "qwen3-0.6b", tp=2, pp=2)
        with pytest.raises(ServerError, match="the model does not fit"):
            emulation.serve("vllm", "llama-3.1-70b", program=toy_vllm)
    with pytest.raises(UsageError, match="not offered for vllm"):
        Engine.parallelism(Vllm(), 2, 1)
    with pytest.raises(UsageError, match="cannot be replayed with SGLang"):
        Sglang().client_command(
            Path("python"), tmp_path, Address("h", 1, "m"), Load(replay=tmp_path), tmp_path / "r.json", ()
        )
    with pytest.raises(UsageError, match="no profile"):
        revati.Emulation(profile=tmp_path / "none.rvm")
    with pytest.raises(UsageError, match="leave the request rate out"):
        Load(replay=tmp_path, request_rate=1)
    with pytest.raises(UsageError, match=r"is no result of a benchmark"):
        BenchResult.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "unknown form"),
        ("arrival_s,input_tokens,output_tokens\n", "holds no request"),
        ("arrival_s,input_tokens,output_tokens\n0,5,5\nsoon,5,5\n", "line 3"),
        ("arrival_s,input_tokens,output_tokens\n0,0,5\n", "at least one token"),
        ("arrival_s,input_tokens,output_tokens\n0,5\n", "line 2"),
    ],
)
def test_unusable_recordings(tmp_path: Path, text: str, words: str) -> None:
    from revati.bench import arrivals

    path = tmp_path / "load.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        arrivals.read(path)
    with pytest.raises(UsageError, match="cannot be read"):
        arrivals.read(tmp_path / "missing.csv")
