"""A serving framework in 40 lines that prints what vLLM prints; `FAKE` in the environment says how it misbehaves."""

from __future__ import annotations

import http.server
import json
import os
import sys
import time

MODE = os.environ.get("FAKE", "")


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def argument(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


def serve() -> None:
    print("INFO Initializing a V1 LLM engine (v0.24.0) with config: model='x'", flush=True)
    if MODE == "does not fit":
        print("ValueError: No available memory for the cache blocks.", file=sys.stderr)
        sys.exit(1)
    if MODE == "never ready":
        time.sleep(1000)
    print("INFO GPU KV cache size: 1,234,560 tokens", flush=True)
    if MODE == "dies under load":
        server = http.server.HTTPServer(("127.0.0.1", int(argument("--port"))), Health)
        server.handle_request()
        time.sleep(1)
        sys.exit(9)
    http.server.HTTPServer(("127.0.0.1", int(argument("--port"))), Health).serve_forever()


def client() -> None:
    print("Starting main benchmark run...", flush=True)
    if MODE == "client fails":
        sys.exit("no such dataset")
    if MODE == "dies under load":
        time.sleep(1000)
    print("  50%|#####     | 1/2 [00:01<00:00]", flush=True)
    failed = 1 if MODE == "requests fail" else 0
    result = {
        "duration": 12.5,
        "completed": 2 - failed,
        "failed": failed,
        "output_throughput": 20.0,
        "date": "today",
    }
    result |= {
        f"{statistic}_{metric}_ms": 1.5 for statistic in ("mean", "median") for metric in ("ttft", "tpot")
    }
    with open(os.path.join(argument("--result-dir"), argument("--result-filename")), "w") as file:
        json.dump({**result, "ttfts": [0.1, 0.2]}, file)
    print("============ Serving Benchmark Result ============", flush=True)


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else client()
