"""Streams completions with the `openai` SDK and sleeps ten minutes; prints, as JSON, what it measured (seconds).

usage: streaming_client.py PORT
"""

from __future__ import annotations

import json
import sys
import time

from openai import OpenAI

REQUESTS = 5
SLEEP_S = 600


def main() -> None:
    client = OpenAI(base_url=f"http://127.0.0.1:{sys.argv[1]}/v1", api_key="none")
    ttft_s = []
    for request in range(REQUESTS):
        began = time.perf_counter()
        stream = client.completions.create(
            model="m",
            prompt=[1000 + request * 7 + token * 13 for token in range(500)],
            max_tokens=8,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        next(stream)
        ttft_s.append(time.perf_counter() - began)
        for _ in stream:
            pass
    began = time.perf_counter()
    time.sleep(SLEEP_S)
    print(json.dumps({"mean_ttft_s": sum(ttft_s) / REQUESTS, "slept_s": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
