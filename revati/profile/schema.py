"""The profile format: one record type for every measured duration, and the features that each family names.

A profile is a text file of JSON lines, plain (`.jsonl`) or compressed (`.jsonl.gz`, `.jsonl.xz`), or a parquet file of
the same rows. The first line is the header; it says where the file comes from. Every other line is one `Record`:

    {"revati_profile": 1, "source": "revati profile collect", "gpu": "NVIDIA H200", "driver": "580.159.04",
     "method": "graph", "versions": {"torch": "2.11.0+cu130", "vllm": "0.24.0"}, "time": "2026-11-21T10:00:00Z",
     "notes": {"sm_clock_mhz": 1980}}
    {"family": "gemm", "features": {"m": 64, "n": 128256, "k": 4096, "a": "bf16", "b": "bf16", "d": "bf16"},
     "duration_ns": 251340.0, "spread": 0.004, "count": 24}

(Each on one line.) A record has every field below; a line leaves out what equals the header. Families and
feature names are those of `native/cost/features.h`, so that a record and a launch that the emulator sees have the same
keys. Reading runs no code: every value is checked against the tables below, and a malformed file raises `ProfileError`
with the file, the line and the reason.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

SCHEMA_VERSION: Final = 1

DTYPES: Final = (
    "unknown",
    "f64",
    "f32",
    "tf32",
    "f16",
    "bf16",
    "f8e4m3",
    "f8e5m2",
    "f4",
    "i64",
    "i32",
    "i16",
    "i8",
    "u8",
    "b1",
)

# How a duration was taken:
#   graph   CUDA events around the replay of a graph that holds the work many times over; the gap between nodes included
#   events  CUDA events around the work submitted call by call, the queue kept full; for what a graph cannot hold
#   cupti   the device's own time stamps of one kernel or copy (torch.profiler); no gap
#   host    the host's monotonic clock around a call that returns at once; never a device duration
METHODS: Final = ("graph", "events", "cupti", "host")

MAX_TEXT: Final = 4096
MAX_LIST: Final = 16384
MAX_KERNELS: Final = 4096

Value = bool | int | float | str | tuple[int, ...]


class ProfileError(ValueError):
    """A profile that cannot be used: says where and why."""


@dataclass(frozen=True)
class Feature:
    """What one named feature holds."""

    kind: str  # "int", "float", "text", "flag", "dtype", "ints"
    meaning: str
    required: bool = True


def _optional(kind: str, meaning: str) -> Feature:
    return Feature(kind, meaning, required=False)


# The launch behind a record, where the record is exactly one kernel; an operation of several fills `Record.kernels`.
_LAUNCH: Final[dict[str, Feature]] = {
    "kernel": _optional("text", "kernel name as the driver has it (mangled or plain)"),
    "grid": _optional("ints", "grid dimensions x, y, z"),
    "block": _optional("ints", "block dimensions x, y, z"),
    "shared_bytes": _optional("int", "dynamic shared memory of a block"),
}

# Work whose duration follows from the bytes it moves.
_BY_BYTES: Final[dict[str, Feature]] = {
    "op": Feature(
        "text", "what it computes, e.g. rms_norm, fused_add_rms_norm, silu_and_mul, rotary_embedding, argmax"
    ),
    "rows": _optional("int", "independent rows: tokens, or sequences for a sampler"),
    "cols": _optional(
        "int", "elements of a row that are read: hidden size, vocabulary, heads times head size"
    ),
    "bytes": Feature("int", "bytes read plus bytes written, each operand once"),
    "dtype": Feature("dtype", "element type of the main operand"),
    "implementation": Feature("text", "whose kernel: vllm, sglang, flashinfer, aten, inductor, triton"),
    **_LAUNCH,
}

FAMILIES: Final[dict[str, dict[str, Feature]]] = {
    "gemm": {
        "m": Feature("int", "rows of D = A[m,k] B[k,n]: tokens"),
        "n": Feature("int", "columns of D: output features"),
        "k": Feature("int", "inner dimension: input features"),
        "batch": _optional("int", "how many such products in one call; 1 if absent"),
        "a": Feature("dtype", "element type of A"),
        "b": Feature("dtype", "element type of B"),
        "d": Feature("dtype", "element type of D"),
        "block_scaled": _optional(
            "flag", "scales per block (128 x 128 weights, 1 x 128 activations); false if absent"
        ),
        "implementation": _optional("text", "library: cublas, cutlass, deepgemm, triton; cublas if absent"),
        **_LAUNCH,
    },
    "attention": {
        "q_lengths": Feature("ints", "new tokens of each sequence of the batch"),
        "kv_lengths": Feature("ints", "context each of them sees, new tokens included; same order"),
        "q_heads": Feature("int", "query heads"),
        "kv_heads": Feature("int", "key and value heads"),
        "head_dim": Feature("int", "elements of a query or key head"),
        "v_head_dim": _optional("int", "elements of a value head; head_dim if absent"),
        "q_dtype": Feature("dtype", "element type of the queries"),
        "kv_dtype": Feature("dtype", "element type of the KV cache"),
        "window": _optional("int", "sliding window in tokens; 0 or absent: full causal attention"),
        "page": _optional("int", "tokens of a KV-cache page; absent: contiguous"),
        "implementation": _optional(
            "text", "kernel library: fa3, fa2, flashinfer, flashmla, triton; fa3 if absent"
        ),
        **_LAUNCH,
    },
    "moe": {
        "op": Feature(
            "text", "experts (both grouped GEMMs and what lies between), or one part: topk, align, sum"
        ),
        "tokens": Feature("int", "tokens of the batch"),
        "experts": Feature("int", "experts on this rank"),
        "top_k": Feature("int", "experts each token goes to"),
        "hidden": Feature("int", "hidden size"),
        "intermediate": Feature("int", "intermediate size of one expert on this rank"),
        "a": Feature("dtype", "element type of the activations"),
        "b": Feature("dtype", "element type of the weights"),
        "active_experts": _optional("int", "experts that got at least one token"),
        "block_scaled": _optional("flag", "as for gemm"),
        "implementation": _optional("text", "kernel library: triton, cutlass, deepgemm; triton if absent"),
        **_LAUNCH,
    },
    "norm": _BY_BYTES,
    "elementwise": _BY_BYTES,
    "reduce": _BY_BYTES,
    "sampler": _BY_BYTES,
    "embedding": _BY_BYTES,
    "kv_cache": _BY_BYTES,
    "copy": {
        "kind": Feature("text", "host_to_device, device_to_host, device_to_device, peer, host_to_host"),
        "bytes": Feature("int", "bytes copied"),
        "pinned": _optional("flag", "host side is page-locked; true if absent"),
    },
    "fill": {"bytes": Feature("int", "bytes set")},
    "collective": {
        "kind": Feature(
            "text", "all_reduce, all_gather, reduce_scatter, broadcast, reduce, all_to_all, send, recv"
        ),
        "ranks": Feature("int", "GPUs that take part"),
        "bytes": Feature("int", "one rank's input buffer"),
        "custom": _optional("flag", "a framework's own one- or two-shot kernel, not NCCL; false if absent"),
        **_LAUNCH,
    },
    "graph_overhead": {
        "what": Feature(
            "text",
            "null_kernel, node_pitch (null kernels in a chain), launch (replay of an empty-bodied graph), event",
        ),
        "nodes": _optional("int", "nodes of the graph"),
    },
    # Time of the calling host thread; the CPU is named in the header's notes.
    "host_overhead": {
        "what": Feature(
            "text",
            "kernel_launch, graph_launch, event_record, event_query, stream_wait, copy_async, allocate, torch_add; "
            "synchronize (an idle stream), launch_and_wait, read_back (a small copy to the host, waited for)",
        ),
        "nodes": _optional("int", "nodes of the graph, for graph_launch"),
        "bytes": _optional("int", "bytes, for copy_async and allocate"),
    },
    # A launch that nobody could assign: kept by name and geometry, so that a later extraction can place it.
    "other": {
        "kernel": Feature("text", "kernel name"),
        **{k: v for k, v in _LAUNCH.items() if k != "kernel"},
    },
}


# A single launch as the emulator prices it when it knows no more than the bytes that it moves. Any family may have such
# records: a launch of the family `attention` may be a small helper of attention.
LAUNCH_FORM: Final[dict[str, Feature]] = {
    "bytes": Feature("int", "bytes read plus bytes written, as the emulator counts them"),
    **_LAUNCH,
    "kernel": Feature("text", "kernel name as profilers print it"),
}

# One grouped GEMM of a mixture of experts, a single launch; its `op` is grouped_gemm.
GROUPED_GEMM: Final = "grouped_gemm"
GROUPED_GEMM_FORM: Final[dict[str, Feature]] = {
    "op": Feature("text", GROUPED_GEMM),
    "rows": Feature("int", "pairs of token and expert"),
    "n": Feature("int", "columns of the product"),
    "k": Feature("int", "inner dimension"),
    "experts": Feature("int", "experts on this rank"),
    "rows_padded": Feature("int", "rows after padding to the kernel's blocks; 0: not known"),
    "a": Feature("dtype", "element type of the activations"),
    "b": Feature("dtype", "element type of the weights"),
    **_LAUNCH,
}


@dataclass(frozen=True)
class Kernel:
    """One launch inside a measured operation, from the device's time stamps."""

    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    duration_ns: float  # median

    def to_json(self) -> dict[str, Any]:
        """As it stands in a profile."""
        return {
            "name": self.name,
            "grid": list(self.grid),
            "block": list(self.block),
            "shared_bytes": self.shared_bytes,
            "duration_ns": self.duration_ns,
        }


