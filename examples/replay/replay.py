"""A recorded load on two GPUs: `python examples/replay/replay.py [FILE.csv]`.

sample.csv is made up, in the form of the Azure LLM inference traces (github.com/Azure/AzurePublicDataset); theirs will do as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

import revati
from revati.bench import Load, arrivals


def main(recorded: Path) -> None:
    """Serves the load on each GPU and prints what its users would have seen."""
    count = len(arrivals.read(recorded))
    print(f"{count} requests of {recorded.name}")
    for gpu in ("h100-sxm", "h200-sxm"):
        with revati.Emulation(gpu) as emulation:
            emulation.serve("vllm", "llama-3.1-8b", server_args=["--max-model-len", "8192"])
            result = emulation.bench(Load(num_prompts=count, replay=recorded))
        print(f"{gpu}: TTFT p99 {result.ttft.p99_ms:.1f} ms, TPOT median {result.tpot.median_ms:.2f} ms")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("sample.csv"))
