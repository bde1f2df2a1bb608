"""From the file of a sweep to its configurations."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from revati import catalogue
from revati.emulation import MAX_GPUS
from revati.errors import RevatiError
from revati.sweep.schema import Configuration, Document, Range, Sweep, message

# Raise it when what a configuration's outcome holds changes, so that stored ones are made anew.
_FORMAT = 1
_ID_DIGITS = 12
_FIELDS = set(Configuration.model_fields)


@dataclass(frozen=True, eq=False)
class Task:
    """One configuration of a sweep, ready to run on any machine.

    Attributes:
        id: Names it by what it says: the same one in every run of the sweep.
        label: What sets it apart from the others, for people.
        configuration: What runs.
        varied: The values that set it apart.
    """

    id: str
    label: str
    configuration: Configuration
    varied: dict[str, Any]


def tasks(sweep: Sweep, document: Document) -> list[Task]:
    """The configurations in their order, each once.

    Raises:
        UsageError: One of them is not allowed; with the line and the key.
    """
    found: dict[str, Task] = {}
    for varied, origin in _variations(sweep):
        configuration = _configuration(sweep, document, varied, origin)
        identity = _identity(sweep, configuration)
        label = ", ".join(f"{key.removeprefix('load.')} {value}" for key, value in varied.items())
        found.setdefault(identity, Task(identity, label or configuration.model, configuration, varied))
    return list(found.values())


def _variations(sweep: Sweep) -> Iterator[tuple[dict[str, Any], Sequence[Any]]]:
    """What differs, and the place in the file that says so."""
    if sweep.search == "list":
        for index, entry in enumerate(sweep.configurations):
            yield _flat(entry), ("configurations", index)
    elif sweep.search == "grid":
        keys, lists = list(sweep.vary), [values for values in sweep.vary.values() if isinstance(values, list)]
        for values in itertools.product(*lists):
            yield dict(zip(keys, values, strict=True)), ("vary",)
    else:
        source = random.Random(sweep.seed)
        for _ in range(sweep.samples or 0):
            yield {key: _draw(source, values) for key, values in sweep.vary.items()}, ("vary",)


def _draw(source: random.Random, values: list[Any] | Range) -> Any:
    if isinstance(values, list):
        return source.choice(values)
    ends = values.low, values.high
    drawn = math.exp(source.uniform(*map(math.log, ends))) if values.log else source.uniform(*ends)
    return round(drawn) if values.integer else float(f"{drawn:.4g}")


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """`{load: {seed: 1}}` as `{load.seed: 1}`."""
    flat: dict[str, Any] = {}
    for key, value in entry.items():
        if key in ("load", "server_args", "client_args") and isinstance(value, dict):
            flat.update({f"{key}.{inner}": inner_value for inner, inner_value in value.items()})
        else:
            flat[key] = value
    return flat


def _configuration(
    sweep: Sweep, document: Document, varied: Mapping[str, Any], origin: Sequence[Any]
) -> Configuration:
    merged = copy.deepcopy(sweep.configuration)
    for key, value in varied.items():
        head, _, rest = key.partition(".")
        if head not in _FIELDS:
            raise document.refuse([*origin, key], "there is no such key")
        if not rest:
            merged[head] = value
            continue
        inner = merged.setdefault(head, {})
        if head not in ("load", "server_args", "client_args") or not isinstance(inner, dict):
            raise document.refuse([*origin, key], f"{head} has no parts")
        inner[rest] = value
    try:
        configuration = Configuration.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        place = [step for step in first["loc"] if isinstance(step, str)]
        raise document.refuse(_origin(document, place, origin), message(first)) from None
    try:
        configuration = _absolute(configuration, document.path.absolute().parent)
    except RevatiError as error:
        raise document.refuse(_origin(document, ["gpu"], origin), str(error).rstrip(".")) from None
    replay = configuration.load.replay
    if replay is not None and not replay.is_file():
        raise document.refuse(
            _origin(document, ["load", "replay"], origin), f"there is no recorded load {replay}"
        )
    needed = configuration.tp * configuration.pp * configuration.dp
    if not needed <= configuration.gpu_count <= MAX_GPUS:
        raise document.refuse(
            _origin(document, ["tp"], origin),
            f"{needed} ranks on {configuration.gpu_count} GPUs; there must be a GPU for each, and at most {MAX_GPUS}",
        )
    if configuration.load.replay is not None and (
        configuration.load.request_rate is not None or sweep.capacity is not None
    ):
        raise document.refuse(
            _origin(document, ["load", "replay"], origin), "a recorded load has its own arrivals and no rate"
        )
    return configuration


def _origin(document: Document, place: Sequence[str], origin: Sequence[Any]) -> list[Any]:
    """Where the file says what `place` of a configuration is."""
    dotted = ".".join(place[:2]) if place[:1] and place[0] in ("load", "server_args", "client_args") else ""
    for candidate in (
        [*origin, dotted],
        [*origin, *place[:1]],
        [*origin, *place],
        ["configuration", *place],
        ["configuration", *place[:1]],
    ):
        if candidate[-1] and document.has(candidate):
            return candidate
    return ["configuration", *place]


def _absolute(configuration: Configuration, folder: Path) -> Configuration:
    """Paths of files are relative to the sweep's file."""
    changes: dict[str, Any] = {}
    if configuration.gpu.endswith(".toml"):
        changes["gpu"] = str(folder / configuration.gpu)
        catalogue.get(changes["gpu"])
    if configuration.program is not None:
        changes["program"] = (folder / configuration.program.expanduser()).absolute()
    if configuration.load.replay is not None:
        replay = (folder / configuration.load.replay.expanduser()).absolute()
        changes["load"] = configuration.load.model_copy(update={"replay": replay})
    return configuration.model_copy(update=changes)


def _identity(sweep: Sweep, configuration: Configuration) -> str:
    """A hash of all that decides the outcome."""
    parts = {
        "format": _FORMAT,
        "clock": sweep.clock,
        "slo": sweep.slo.model_dump(mode="json"),
        "capacity": sweep.capacity.model_dump(mode="json") if sweep.capacity else None,
        "configuration": configuration.model_dump(mode="json"),
        "gpu_file": Path(configuration.gpu).read_text() if configuration.gpu.endswith(".toml") else None,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:_ID_DIGITS]
