"""Host time of one decode step of vLLM on the virtual GPU, and the share of it that Revati's own code takes; one JSON line."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = (
    "0"  # the engine in this process, where its CPU time can be sampled
)

STEPS = 200


def read_samples(sampler: ctypes.CDLL) -> tuple[int, int, int]:
    """Total samples, those inside our libraries, those below them."""
    counts = (ctypes.c_uint64 * 3)()
    sampler.own_time_read(counts)
    return counts[0], counts[1], counts[2]


def main() -> None:
    """Usage: decode_step.py MODEL_PATH SAMPLER_LIBRARY."""
    from vllm import LLM, SamplingParams  # noqa: PLC0415

    model, library = sys.argv[1:3]
    sampler = ctypes.CDLL(library)
    llm = LLM(model=model, load_format="dummy", max_model_len=4096, disable_log_stats=True)
    figures: dict[str, float] = {}
    for batch in (1, 64):
        prompts = [{"prompt_token_ids": [1000 + index] * 16} for index in range(batch)]
        parameters = SamplingParams(max_tokens=STEPS, ignore_eos=True, temperature=0.0)
        llm.generate(prompts, parameters, use_tqdm=False)
        sampler.own_time_start(500)
        start_cpu, start = time.process_time(), time.perf_counter()
        llm.generate(prompts, parameters, use_tqdm=False)
        cpu, wall = time.process_time() - start_cpu, time.perf_counter() - start
        sampler.own_time_stop()
        total, own, called = read_samples(sampler)
        figures |= {
            f"batch_{batch}_host_ms_per_step": cpu / STEPS * 1e3,
            f"batch_{batch}_wall_ms_per_step": wall / STEPS * 1e3,
            f"batch_{batch}_own_share": own / max(total, 1),
            f"batch_{batch}_own_share_with_callees": (own + called) / max(total, 1),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
