"""The answer of a benchmark as an object: what `result.json` says, with types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revati.bench import requests
from revati.bench.requests import Request
from revati.errors import UsageError


@dataclass(frozen=True)
class Latency:
    """One latency over all requests, in milliseconds; None for a figure that the client did not give."""

    mean_ms: float | None = None
    median_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any], metric: str) -> Latency:
        """From the client's keys: `mean_ttft_ms` and the like."""
        names = ("mean", "median", "p90", "p95", "p99")
        return cls(**{f"{name}_ms": values.get(f"{name}_{metric}_ms") for name in names})


@dataclass(frozen=True)
class BenchResult:
    """What a benchmark found.

    Attributes:
        model: Served under this name.
        engine: `vllm`.
        engine_version: As its log tells it.
        gpu: Of the catalogue.
        gpus: How many the machine has.
        tp: Tensor parallelism.
        pp: Pipeline parallelism.
        dp: Data parallelism.
        completed: Requests that got their whole answer.
        failed: The others.
        request_throughput: Requests completed per (virtual) second.
        output_throughput: Tokens generated per (virtual) second.
        ttft: Time to first token.
        tpot: Time per output token after the first, a request's mean.
        itl: Inter-token latency.
        e2el: End-to-end latency.
        kv_cache_tokens: Size of the KV cache; None where the log does not tell.
        virtual_seconds: Length of the load as the client saw it.
        wall_seconds: Its length in real time.
        startup_wall_seconds: From the server's start until it answered, in real time.
        duration_sources: Virtual GPU time by where durations come from (docs/durations.md).
        warnings: What the virtual GPU could not do.
        requests: One by one.
        values: All of `result.json`.
        folder: Where the client's report and the logs are, for as long as they are kept.
    """

    model: str
    engine: str
    engine_version: str | None
    gpu: str
    gpus: int
    tp: int
    pp: int
    dp: int
    completed: int
    failed: int
    request_throughput: float | None
    output_throughput: float | None
    ttft: Latency
    tpot: Latency
    itl: Latency
    e2el: Latency
    kv_cache_tokens: int | None
    virtual_seconds: float
    wall_seconds: float
    startup_wall_seconds: float
    duration_sources: Mapping[str, Mapping[str, float]]
    warnings: tuple[str, ...]
    folder: Path
    requests: tuple[Request, ...] = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, values: Mapping[str, Any], folder: Path) -> BenchResult:
        """From `result.json` and the client's report beside it."""
        fields: dict[str, Any] = {
            key: values.get(key)
            for key in (
                *("model", "engine", "engine_version", "gpu"),
                *("request_throughput", "output_throughput", "kv_cache_tokens"),
            )
        }
        fields |= {key: values.get(key, 1) for key in ("gpus", "tp", "pp", "dp")}
        fields |= {key: values.get(key, 0) for key in ("completed", "failed")}
        fields |= {
            key: values.get(key, 0.0) for key in ("virtual_seconds", "wall_seconds", "startup_wall_seconds")
        }
        fields |= {metric: Latency.of(values, metric) for metric in ("ttft", "tpot", "itl", "e2el")}
        return cls(
            **fields,
            duration_sources=values.get("duration_sources", {}),
            warnings=tuple(values.get("warnings", ())),
            folder=folder,
            requests=requests.read(folder),
            values=values,
        )

    @classmethod
    def read(cls, folder: Path) -> BenchResult:
        """From the folder that `revati bench --out` wrote.

        Raises:
            UsageError: There is no result, or it is none.
        """
        path = folder / "result.json"
        try:
            values = json.loads(path.read_text())
            if not isinstance(values, dict):
                raise ValueError("not an object")
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path} is no result of a benchmark ({error}); `revati bench --out {folder}` writes one."
            ) from None
        return cls.of(values, folder)
