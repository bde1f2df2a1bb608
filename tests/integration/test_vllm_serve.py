"""Unmodified vLLM, eager, on a virtual GPU: what its users rely on works, request by request."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import Server, Setup, memory_bytes

pytestmark = pytest.mark.vllm

Start = Callable[..., list[Server]]

EAGER = ("--enforce-eager", "--max-model-len", "16384", "--max-num-batched-tokens", "2048")
V2 = Setup(flags=(*EAGER, "--gpu-memory-utilization", "0.9"))
HALF = Setup(flags=(*EAGER, "--gpu-memory-utilization", "0.5"))
FP8 = Setup(flags=(*EAGER, "--gpu-memory-utilization", "0.5", "--quantization", "fp8"))
MOE = Setup(model="qwen3-30b-a3b", flags=EAGER)
# It must find its one GPU where the machine's second one is.
V1 = Setup(
    gpus=2,
    flags=EAGER,
    variables=(("VLLM_USE_V2_MODEL_RUNNER", "0"), ("CUDA_VISIBLE_DEVICES", "1")),
)
VOCABULARY = 128256


def words(count: int, seed: int) -> list[int]:
    """A prompt of exactly `count` tokens that no other seed shares."""
    return [(seed * 7919 + i * 31) % 100000 + 1000 for i in range(count)]


def check_completion(server: Server, tokens: int = 12, **more: object) -> None:
    answer = server.complete("The capital of France is", max_tokens=tokens, return_token_ids=True, **more)
    assert answer["usage"]["completion_tokens"] == tokens
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "length"
    assert len(choice["token_ids"]) == tokens
    assert all(0 <= token < VOCABULARY for token in choice["token_ids"])


@pytest.mark.parametrize("setup", [V1, V2], ids=["V1 runner", "V2 runner"], scope="class")
class TestBothRunners:
    def test_answers(self, start: Start, setup: Setup) -> None:
        (server,) = start(setup)
        check_completion(server)

    def test_the_same_prompt_gets_the_same_answer(self, start: Start, setup: Setup) -> None:
        (server,) = start(setup)
        answers = {server.complete("Once upon a time", max_tokens=16)["choices"][0]["text"] for _ in range(2)}
        assert len(answers) == 1

    def test_many_requests_of_different_lengths_at_once(self, start: Start, setup: Setup) -> None:
        (server,) = start(setup)
        lengths = [1, 2, 17, 40, 64, 100, 3, 9]
        with ThreadPoolExecutor(len(lengths)) as pool:
            answers = list(pool.map(lambda n: server.complete(words(50 + n, n), max_tokens=n), lengths))
        assert [answer["usage"]["completion_tokens"] for answer in answers] == lengths
        assert [answer["usage"]["prompt_tokens"] for answer in answers] == [50 + n for n in lengths]

    def test_chunked_prefill(self, start: Start, setup: Setup) -> None:
        """A prompt that needs several steps: no token may come out before the last."""
        (server,) = start(setup)
        answer = server.complete(words(9000, 1), max_tokens=5)
        assert answer["usage"] == {**answer["usage"], "prompt_tokens": 9000, "completion_tokens": 5}

    def test_prefix_caching(self, start: Start, setup: Setup) -> None:
        """A hit is counted, and shortens the time to the first token."""
        (server,) = start(setup)
        server.complete(words(12000, 1002), max_tokens=1)  # whatever is slow only once
        prompt = words(12000, 1003)
        seconds, hits = [], []
        for _ in range(2):
            before, began = server.metric("vllm:prefix_cache_hits_total"), time.perf_counter()
            server.complete(prompt, max_tokens=1)
            seconds.append(time.perf_counter() - began)
            hits.append(server.metric("vllm:prefix_cache_hits_total") - before)
        assert hits == [0, 12000 - 16]
        assert seconds[1] < seconds[0]

    def test_sampling(self, start: Start, setup: Setup) -> None:
        (server,) = start(setup)
        check_completion(server, temperature=0.8)
        check_completion(server, temperature=0.8, seed=3, top_k=20)
        check_completion(server, temperature=0.8, top_k=20, top_p=0.9)
        check_completion(server, temperature=1.0, min_p=0.1, repetition_penalty=1.1, presence_penalty=0.5)

    def test_several_choices(self, start: Start, setup: Setup) -> None:
        (server,) = start(setup)
        answer = server.complete("Hello", max_tokens=6, n=3, temperature=1.0)
        assert len(answer["choices"]) == 3
        assert answer["usage"]["completion_tokens"] == 18

    def test_log_probabilities(self, start: Start, setup: Setup) -> None:
        (server,) = start(setup)
        answer = server.complete("Hello", max_tokens=6, logprobs=5)
        logprobs = answer["choices"][0]["logprobs"]
        assert len(logprobs["token_logprobs"]) == 6
        assert all(math.isfinite(value) and value <= 0 for value in logprobs["token_logprobs"])
        assert all(5 <= len(top) <= 6 for top in logprobs["top_logprobs"])


def test_kv_cache_follows_from_the_memory(start: Start) -> None:
    """Bytes asked for with the flag become tokens, 128 KiB each for this model, to the block."""
    ninety, half = start(V2, HALF)
    expected = (0.9 - 0.5) * memory_bytes("h200-sxm") / 131072
    assert ninety.kv_cache_tokens - half.kv_cache_tokens == pytest.approx(expected, abs=2 * 16)


def test_online_fp8_halves_the_weights(start: Start) -> None:
    """Two commands at once, each with GPUs of its own: neither takes memory from the other."""
    quantized, plain = start(FP8, HALF)
    for server in (quantized, plain):
        answer = server.complete(words(64, 5), max_tokens=10)
        assert answer["usage"]["completion_tokens"] == 10
    # Linear weights of llama-3.1-8b: 32 layers of 4096 x (4096 + 2 x 1024 + 4096) + 3 x 4096 x 14336 parameters;
    # embedding and head stay as they are. A byte of each is saved; a token of KV cache takes 128 KiB.
    linear = 32 * (4096 * (4096 + 2048 + 4096) + 3 * 4096 * 14336)
    saved_tokens = linear / 131072
    difference = quantized.kv_cache_tokens - plain.kv_cache_tokens
    assert difference == pytest.approx(saved_tokens, rel=0.05)


def test_mixture_of_experts(start: Start) -> None:
    (server,) = start(MOE)
    answer = server.complete(words(300, 4), max_tokens=20)
    assert answer["usage"]["completion_tokens"] == 20
