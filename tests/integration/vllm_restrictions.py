"""Offline vLLM with everything that restricts or explains what is sampled. Prints one JSON object; run under `revati run`."""

from __future__ import annotations

import json
import sys
from typing import Any

from vllm import LLM, SamplingParams
from vllm.sampling_params import StructuredOutputsParams


def main() -> None:
    engine = LLM(
        model=sys.argv[1],
        load_format="dummy",
        enforce_eager=True,
        max_model_len=4096,
        max_num_batched_tokens=256,
        max_num_seqs=8,
    )
    prompts = [{"prompt_token_ids": list(range(1000, 1000 + length))} for length in (5, 40, 600)]

    def generate(**parameters: Any) -> list[Any]:
        settings = {"temperature": 0.0, "max_tokens": 6, "ignore_eos": True} | parameters
        answers: list[Any] = engine.generate(prompts, SamplingParams(**settings), use_tqdm=False)
        return answers

    def ids(**parameters: object) -> list[list[int]]:
        return [list(answer.outputs[0].token_ids) for answer in generate(**parameters)]

    plain = ids()
    explained = generate(logprobs=3, prompt_logprobs=2)
    print(
        json.dumps(
            {
                "plain": plain,
                "allowed": ids(allowed_token_ids=[1500, 1501]),
                "matching": [
                    answer.outputs[0].text
                    for answer in generate(
                        max_tokens=20,
                        ignore_eos=False,
                        structured_outputs=StructuredOutputsParams(regex="(yes|no), [0-9]{3}"),
                    )
                ],
                "log_probabilities": [
                    [[entry.logprob for entry in token.values()] for token in answer.outputs[0].logprobs]
                    for answer in explained
                ],
                "prompt_log_probabilities": [len(answer.prompt_logprobs) for answer in explained],
            }
        )
    )


if __name__ == "__main__":
    main()
