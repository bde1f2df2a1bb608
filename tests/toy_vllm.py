#!/usr/bin/env python3
"""A stand-in for `vllm`: same commands, log lines and report, and a batching server in forty lines of arithmetic.

It answers in milliseconds, the same each time, and is worth nothing but for testing what stands on top of an engine. `TOY_SLOW` in
the environment: seconds that the server takes to start.
"""

from __future__ import annotations

import http.server
import json
import os
import random
import re
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

SESSION = Path(os.environ["REVATI_SESSION"])
SERVER = SESSION / "toy-server.json"
BYTES_PER_PARAMETER = 2
TOKENS_PER_S_PREFILL = 20_000


def argument(name: str, default: str | None = None) -> str:
    if name in sys.argv:
        return sys.argv[len(sys.argv) - sys.argv[::-1].index(name)]
    if default is None:
        sys.exit(f"toy: needs {name}")
    return default


def device(key: str) -> float:
    match = re.search(rf"^{re.escape(key)} = (\S+)$", (SESSION / "device.conf").read_text(), re.MULTILINE)
    assert match
    return float(match[1])


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def serve() -> None:
    name = argument("--served-model-name")
    size = re.search(r"([\d.]+)b", name)
    weights = float(size[1] if size else 1) * 1e9 * BYTES_PER_PARAMETER
    ranks = int(argument("--tensor-parallel-size", "1"))
    if "--no-such-flag" in sys.argv:
        sys.exit("vllm: error: unrecognized arguments: --no-such-flag")
    print("INFO Initializing a V1 LLM engine (v0.24.0) with config: model='x'", flush=True)
    time.sleep(float(os.environ.get("TOY_SLOW", "0")))
    if weights > 0.9 * device("gpu.memory_bytes") * ranks:
        sys.exit("torch.OutOfMemoryError: CUDA out of memory.")
    print(f"INFO threads: {os.environ.get('OMP_NUM_THREADS')}", flush=True)
    cache = int((0.9 * device("gpu.memory_bytes") * ranks - weights) / 131072)
    print(f"INFO GPU KV cache size: {cache:,} tokens", flush=True)
    step_s = weights / ranks / device("gpu.memory_bandwidth") + 0.001
    SERVER.write_text(json.dumps({"step_s": step_s, "seqs": int(argument("--max-num-seqs", "256"))}))
    http.server.HTTPServer(("127.0.0.1", int(argument("--port"))), Health).serve_forever()


def arrivals() -> list[tuple[float, int, int]]:
    count = int(argument("--num-prompts"))
    if argument("--dataset-name") == "timed_trace":
        lines = Path(argument("--dataset-path")).read_text().splitlines()
        rows = [json.loads(line) for line in lines[:count]]
        return [(row["timestamp"], row["input_length"], row["output_length"]) for row in rows]
    lengths = int(argument("--random-input-len")), int(argument("--random-output-len"))
    rate = float(argument("--request-rate", "inf"))
    source = random.Random(int(argument("--seed")))
    at, found = 0.0, []
    for _ in range(count):
        found.append((at, *lengths))
        at += source.expovariate(rate) if rate != float("inf") else 0.0
    return found


def simulate(load: list[tuple[float, int, int]], step_s: float, seqs: int) -> list[dict[str, Any]]:
    """Prefills come before decoding, one at a time; all running requests get one token a step."""
    requests: list[dict[str, Any]] = [{"at": at, "in": i, "out": o, "times": []} for at, i, o in load]
    waiting = deque(requests)
    running: list[dict[str, Any]] = []
    now = 0.0
    while waiting or running:
        if not running:
            now = max(now, waiting[0]["at"])
        if waiting and waiting[0]["at"] <= now and len(running) < seqs:
            request = waiting.popleft()
            now += step_s + request["in"] / TOKENS_PER_S_PREFILL
            request["times"].append(now)
            running.append(request)
        else:
            now += step_s * (1 + len(running) / 64)
            for request in running:
                request["times"].append(now)
        running = [request for request in running if len(request["times"]) < request["out"]]
    return requests


def summary(name: str, values: list[float]) -> dict[str, float]:
    ordered = sorted(values) or [0.0]
    figures = {f"mean_{name}_ms": sum(ordered) / len(ordered) * 1e3}
    for label, share in (("median", 0.5), ("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        figures[f"{label}_{name}_ms"] = ordered[round(share * (len(ordered) - 1))] * 1e3
    return figures


def client() -> None:
    print("Starting main benchmark run...", flush=True)
    requests = simulate(arrivals(), **json.loads(SERVER.read_text()))
    ttfts = [request["times"][0] - request["at"] for request in requests]
    itls = [[b - a for a, b in zip(r["times"], r["times"][1:], strict=False)] for r in requests]
    duration = max(request["times"][-1] for request in requests)
    tokens = sum(request["out"] for request in requests)
    report = {
        "duration": duration,
        "completed": len(requests),
        "failed": 0,
        "request_throughput": len(requests) / duration,
        "output_throughput": tokens / duration,
        "ttfts": ttfts,
        "itls": itls,
        "start_times": [1000 + request["at"] for request in requests],
        "input_lens": [request["in"] for request in requests],
        "output_lens": [request["out"] for request in requests],
        "errors": [""] * len(requests),
        **summary("ttft", ttfts),
        **summary("tpot", [sum(itl) / len(itl) for itl in itls if itl]),
        **summary("itl", [value for itl in itls for value in itl]),
        **summary("e2el", [ttft + sum(itl) for ttft, itl in zip(ttfts, itls, strict=True)]),
    }
    Path(argument("--result-dir"), argument("--result-filename")).write_text(json.dumps(report))
    print("============ Serving Benchmark Result ============", flush=True)


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else client()
