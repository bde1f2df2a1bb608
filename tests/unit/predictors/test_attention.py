"""Sums over sequences, against counting one query at a time."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("numpy")

from revati.predictors.attention import Sums, split


def _counted(tokens: int, keys: int, window: int) -> tuple[int, int]:
    seen: set[int] = set()
    pairs = 0
    for query in range(keys - tokens, keys):
        first = 0 if window <= 0 else max(0, query - window + 1)
        pairs += query - first + 1
        seen.update(range(first, query + 1))
    return pairs, len(seen)


def test_sums_equal_counting() -> None:
    generator = random.Random(3)
    for _ in range(500):
        tokens = generator.randint(1, 40)
        keys = tokens + generator.choice((0, generator.randint(0, 60)))
        window = generator.choice((0, generator.randint(1, 80)))
        sums = Sums()
        sums.add(tokens, keys, window)
        assert (sums.pairs, sums.keys) == _counted(tokens, keys, window), (tokens, keys, window)


def test_a_mixed_batch_is_split() -> None:
    decode, prefill = split([1, 512, 0, 4, 16, 1], [100, 512, 7, 50, 300, 1])
    assert (decode.batch, decode.tokens, decode.keys, decode.max_keys) == (2, 5, 150, 100)
    assert (prefill.batch, prefill.tokens, prefill.max_tokens) == (3, 529, 512)
