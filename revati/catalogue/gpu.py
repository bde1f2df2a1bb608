"""One GPU of the catalogue: its fields, their sources, and the files they are read from."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from revati.errors import UsageError

Value = int | float | str

# Every key of `GpuSpec` (native/device/spec.h) with its type, in the order in which device.conf lists them.
FIELDS: Mapping[str, type[int] | type[float] | type[str]] = MappingProxyType(
    {
        "name": str,
        "catalogue_name": str,
        "compute_major": int,
        "compute_minor": int,
        "memory_bytes": int,
        "context_bytes": int,
        "graph_node_bytes": int,
        "memory_bus_bits": int,
        "memory_clock_khz": int,
        "l2_bytes": int,
        "persisting_l2_max_bytes": int,
        "access_policy_window_max_bytes": int,
        "sm_count": int,
        "clock_khz": int,
        "warp_size": int,
        "max_threads_per_block": int,
        "max_threads_per_sm": int,
        "max_blocks_per_sm": int,
        "shared_per_block_bytes": int,
        "shared_per_block_optin_bytes": int,
        "shared_per_sm_bytes": int,
        "shared_reserved_per_block_bytes": int,
        "registers_per_sm": int,
        "registers_per_block": int,
        "async_engines": int,
        "max_cluster_blocks": int,
        "pci_gen": int,
        "pci_lanes": int,
        "nvlinks": int,
        "peer_access": int,
        "multicast": int,
        "bf16_flops": float,
        "fp8_flops": float,
        "fp4_flops": float,
        "int8_flops": float,
        "tf32_flops": float,
        "fp32_flops": float,
        "fp64_flops": float,
        "memory_bandwidth": float,
        "pcie_bandwidth": float,
        "nvlink_bandwidth": float,
        "launch_latency_ns": int,
        "kernel_gap_ns": int,
        "graph_launch_latency_ns": int,
        "graph_kernel_gap_ns": int,
        "event_record_ns": int,
        "copy_latency_ns": int,
        "driver_version": str,
        "cuda_driver_version": int,
    }
)

# Zero means "has none" for these; everywhere else a zero would be a mistake.
_MAY_BE_ZERO = frozenset(
    {
        "compute_minor",
        "max_cluster_blocks",
        "nvlinks",
        "peer_access",
        "multicast",
        "fp8_flops",
        "fp4_flops",
        "nvlink_bandwidth",
    }
)


class UnknownGpuError(UsageError):
    """The catalogue has no GPU of that name."""


class CatalogueError(UsageError):
    """A catalogue file is malformed; the message names the file and the key."""


@dataclass(frozen=True)
class Gpu:
    """One GPU as it answers and as fast as its data sheet says.

    Attributes:
        name: Name in the catalogue, e.g. ``h200-sxm``.
        title: One line for people.
        aliases: Other names that mean this GPU.
        values: Every key of `FIELDS`; units stand in the names.
        sources: Where each of them comes from.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    values: Mapping[str, Value]
    sources: Mapping[str, str]

    @property
    def device_name(self) -> str:
        """What ``torch.cuda.get_device_name()`` answers."""
        return str(self.values["name"])

    @property
    def memory_bytes(self) -> int:
        """Total memory as ``cudaMemGetInfo`` reports it."""
        return int(self.values["memory_bytes"])

    @property
    def compute_capability(self) -> tuple[int, int]:
        """Major and minor number."""
        return int(self.values["compute_major"]), int(self.values["compute_minor"])

    def device_conf(self, count: int) -> str:
        """The text of a session's ``device.conf`` for `count` GPUs of this kind.

        Raises:
            UsageError: `count` is not between 1 and 64.
        """
        if not 1 <= count <= 64:
            raise UsageError(f"cannot make {count} GPUs: the number must lie between 1 and 64")
        lines = [f"gpus = {count}"]
        lines += [f"gpu.{key} = {_format(self.values[key])}" for key in FIELDS]
        return "\n".join(lines) + "\n"


def _format(value: Value) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def load(path: Path, base: Callable[[str], Gpu]) -> Gpu:
    """Reads one GPU file.

    Args:
        path: A TOML file: sections of fields, each section with its `source`; at the top optionally `title`,
            `aliases` and `base` (an architecture of this package, or a GPU, whose fields it takes over).
        base: Finds the GPU that the key `base` names.

    Raises:
        CatalogueError: The file is no TOML, has an unknown key, a value of the wrong kind, or lacks a field.
    """
    values, sources, document = _read(path, base)
    values["catalogue_name"] = path.stem
    sources["catalogue_name"] = "the catalogue itself"
    missing = [key for key in FIELDS if key not in values]
    if missing:
        raise CatalogueError(f"{path}: missing {', '.join(missing)}; add them, or a base that has them")
    aliases = document.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise CatalogueError(f"{path}: aliases must be a list of names")
    title = document.get("title", values["name"])
    return Gpu(path.stem, str(title), tuple(aliases), MappingProxyType(values), MappingProxyType(sources))


def _read(
    path: Path, base: Callable[[str], Gpu]
) -> tuple[dict[str, Value], dict[str, str], dict[str, object]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path}: cannot be read as a GPU file: {error}") from error
    values: dict[str, Value] = {}
    sources: dict[str, str] = {}
    name = document.get("base")
    if name is not None:
        if not isinstance(name, str):
            raise CatalogueError(f"{path}: base must be a name")
        architecture = Path(__file__).parent / "architectures" / f"{name}.toml"
        if "/" not in name and architecture.is_file():
            values, sources, _ = _read(architecture, base)
        else:
            parent = base(name)
            values, sources = dict(parent.values), dict(parent.sources)
    for section, entries in document.items():
        if section in {"base", "aliases", "title"}:
            continue
        if not isinstance(entries, dict):
            raise CatalogueError(
                f"{path}: {section} stands outside of a section; put it under one, e.g. [memory]"
            )
        source = entries.get("source", f"{path.name}, no source given")
        for key, value in entries.items():
            if key == "source":
                continue
            values[key] = _checked(path, key, value)
            sources[key] = str(source)
    return values, sources, document


def _checked(path: Path, key: str, value: object) -> Value:
    kind = FIELDS.get(key)
    if kind is None or key == "catalogue_name":
        raise CatalogueError(f"{path}: unknown key {key}; `revati gpus show NAME` lists the keys")
    if kind is str:
        if not isinstance(value, str) or not value.strip() or "\n" in value or len(value) > 200:
            raise CatalogueError(f"{path}: {key} must be a line of text")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CatalogueError(f"{path}: {key} must be a number")
    if not 0 <= value < 2**62 or (value == 0 and key not in _MAY_BE_ZERO):
        raise CatalogueError(f"{path}: {key} = {value} is out of range")
    if kind is int and value != int(value):
        raise CatalogueError(f"{path}: {key} must be a whole number")
    return kind(value)
