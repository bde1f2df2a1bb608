"""Attention from per-sequence lengths: the raw inputs of the models, and how a mixed batch is put together.

The measured tables hold batches of equal sequences that are all prefills or all decodes. A real batch is described
by sums over its sequences, which for equal ones are what the table says, so that one model serves both:

- a sequence is *decode* if it brings at most `DECODE_TOKENS` query tokens and has older context (a decode step, or
  the verification of a few speculated tokens), otherwise *prefill* (with or without a prefix in the KV cache);
- a batch with one kind only is asked of that kind's model;
- a mixed batch runs in one launch whose blocks share the SMs: prefill blocks fill the tensor cores, decode blocks
  wait for memory. Nobody has published timings of such launches; we take the sum of both parts, with the fixed cost
  of a launch (the decode model's answer for one sequence, one token and one key) counted once, and trust it less:
  `MIXED_CONFIDENCE` times the smaller confidence;
- a prefix changes `pairs` and `keys` but not `tokens`; the models see only such sums and their ratios. No table has
  prefixes, so such an answer's confidence is multiplied by `PREFIX_CONFIDENCE` when more than `PREFIX_SHARE` of the
  keys read are older than the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DECODE_TOKENS = 8
MIXED_CONFIDENCE = 0.85
PREFIX_CONFIDENCE = 0.9
PREFIX_SHARE = 0.1


@dataclass
class Sums:
    """The part of `kinds.INPUTS` for attention that depends on lengths; names as there."""

    batch: int = 0
    tokens: int = 0
    pairs: int = 0
    keys: int = 0
    max_keys: int = 0
    max_pairs: int = 0
    max_tokens: int = 0

    def add(self, tokens: int, keys: int, window: int) -> None:
        """Adds a sequence with `tokens` queries at the end of a context of `keys` tokens (themselves included).

        With a causal mask, the query at position p (counted from 1) sees min(p, window) keys.
        """
        first = keys - tokens + 1
        if window <= 0 or keys <= window:
            pairs, read = tokens * (first + keys) // 2, keys
        else:
            rising = max(0, window - first)  # queries that see less than a whole window
            pairs = rising * (first + first + rising - 1) // 2 + (tokens - rising) * window
            read = min(keys, tokens + window - 1)
        self.batch += 1
        self.tokens += tokens
        self.pairs += pairs
        self.keys += read
        self.max_keys = max(self.max_keys, read)
        self.max_pairs = max(self.max_pairs, pairs)
        self.max_tokens = max(self.max_tokens, tokens)


def split(q_lengths: Sequence[int], kv_lengths: Sequence[int], window: int = 0) -> tuple[Sums, Sums]:
    """Sums over the decode and over the prefill sequences of a batch; sequences without query tokens are left out."""
    decode, prefill = Sums(), Sums()
    for tokens, context in zip(q_lengths, kv_lengths, strict=True):
        if tokens <= 0:
            continue
        keys = max(context, tokens)
        part = decode if tokens <= DECODE_TOKENS and keys > tokens else prefill
        part.add(tokens, keys, window)
    return decode, prefill
