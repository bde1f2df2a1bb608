"""Finding, describing and making model skeletons."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from revati.errors import UsageError
from revati.models.tokenizer import TokenizerSpec, write_tokenizer
from revati.paths import cache_dir

# Raise it when what `create` writes changes, so that skeletons in caches are made anew.
_FORMAT = 1


@dataclass(frozen=True)
class Skeleton:
    """A model without its weights.

    Attributes:
        name: Its name here, for example `llama-3.1-8b`.
        title: For people.
        source: The Hugging Face repository whose published `config.json` and `generation_config.json` are restated.
        tokenizer: Family of its tokenizer.
        config: The content of `config.json`.
        generation_config: The content of `generation_config.json`.
    """

    name: str
    title: str
    source: str
    tokenizer: str
    config: dict[str, Any]
    generation_config: dict[str, Any]

    @property
    def architecture(self) -> str:
        """For example LlamaForCausalLM."""
        return str(self.config["architectures"][0])

    @property
    def quantization(self) -> str:
        """How the published weights are stored, for example `fp8`, else their data type."""
        quantization = self.config.get("quantization_config")
        return str(
            quantization["quant_method"] if quantization else self.config.get("torch_dtype", "bfloat16")
        )

    def write(self, folder: Path) -> None:
        """Writes everything that a serving framework reads, the weights apart."""
        for name, content in (
            ("config.json", self.config),
            ("generation_config.json", self.generation_config),
        ):
            (folder / name).write_text(json.dumps(content, indent=2) + "\n")
        write_tokenizer(TokenizerSpec.load(self.tokenizer), self.config["vocab_size"], folder)
        (folder / "revati.json").write_text(json.dumps({"format": _FORMAT, "source": self.source}) + "\n")


def names() -> list[str]:
    """Every skeleton, in alphabetical order."""
    folder = resources.files("revati.models").joinpath("data", "skeletons")
    return sorted(
        entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")
    )


@cache
def get(name: str) -> Skeleton:
    """The skeleton of that name; case does not matter, and the Hugging Face repository's name does as well.

    Raises:
        UsageError: There is none; the message names the nearest.
    """
    wanted = name.lower()
    for known in names():
        document = json.loads(
            resources.files("revati.models").joinpath("data", "skeletons", f"{known}.json").read_text()
        )
        if wanted in (known, document["source"].lower()):
            return Skeleton(known, **document)
    near = difflib.get_close_matches(wanted, names(), n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise UsageError(
        f"no model {name!r}; {hint}`revati models list` shows all, and a folder with a config.json will do."
    )


def create(name: str, folder: Path | None = None) -> Path:
    """Makes a skeleton, or finds it made, and returns its folder.

    Args:
        name: From `names()`.
        folder: Where; by default the cache, from where it is used again.

    Raises:
        UsageError: No such model, or something else stands in `folder`.
    """
    skeleton = get(name)
    target = folder.absolute() if folder else cache_dir() / "models" / skeleton.name
    if _is_current(target):
        return target
    if target.exists() and not (target / "revati.json").is_file() and any(target.iterdir()):
        raise UsageError(f"{target} exists and is no model skeleton; choose another folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{skeleton.name}-") as temporary:
        made = Path(temporary) / "model"
        made.mkdir()
        skeleton.write(made)
        if target.exists():
            shutil.move(target, Path(temporary) / "old")
        try:
            os.rename(made, target)
        except OSError:
            if not _is_current(target):  # otherwise another process was first
                raise
    return target


def resolve(model: str) -> Path:
    """The folder of a model: a path is taken as it is, a name is looked up and made.

    Raises:
        UsageError: Neither.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UsageError(f"{path} holds no config.json, so it is no model folder.")
        return path.absolute()
    if model.startswith((".", "/", "~")):
        raise UsageError(f"no folder {model}; give a model folder, or a name from `revati models list`.")
    return create(model)


def _is_current(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "revati.json").read_text())["format"] == _FORMAT)
    except (OSError, ValueError, KeyError):
        return False
