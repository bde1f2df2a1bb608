"""Model skeletons: real figures, tokenizers of the exact size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from revati import models
from revati.errors import UsageError

from .conftest import Revati

tokenizers = pytest.importorskip("tokenizers")

TEXTS = [
    "The quick brown fox jumps over the lazy dog, and 12345 other things happened!\n\n  indented\tand more",
    "日本語 ünï 🙂 \ufffd tail",
    "x" * 3000,
    "",
]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "model-cache"
    monkeypatch.setenv("REVATI_CACHE", str(folder))
    return folder


@pytest.mark.parametrize("name", models.names())
def test_tokenizer(name: str) -> None:
    folder = models.create(name)
    config = json.loads((folder / "config.json").read_text())
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == config["vocab_size"]
    assert all(tokenizer.id_to_token(index) is not None for index in range(config["vocab_size"]))
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == text
    assert len(tokenizer.encode(TEXTS[0]).ids) < 2.5 * len(TEXTS[0].split())
    for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
        ids = config.get(token)
        for index in ids if isinstance(ids, list) else [] if ids is None else [ids]:
            assert tokenizer.id_to_token(index) in tokenizer.encode(tokenizer.id_to_token(index)).tokens


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-32b", "mixtral-8x7b", "deepseek-v3", "gpt-oss-120b"])
def test_prompts_of_exact_length(name: str) -> None:
    """Any run of ids, decoded and encoded again as benchmarks do, settles at its length."""
    folder = models.create(name)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    size = tokenizer.get_vocab_size(with_added_tokens=False)
    for first in range(3, size - 600, 997):
        ids = list(range(first, first + 256))
        for _ in range(4):
            ids = tokenizer.encode(tokenizer.decode(ids), add_special_tokens=False).ids[:256]
            ids += range(size // 2, size // 2 + 256 - len(ids))
        assert len(tokenizer.encode(tokenizer.decode(ids), add_special_tokens=False).ids) == 256, first


def test_chat_template() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(models.create("llama-3.1-8b")))
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, tokenize=False
    )
    assert text == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_made_once(revati: Revati, cache: Path) -> None:
    variables = {"REVATI_CACHE": str(cache)}
    first = revati("models", "create", "qwen3-0.6b", env=variables, check=True).stdout.strip()
    stamp = (Path(first) / "tokenizer.json").stat().st_mtime_ns
    assert revati("models", "create", "Qwen/Qwen3-0.6B", env=variables, check=True).stdout.strip() == first
    assert (Path(first) / "tokenizer.json").stat().st_mtime_ns == stamp


def test_never_overwrites_what_is_no_skeleton(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="is no model skeleton"):
        models.create("qwen3-0.6b", tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"


def test_list_names_every_source(revati: Revati) -> None:
    text = revati("models", "list", check=True).stdout
    for name in models.names():
        assert name in text
        assert models.get(name).source in text


def test_show(revati: Revati) -> None:
    text = revati("models", "show", "deepseek-v3", check=True).stdout
    assert "deepseek-ai/DeepSeek-V3" in text
    assert '"n_routed_experts": 256' in text
