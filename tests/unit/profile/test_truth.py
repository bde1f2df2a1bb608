"""Real servings: SGLang's commands, its log, a whole run against a stand-in for it; what vLLM needs to be told."""

from __future__ import annotations

import gzip
import itertools
import json
import lzma
import sys
from pathlib import Path

import pytest

from revati.bench.engine import Address, Load
from revati.bench.sglang import Sglang
from revati.bench.vllm import Vllm
from revati.errors import UsageError
from revati.profile import provenance, truth
from revati.profile.schema import Header

HEADER = Header("a test", "NVIDIA H200", "none", {"sglang": "0.5.17"}, "host", "2026-11-21T00:00:00Z", {})

# Lines of SGLang's start-up, as users report them; numbers made up.
LOG = """\
[2026-11-21 10:00:00] server_args=ServerArgs(model_path='/m', load_format='dummy', attention_backend=None, tp_size=1)
[2026-11-21 10:00:01] Attention backend not specified. Use fa3 backend by default.
[2026-11-21 10:00:09] Load weight begin. avail mem=138.91 GB
[2026-11-21 10:00:12] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 777777, K size: 51.00 GB, V size: 51.00 GB
[2026-11-21 10:00:20] max_total_num_tokens=777778, chunked_prefill_size=8192, max_running_requests=2048
"""

# Both modules take exactly the options that the real ones have (0.5.17), as far as they are used here.
SERVER = """
import argparse, http.server
parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("--model-path", "--load-format", "--served-model-name", "--host", "--tp-size"):
    parser.add_argument(name)
parser.add_argument("--port", type=int)
parser.add_argument("--enable-metrics", action="store_true")
given = parser.parse_args()
assert given.load_format == "dummy" and given.enable_metrics
print(LOG, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(b"python_info 1\\nsglang:generation_tokens_total 8.0\\n" if self.path == "/metrics" else b"")
http.server.HTTPServer((given.host, given.port), Handler).serve_forever()
"""
CLIENT = """
import argparse, json
parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("--backend", "--base-url", "--model", "--served-model-name", "--tokenizer", "--dataset-name", "--output-file"):
    parser.add_argument(name)
for name in ("--num-prompts", "--seed", "--random-input-len", "--random-output-len", "--max-concurrency"):
    parser.add_argument(name, type=int)
for name in ("--random-range-ratio", "--request-rate"):
    parser.add_argument(name, type=float)
for name in ("--tokenize-prompt", "--flush-cache", "--disable-tqdm", "--output-details"):
    parser.add_argument(name, action="store_true")
given = parser.parse_args()
result = {"completed": given.num_prompts, "median_ttft_ms": 1.5, "ttfts": [0.0015] * given.num_prompts}
open(given.output_file, "a").write(json.dumps(result) + "\\n")
"""


