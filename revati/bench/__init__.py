"""Serving benchmarks: a real server on virtual GPUs, loaded by the framework's own client."""

from revati.bench.answer import BenchResult, Latency
from revati.bench.engine import Engine, Load
from revati.bench.requests import Request
from revati.bench.runner import Benchmark, run
from revati.bench.serving import Deployment, Serving
from revati.bench.sglang import Sglang
from revati.bench.vllm import Vllm

ENGINES: dict[str, type[Engine]] = {"vllm": Vllm, "sglang": Sglang}

__all__ = [
    "ENGINES",
    "BenchResult",
    "Benchmark",
    "Deployment",
    "Engine",
    "Latency",
    "Load",
    "Request",
    "Serving",
    "Sglang",
    "Vllm",
    "run",
]
