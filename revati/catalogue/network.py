"""Networks between the nodes of one emulation: their fields, their sources, and how one is found."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from revati.catalogue import names
from revati.catalogue.gpu import CatalogueError
from revati.errors import UsageError

DEFAULT_NETWORK = "infiniband-ndr"
# Every key, with its type. `nics`: adapters that the GPUs of a node send through; `bandwidth`: bytes/s one way of each;
# `hop_ns`: one step of a collective from node to node; `host_latency_ns`, `host_bandwidth` (bytes/s): a message between
# two programs over TCP.
NETWORK_FIELDS: Mapping[str, type[int] | type[float]] = MappingProxyType(
    {"nics": int, "bandwidth": float, "hop_ns": int, "host_latency_ns": int, "host_bandwidth": float}
)
# Those that the virtual GPUs know (`NetworkSpec` in native/device/spec.h); the others are the clock's.
_DEVICE_KEYS = ("nics", "bandwidth", "hop_ns")
_DIRECTORY = Path(__file__).parent / "networks"


class UnknownNetworkError(UsageError):
    """The catalogue has no network of that name."""


@dataclass(frozen=True)
class Network:
    """One kind of network.

    Attributes:
        name: Name in the catalogue, e.g. ``infiniband-ndr``.
        title: One line for people.
        aliases: Other names that mean this one.
        values: Every key of `NETWORK_FIELDS`.
        sources: Where each of them comes from.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    values: Mapping[str, int | float]
    sources: Mapping[str, str]

    @property
    def host_latency_ns(self) -> int:
        """How long a TCP message takes from one host's program to another's, however small."""
        return int(self.values["host_latency_ns"])

    @property
    def host_bandwidth(self) -> float:
        """Bytes per second of one host's TCP messages to another."""
        return float(self.values["host_bandwidth"])

    def device_conf(self, nodes: int) -> str:
        """What a session's ``device.conf`` says about `nodes` nodes on this network."""
        lines = [f"nodes = {nodes}"]
        lines += [f"network.{key} = {self.values[key]:.0f}" for key in _DEVICE_KEYS]
        return "\n".join(lines) + "\n"


def networks() -> Mapping[str, Network]:
    """Every network of the catalogue by name, in alphabetical order."""
    return MappingProxyType({path.stem: _load(path) for path in sorted(_DIRECTORY.glob("*.toml"))})


def get_network(name: str) -> Network:
    """Finds a network.

    Args:
        name: A name or alias of the catalogue (case does not matter), or the path of a ``.toml`` file of the same form.

    Raises:
        UnknownNetworkError: There is none of that name.
        CatalogueError: The file is malformed.
    """
    if name.endswith(".toml") or "/" in name:
        path = Path(name).expanduser().resolve()
        if not path.is_file():
            raise UnknownNetworkError(f"no network file {path}; docs/ranks.md shows what one contains")
        return _load(path)
    known = networks()
    found = names.find(name, known)
    if found is None:
        raise UnknownNetworkError(f"unknown network {name!r}: {names.advice(name, known)}")
    return found


@functools.cache
def _load(path: Path) -> Network:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path}: cannot be read as a network file: {error}") from error
    values: dict[str, int | float] = {}
    sources: dict[str, str] = {}
    for section, entries in document.items():
        if not isinstance(entries, dict):
            continue
        source = str(entries.get("source", f"{path.name}, no source given"))
        for key, value in entries.items():
            if key == "source":
                continue
            values[key] = _checked(path, f"[{section}]", key, value)
            sources[key] = source
    missing = [key for key in NETWORK_FIELDS if key not in values]
    if missing:
        raise CatalogueError(f"{path}: missing {', '.join(missing)}")
    aliases = tuple(str(alias) for alias in document.get("aliases", ()))
    title = str(document.get("title", path.stem))
    return Network(path.stem, title, aliases, MappingProxyType(values), MappingProxyType(sources))


def _checked(path: Path, section: str, key: str, value: object) -> int | float:
    kind = NETWORK_FIELDS.get(key)
    if kind is None:
        raise CatalogueError(
            f"{path}: {section} has an unknown key {key}; there are {', '.join(NETWORK_FIELDS)}"
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 2**62:
        raise CatalogueError(f"{path}: {key} = {value} must be a number of at least 1")
    if kind is int and value != int(value):
        raise CatalogueError(f"{path}: {key} must be a whole number")
    return kind(value)