@pytest.fixture
def sglang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package of that name."""
    package = tmp_path / "stand_in" / "sglang"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "launch_server.py").write_text(f"LOG = {LOG!r}\n{SERVER}")
    (package / "bench_serving.py").write_text(CLIENT)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return package.parent


def test_a_serving_of_sglang(sglang: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "header", lambda *_: HEADER)
    monkeypatch.setattr(provenance, "versions", lambda: dict(HEADER.versions))
    out = tmp_path / "out"
    arguments = ["--engine", "sglang", "--program", sys.executable, "--quick", "--model", "qwen3-0.6b"]
    assert truth.main([*arguments, "--out", str(out)]) == 0
    document = json.loads(gzip.decompress((out / "truth-sglang-qwen3-0.6b.json.gz").read_bytes()))
    assert document["engine"] == "sglang"
    assert document["engine_version"] == "0.5.17"
    assert document["kv_cache_tokens"] == 777_778
    assert "Use fa3 backend by default." in document["attention"][0]
    load = document["loads"]["quick"]
    assert load["client"]["completed"] == 4
    assert len(load["client"]["ttfts"]) == 4
    assert load["metrics_after"] == ["sglang:generation_tokens_total 8.0"]
    assert (out / "server-sglang-qwen3-0.6b.log.xz").is_file()
    assert document["errors"] == []


def test_the_log_of_a_server_that_does_not_start_is_kept(
    sglang: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "header", lambda *_: HEADER)
    (sglang / "sglang" / "launch_server.py").write_text("raise SystemExit('no nvcc here')")
    out = tmp_path / "out"
    arguments = ["--engine", "sglang", "--program", sys.executable, "--quick", "--model", "qwen3-0.6b"]
    assert truth.main([*arguments, "--out", str(out)]) == 1
    assert b"no nvcc here" in lzma.decompress((out / "server-sglang-qwen3-0.6b.log.xz").read_bytes())
    document = json.loads(gzip.decompress((out / "truth-sglang-qwen3-0.6b.json.gz").read_bytes()))
    assert "no nvcc here" in document["errors"][0]


def test_what_the_server_was_told_is_said_and_kept(
    sglang: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(provenance, "header", lambda *_: HEADER)
    monkeypatch.setattr(Sglang, "adjustments", lambda *_: {"STAND_IN": "1"})
    server = sglang / "sglang" / "launch_server.py"
    server.write_text(f"import os\nassert os.environ['STAND_IN'] == '1'\n{server.read_text()}")
    out = tmp_path / "out"
    arguments = ["--engine", "sglang", "--program", sys.executable, "--quick", "--model", "qwen3-0.6b"]
    assert truth.main([*arguments, "--out", str(out)]) == 0
    assert "qwen3-0.6b: served with STAND_IN=1" in capsys.readouterr().out
    document = json.loads(gzip.decompress((out / "truth-sglang-qwen3-0.6b.json.gz").read_bytes()))
    assert document["header"]["notes"]["environment"] == {"STAND_IN": "1"}
    assert document["loads"]["quick"]["environment"] == {"STAND_IN": "1"}


def test_vllm_without_flashinfer_is_told_so(tmp_path: Path) -> None:
    program = tmp_path / "vllm"
    program.write_text(f"#!{sys.executable} -S\n")  # without site-packages
    without = {"PATH": "/usr/bin:/bin"}
    assert Vllm().adjustments(program, without) == {"VLLM_USE_FLASHINFER_SAMPLER": "0"}
    # Whoever runs it has the last word.
    assert Vllm().adjustments(program, {**without, "VLLM_USE_FLASHINFER_SAMPLER": "1"}) == {}
    (tmp_path / "site" / "flashinfer").mkdir(parents=True)
    (tmp_path / "site" / "flashinfer" / "__init__.py").touch()
    assert Vllm().adjustments(program, {**without, "PYTHONPATH": str(tmp_path / "site")}) == {}


@pytest.mark.parametrize("text", ["#!/bin/sh\n", "#!/nonexistent/python\n", "\x7fELF"])
def test_a_vllm_that_nothing_is_known_of_keeps_its_defaults(tmp_path: Path, text: str) -> None:
    program = tmp_path / "vllm"
    program.write_text(text)
    assert Vllm().adjustments(program, {}) == {}
    assert Vllm().adjustments(tmp_path / "absent", {}) == {}


def test_commands_of_sglang() -> None:
    address = Address("127.0.0.1", 8000, "m")
    server = Sglang().serve_command(Path("python"), Path("/m"), address, 2, ["--mem-fraction-static", "0.8"])
    assert server[:5] == ["python", "-m", "sglang.launch_server", "--model-path", "/m"]
    assert server[-4:] == ["--tp-size", "2", "--mem-fraction-static", "0.8"]
    load = Load(10, 64, 8, request_rate=2.0, max_concurrency=None, seed=5)
    client = Sglang().client_command(Path("python"), Path("/m"), address, load, Path("/r.json"), [])
    pairs = dict(itertools.pairwise(client))
    assert (pairs["--random-input-len"], pairs["--random-output-len"], pairs["--seed"]) == ("64", "8", "5")
    # Exact lengths, and prompts that need no tokenizer's round trip.
    assert pairs["--random-range-ratio"] == "1.0"
    assert {"--tokenize-prompt", "--flush-cache"} <= set(client)
    assert "--max-concurrency" not in client


def test_the_log_of_sglang() -> None:
    assert Sglang().kv_cache_tokens(LOG) == 777_778
    assert Sglang().kv_cache_tokens(LOG.rpartition("[")[0]) == 777_777
    assert Sglang().kv_cache_tokens("nothing") is None
    resolved = "ServerArgs(attention_backend='fa3', decode_attention_backend=None)"
    assert truth.attention_backends(resolved)[0].endswith("attention_backend='fa3'")


def test_without_sglang_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"environment of its own.*--program"):
        Sglang().find({"PATH": "/nonexistent"})
