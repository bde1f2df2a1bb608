"""Two runs of a tensor-parallel server in modelled time: the same answer to the byte, and what each process holds.

By hand, because a first start compiles FlashInfer's communication kernels (minutes): `.venv/bin/python -P
benchmarks/tensor_parallel.py --gpus 2`. Ends with 1 if the runs differ.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

REVATI = Path(sys.executable).with_name("revati")


def watch(peaks: dict[str, int], done: threading.Event) -> None:
    """Keeps the largest resident size of each of the engine's processes, by its title."""
    while not done.wait(2):
        for process in psutil.process_iter(["cmdline", "memory_info"]):
            title = " ".join(process.info["cmdline"] or [])[:24]
            if title.startswith("VLLM::") and process.info["memory_info"]:
                peaks[title] = max(peaks.get(title, 0), process.info["memory_info"].rss)


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """One server and its load; what a client could see of it, and how long the machine took."""
    command = [
        str(REVATI),
        "bench",
        "--model",
        options.model,
        "--gpus",
        str(options.gpus),
        "--clock",
        options.clock,
    ]
    command += ["--request-rate", "8", "--num-prompts", "12", "--input-len", "256", "--output-len", "32"]
    command += ["--out", str(out), "--server-args", options.server_args]
    subprocess.run(command, check=True)
    result = json.loads((out / "result.json").read_text())
    result["client"] = json.loads((out / "client.json").read_text())
    del result["client"]["date"]
    return {key: value for key, value in result.items() if not key.endswith("wall_seconds")}


def main() -> int:
    """Runs, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="llama-3.1-8b")
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--clock", default="modelled")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--server-args", default="")
    parser.add_argument("--out", type=Path, default=Path("out/tensor_parallel"))
    options = parser.parse_args()
    peaks: dict[str, int] = {}
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(peaks, done))
    watcher.start()
    began = time.monotonic()
    try:
        results = [run(options, options.out / str(index)) for index in range(options.runs)]
    finally:
        done.set()
        watcher.join()
    for title, size in sorted(peaks.items()):
        print(f"{title:24} {size / 1e9:6.2f} GB resident at most")
    print(f"mean TTFT {results[0]['mean_ttft_ms']:.3f} ms, mean TPOT {results[0]['mean_tpot_ms']:.3f} ms")
    print(f"{time.monotonic() - began:.0f} s for {options.runs} runs")
    differing = [key for key in results[0] if any(other.get(key) != results[0][key] for other in results[1:])]
    print("differing:", ", ".join(differing) if differing else "nothing")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
