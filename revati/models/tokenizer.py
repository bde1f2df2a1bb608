"""Makes a tokenizer of an exact vocabulary size, without the real one's data.

It keeps what an engine and a benchmark depend on: the number of ids, the special tokens at their real ids, whether
a beginning-of-text token is added, a chat template; different text gives different ids (else every prompt would hit
the prefix cache), every text survives encoding and decoding, English takes about two tokens a word, and a sequence
of ids decoded and encoded again keeps its length (benchmarks make prompts of an exact length that way).

The file is the `tokenizer.json` of Hugging Face's tokenizers library: byte-level words, split greedily into the
longest known pieces. Most ids stand for whole made-up words with their leading space.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

_CONTINUES = "\u21aa"  # marks a piece that does not begin a word; stripped when decoding
_SPACE = "\u0120"  # how byte-level tokenizers write a space
_NEWLINE = "\u010a"
_REPLACEMENT = "\ufffd"  # what bytes that are no text decode to
# Bounds the greedy search in long runs of letters, which would be quadratic.
_MAX_PIECE = 16
_CONSONANTS = "bcdfghjklmnpqrstvwxyz"
_VOWELS = "aeiou"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ENDINGS = """
    s ed ing er ers ly es ion ions ation ations ment ments ness able ible al ally ity ies ive ize ized izing izer ful
    less ous ance ence ant ent ist ism ship ward wise tion tions ting ted ter ters ling ler lers ring red ding der
    ning ner
""".split()


@dataclass(frozen=True)
class TokenizerSpec:
    """What distinguishes one family's tokenizer from another's."""

    special: dict[str, int]
    bos: str | None
    eos: str
    pad: str | None
    adds_bos: bool
    chat_template: str

    @classmethod
    def load(cls, name: str) -> TokenizerSpec:
        """Reads a family of `revati/models/data/tokenizers`."""
        text = resources.files("revati.models").joinpath("data", "tokenizers", f"{name}.json").read_text()
        return cls(**json.loads(text))


def write_tokenizer(spec: TokenizerSpec, vocab_size: int, folder: Path) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`."""
    (folder / "tokenizer.json").write_text(
        json.dumps(_document(spec, vocab_size), ensure_ascii=False, separators=(",", ":"))
    )
    named = {"bos_token": spec.bos, "eos_token": spec.eos, "pad_token": spec.pad}
    configuration = {
        **{name: token for name, token in named.items() if token},
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": spec.adds_bos,
        "chat_template": spec.chat_template,
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps(configuration, indent=2, ensure_ascii=False) + "\n"
    )


def _document(spec: TokenizerSpec, vocab_size: int) -> dict[str, Any]:
    special = _with_reserved(spec.special, vocab_size)
    low = {token: index for token, index in special.items() if index < _base(spec.special, vocab_size)}
    taken = set(special.values())
    free = (index for index in range(vocab_size) if index not in taken)
    vocabulary = low | {piece: index for index, piece in zip(free, _pieces(), strict=False)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token, index in sorted(special.items(), key=lambda item: item[1])
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                # One id for it, or a prompt that decodes to it would grow each time it is encoded again.
                {
                    "type": "Split",
                    "pattern": {"String": _REPLACEMENT},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {**byte_level, "use_regex": True},
                {
                    "type": "Split",
                    "pattern": {"Regex": f".{{1,{_MAX_PIECE}}}"},
                    "behavior": "Isolated",
                    "invert": False,
                },
            ],
        },
        "post_processor": _adds_bos(spec) if spec.adds_bos else None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": _CONTINUES}, "content": ""},
                {**byte_level, "use_regex": True},
            ],
        },
        "model": {
            "type": "WordPiece",
            "unk_token": "!",  # never used: every byte is known
            "continuing_subword_prefix": _CONTINUES,
            "max_input_chars_per_word": 2 * _MAX_PIECE,
            "vocab": vocabulary,
        },
    }


def _base(special: dict[str, int], vocab_size: int) -> int:
    """Where the ids end that stand for text: at the first special token of the upper half, if there is one."""
    return min((index for index in special.values() if index > vocab_size // 2), default=vocab_size)


def _with_reserved(special: dict[str, int], vocab_size: int) -> dict[str, int]:
    """Special tokens for every id from the first high one on: engines may sample any id below the vocabulary's size."""
    named = {index: token for token, index in special.items()}
    high = range(_base(special, vocab_size), vocab_size)
    return special | {f"<|reserved_{index}|>": index for index in high if index not in named}


def _adds_bos(spec: TokenizerSpec) -> dict[str, Any]:
    assert spec.bos is not None
    bos = {"SpecialToken": {"id": spec.bos, "type_id": 0}}
    second = {"SpecialToken": {"id": spec.bos, "type_id": 1}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    pair = {"Sequence": {"id": "B", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [bos, text],
        "pair": [bos, text, second, pair],
        "special_tokens": {spec.bos: {"id": spec.bos, "ids": [spec.special[spec.bos]], "tokens": [spec.bos]}},
    }


def _pieces() -> Iterator[str]:
    """Distinct pieces without end, the most useful first."""
    seen: set[str] = set()
    for piece in itertools.chain(_bytes(), _common(), _short(), _made_up()):
        if piece not in seen:
            seen.add(piece)
            yield piece


def _bytes() -> Iterator[str]:
    """Every byte, beginning a word and inside one: no text is unknown."""
    for character in _byte_characters():
        yield character
    for character in _byte_characters():
        yield _CONTINUES + character
    yield "".join(_byte_characters()[byte] for byte in _REPLACEMENT.encode())


@cache
def _byte_characters() -> tuple[str, ...]:
    """The printable character that stands for each byte, as GPT-2's byte-level encoding defines it."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return tuple(table[byte] for byte in range(256))


def _common() -> Iterator[str]:
    """English words, endings, numbers, white space."""
    words = resources.files("revati.models").joinpath("data", "words.txt").read_text().split()
    for word in words:
        yield _SPACE + word
        yield word
        yield _SPACE + word.capitalize()
        yield word.capitalize()
    for ending in _ENDINGS:
        yield _CONTINUES + ending
    for length in (2, 3, 4, 8):
        yield _SPACE * length
        yield _CONTINUES + _SPACE * length
    yield _NEWLINE * 2
    for digits in (2, 3):
        for number in range(10**digits):
            yield f"{number:0{digits}d}"
    for number in range(100):
        yield f"{_SPACE}{number}"


def _short() -> Iterator[str]:
    """Two and three letters, from which other words are put together."""
    for first, second in itertools.product(_LETTERS, repeat=2):
        yield _CONTINUES + first + second
        yield _SPACE + first + second
        yield first + second
    for letter in _LETTERS:
        yield _SPACE + letter
        yield _SPACE + letter.upper()
    for letters in itertools.product(_CONSONANTS, _VOWELS, _CONSONANTS):
        yield _CONTINUES + "".join(letters)
        yield _SPACE + "".join(letters)


def _made_up() -> Iterator[str]:
    """Words of two, then three, four ... syllables, each with its leading space."""
    syllables = [consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS]
    for length in itertools.count(2):
        for word in itertools.product(syllables, repeat=length):
            yield _SPACE + "".join(word)