@dataclass(frozen=True)
class Record:
    """One measured duration."""

    family: str
    features: Mapping[str, Value]
    duration_ns: float  # median of one execution
    spread: float  # (90th - 10th percentile) / median of the samples; 0 for a single sample
    count: int  # samples behind the median
    source: str  # the program that measured: "revati profile collect", "revati profile record"
    gpu: str  # the device's own name
    driver: str
    versions: Mapping[str, str]  # of torch, CUDA, Triton, the framework
    method: str  # one of METHODS
    time: str  # ISO 8601, UTC
    kernels: tuple[Kernel, ...] = field(default=())

    @property
    def key(self) -> str:
        """Identity of what was measured, whatever the machine: a hash of family and features."""
        return key_of(self.family, self.features)

    def check(self) -> Record:
        """Returns the record itself.

        Raises:
            ProfileError: A family, feature or value that the format does not have.
        """
        check_features(self.family, self.features)
        _check_number("duration_ns", self.duration_ns, positive=True)
        _check_number("spread", self.spread)
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise ProfileError(f"count is {self.count!r}; it counts samples, from 1")
        if self.method not in METHODS:
            raise ProfileError(f"method is {_short(self.method)}; one of {', '.join(METHODS)}")
        for name in ("source", "gpu", "driver", "time"):
            _check_text(name, getattr(self, name))
        return self


