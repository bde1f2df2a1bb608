"""A server that waits for a virtual minute: how long that takes, and what the requests before and after it take.

By hand, because a first start compiles kernels (minutes). In the environment of the framework:
`.venv-sglang/bin/python -P benchmarks/idle_server.py --engine sglang`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from revati import Emulation

CLIENT = """
import json, sys, time, urllib.request

def ask():
    body = {"model": sys.argv[2], "prompt": [1000 + 13 * k for k in range(512)], "max_tokens": 8}
    request = urllib.request.Request(sys.argv[1] + "/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    began = time.perf_counter()
    urllib.request.urlopen(request).read()
    return time.perf_counter() - began

answers = [ask() for _ in range(3)]
idle_s = float(sys.argv[3])
print("sleep", flush=True)
time.sleep(idle_s)
print("awake", flush=True)
print(json.dumps({"before_s": answers, "after_s": ask()}), flush=True)
"""


def main() -> int:
    """Serves, waits, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="vllm", choices=["vllm", "sglang"])
    parser.add_argument("--model", default="llama-3.1-8b")
    parser.add_argument("--idle", type=float, default=60.0, metavar="SECONDS")
    options = parser.parse_args()
    with Emulation(gpu="h200-sxm") as emulation:
        serving = emulation.serve(options.engine, options.model)
        client = [sys.executable, "-c", CLIENT, serving.url, serving.address.model_name, str(options.idle)]
        emulation.arm_clock()
        reading, writing = os.pipe()
        process = emulation.launch(client, stdout=writing, client=True)
        os.close(writing)
        moments = {}
        with os.fdopen(reading) as printed:
            for line in printed:
                moments[line.strip()] = time.monotonic()
        if process.wait():
            return 1
    answer = json.loads(line)
    answer["idle_virtual_s"] = options.idle
    answer["idle_real_s"] = moments["awake"] - moments["sleep"]
    print(json.dumps(answer, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
