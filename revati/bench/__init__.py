"""Serving benchmarks: a real server on virtual GPUs, loaded by the framework's own client."""

from revati.bench.engine import Engine, Load
from revati.bench.runner import Benchmark, run
from revati.bench.vllm import Vllm

ENGINES: dict[str, type[Engine]] = {"vllm": Vllm}

__all__ = ["ENGINES", "Benchmark", "Engine", "Load", "Vllm", "run"]
