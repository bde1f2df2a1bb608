"""Prompts of an exact length in a model's own tokenizer, some with a beginning in common."""

from __future__ import annotations

import json
import random
from pathlib import Path

from revati.validation.workload import Prompts

# A made-up word of the skeletons' tokenizers is one token; so is, in every tokenizer, each of these with its space.
_WORDS_FROM = 1000
# `vllm bench serve` drops longer entries of a file in ShareGPT's format; its other format needs pandas.
_SHAREGPT_PROMPT_TOKENS = 1024
_SHAREGPT_TOKENS = 2048


class Writer:
    """Makes prompts with the tokenizer of a model folder."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        """Loads `tokenizer.json`."""
        from tokenizers import Tokenizer  # noqa: PLC0415 (comes with every framework, not with Revati)

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._random = random.Random(seed)
        self._special = len(self._tokenizer.encode("").ids)
        size = self._tokenizer.get_vocab_size()
        self._candidates = range(min(_WORDS_FROM, size // 2), size // 2)

    def text(self, tokens: int, beginning: str = "") -> str:
        """A text of `tokens` tokens, a begin-of-text token included, that begins with `beginning`."""
        text, missing = beginning, tokens - self.count(beginning)
        while missing > 0:
            ids = [self._random.choice(self._candidates) for _ in range(missing)]
            text += self._tokenizer.decode(ids)
            missing = tokens - self.count(text)
        ids = self._tokenizer.encode(text).ids[self._special :]
        return str(self._tokenizer.decode(ids[: tokens - self._special])) if missing < 0 else text

    def count(self, text: str) -> int:
        """Tokens of a text as the engine counts them."""
        return len(self._tokenizer.encode(text).ids)


def write(folder: Path, prompts: Prompts, requests: int, target: Path) -> list[str]:
    """Writes a data set with one prompt a request, in the order of sending.

    Returns:
        The arguments of `vllm bench serve` that make it send just that.
    """
    writer = Writer(folder)
    distinct = min(prompts.distinct or requests, requests)
    beginnings = [
        writer.text(prompts.prefix_len) if prompts.prefix_len else ""
        for _ in range(min(prompts.groups, distinct))
    ]
    each = -(-distinct // len(beginnings))
    texts = [writer.text(prompts.input_len, beginnings[index // each]) for index in range(distinct)]
    sent = [texts[index % distinct] for index in range(requests)]
    length = str(prompts.output_len)
    if (
        prompts.input_len <= _SHAREGPT_PROMPT_TOKENS
        and prompts.input_len + prompts.output_len <= _SHAREGPT_TOKENS
    ):
        path = target / "prompts.json"
        turns = [{"conversations": [{"value": text}, {"value": "unused"}]} for text in sent]
        path.write_text(json.dumps(turns), encoding="utf-8")
        return ["--dataset-name", "sharegpt", "--dataset-path", str(path), "--sharegpt-output-len", length]
    path = target / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in sent), encoding="utf-8")
    return [
        *("--dataset-name", "custom", "--dataset-path", str(path)),
        *("--custom-output-len", length, "--skip-chat-template"),
    ]