@dataclass(frozen=True)
class Header:
    """Where a file comes from, and the values that its records share."""

    source: str
    gpu: str
    driver: str
    versions: Mapping[str, str]
    method: str
    time: str
    notes: Mapping[str, Any] = field(
        default_factory=dict
    )  # free text and figures: host CPU, clocks, commands

    def record(
        self, family: str, features: Mapping[str, Value], duration_ns: float, spread: float, count: int
    ) -> Record:
        """A record that shares everything else with the file."""
        return Record(
            family=family,
            features=dict(features),
            duration_ns=duration_ns,
            spread=spread,
            count=count,
            source=self.source,
            gpu=self.gpu,
            driver=self.driver,
            versions=self.versions,
            method=self.method,
            time=self.time,
        )

    def to_json(self) -> dict[str, Any]:
        """The first line of a profile."""
        return {
            "revati_profile": SCHEMA_VERSION,
            "source": self.source,
            "gpu": self.gpu,
            "driver": self.driver,
            "versions": dict(self.versions),
            "method": self.method,
            "time": self.time,
            "notes": dict(self.notes),
        }


_SHARED: Final = ("source", "gpu", "driver", "versions", "method", "time")


def key_of(family: str, features: Mapping[str, Value]) -> str:
    """A short hash of family and features, the same in every file."""
    text = json.dumps([family, _plain(features)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def record_to_json(record: Record, header: Header) -> dict[str, Any]:
    """One line of a profile, without what the header says already."""
    line: dict[str, Any] = {
        "family": record.family,
        "features": _plain(record.features),
        "duration_ns": record.duration_ns,
        "spread": record.spread,
        "count": record.count,
    }
    for name in _SHARED:
        value = getattr(record, name)
        if value != getattr(header, name):
            line[name] = dict(value) if isinstance(value, Mapping) else value
    if record.kernels:
        line["kernels"] = [kernel.to_json() for kernel in record.kernels]
    return line


def header_from_json(line: Any) -> Header:
    """Checks the first line of a profile.

    Raises:
        ProfileError: It is not one, or of another version of the format.
    """
    if not isinstance(line, dict) or "revati_profile" not in line:
        raise ProfileError("no profile header; the first line must hold the key revati_profile")
    if line["revati_profile"] != SCHEMA_VERSION:
        raise ProfileError(
            f"format version {_short(line['revati_profile'])}; this Revati reads {SCHEMA_VERSION}"
        )
    unknown = set(line) - {"revati_profile", "notes", *_SHARED}
    if unknown:
        raise ProfileError(f"unknown header fields: {_short(sorted(map(str, unknown)))}")
    for name in ("source", "gpu", "driver", "time"):
        _check_text(name, line.get(name))
    if line.get("method") not in METHODS:
        raise ProfileError(f"method is {_short(line.get('method'))}; one of {', '.join(METHODS)}")
    notes = line.get("notes", {})
    if not isinstance(notes, dict):
        raise ProfileError("notes must be an object")
    return Header(
        source=line["source"],
        gpu=line["gpu"],
        driver=line["driver"],
        versions=_versions(line.get("versions")),
        method=line["method"],
        time=line["time"],
        notes=notes,
    )


def record_from_json(line: Any, header: Header) -> Record:
    """Checks one line of a profile.

    Raises:
        ProfileError: Something in it is not what the format says.
    """
    if not isinstance(line, dict):
        raise ProfileError("a record must be an object")
    unknown = set(line) - {"family", "features", "duration_ns", "spread", "count", "kernels", *_SHARED}
    if unknown:
        raise ProfileError(f"unknown fields: {_short(sorted(map(str, unknown)))}")
    features = line.get("features")
    if not isinstance(features, dict):
        raise ProfileError("features must be an object")
    base = header.record(
        line.get("family", ""),
        {name: tuple(value) if isinstance(value, list) else value for name, value in features.items()},
        line.get("duration_ns", 0.0),
        line.get("spread", 0.0),
        line.get("count", 1),
    )
    own = {name: line[name] for name in _SHARED if name in line}
    if "versions" in own:
        own["versions"] = _versions(own["versions"])
    kernels = line.get("kernels", [])
    if not isinstance(kernels, list) or len(kernels) > MAX_KERNELS:
        raise ProfileError(f"kernels must be a list of at most {MAX_KERNELS}")
    return replace(base, **own, kernels=tuple(_kernel(kernel) for kernel in kernels)).check()


def check_features(family: str, features: Mapping[str, Any]) -> None:
    """Checks features against the family's table.

    Raises:
        ProfileError: An unknown family or feature, a missing one, or a value of the wrong kind.
    """
    table = FAMILIES.get(family) if isinstance(family, str) else None
    if table is None:
        raise ProfileError(f"unknown family {_short(family)}; one of {', '.join(FAMILIES)}")
    if family == "moe" and features.get("op") == GROUPED_GEMM:
        table = GROUPED_GEMM_FORM
    elif {"bytes", "kernel"} <= features.keys() <= LAUNCH_FORM.keys():
        table = LAUNCH_FORM
    for name, value in features.items():
        if name not in table:
            raise ProfileError(f"family {family} has no feature {_short(name)}; it has {', '.join(table)}")
        _check_value(name, value, table[name].kind)
    missing = [name for name, feature in table.items() if feature.required and name not in features]
    if missing:
        raise ProfileError(f"family {family} needs the features {', '.join(missing)}")
    if "q_lengths" in table and len(features["q_lengths"]) != len(features["kv_lengths"]):
        raise ProfileError("q_lengths and kv_lengths differ in length")


def _check_value(name: str, value: Any, kind: str) -> None:
    if kind == "int":
        good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62
    elif kind == "float":
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    elif kind == "flag":
        good = isinstance(value, bool)
    elif kind == "dtype":
        good = value in DTYPES
    elif kind == "ints":
        good = isinstance(value, tuple) and len(value) <= MAX_LIST and all(_is_count(item) for item in value)
    else:
        good = isinstance(value, str) and 0 < len(value) <= MAX_TEXT
    if not good:
        raise ProfileError(f"feature {name} is {_short(value)}; it must be of kind {kind}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _check_number(name: str, value: Any, *, positive: bool = False) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < 0 or (positive and value == 0) or value > 1e15:
        raise ProfileError(
            f"{name} is {_short(value)}; it must be a {'positive' if positive else 'non-negative'} number"
        )


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
        raise ProfileError(f"{name} is {_short(value)}; it must be a text of 1 to {MAX_TEXT} characters")


def _versions(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in value.items()
    ):
        raise ProfileError("versions must map names to texts")
    return value


def _kernel(value: Any) -> Kernel:
    if not isinstance(value, dict) or set(value) != {"name", "grid", "block", "shared_bytes", "duration_ns"}:
        raise ProfileError("a kernel has exactly name, grid, block, shared_bytes and duration_ns")
    for name in ("grid", "block"):
        shape = value[name]
        if not isinstance(shape, list) or len(shape) != 3 or not all(_is_count(item) for item in shape):
            raise ProfileError(f"a kernel's {name} is {_short(shape)}; it must be three integers")
    _check_text("a kernel's name", value["name"])
    _check_value("shared_bytes", value["shared_bytes"], "int")
    _check_number("a kernel's duration_ns", value["duration_ns"])
    grid, block = value["grid"], value["block"]
    return Kernel(
        name=value["name"],
        grid=(grid[0], grid[1], grid[2]),
        block=(block[0], block[1], block[2]),
        shared_bytes=value["shared_bytes"],
        duration_ns=float(value["duration_ns"]),
    )


def _plain(features: Mapping[str, Value]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in features.items()}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
