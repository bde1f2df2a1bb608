"""From a measured profile (`revati.profile.schema`) to measured points that the emulation looks up exactly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from revati.predictors.attention import split
from revati.predictors.kinds import INPUTS, Collective, DType, Kind
from revati.predictors.model_file import Header, Points

from revati.catalogue.gpu import Gpu
from revati.profile.schema import Record

_COPIES = {"host_to_device": 0, "device_to_host": 1, "device_to_device": 2, "peer": 3, "host_to_host": 4}


def from_records(gpu: Gpu, records: Iterable[Record]) -> tuple[list[Points], Counter[str]]:
    """Points for every record that the emulation can ask about; several of one piece of work give their median.

    Returns:
        The points, one entry for each kind of work, and how many records of which family are not used.
    """
    seconds: dict[Kind, dict[tuple[float, ...], list[float]]] = defaultdict(lambda: defaultdict(list))
    versions: dict[Kind, set[str]] = defaultdict(set)
    unused: Counter[str] = Counter()
    for record in records:
        found = _inputs(record.family, record.features)
        if found is None or record.method == "host":
            unused[record.family] += 1
            continue
        kind, values = found
        # A graph's interval holds the gap to the next node, which the device model adds by itself.
        gap = float(gpu.values["graph_kernel_gap_ns"]) if record.method == "graph" else 0.0
        duration = max(record.duration_ns - gap, record.duration_ns / 4) * 1e-9
        seconds[kind][tuple(float(values.get(name, 0.0)) for name in INPUTS[kind])].append(duration)
        versions[kind].add(f"{record.source}, {record.gpu}, driver {record.driver}")
    points = []
    for kind in sorted(seconds):
        rows = sorted(seconds[kind].items())
        header = Header(
            kind,
            f"measured.{kind.name.lower()}",
            "",
            notes=(("from", "; ".join(sorted(versions[kind]))[:1000]), ("gpu", gpu.name)),
            confidence_inside=0.97,
            confidence_outside=0.0,
        )
        keys = np.array([key for key, _ in rows])
        medians = np.array([float(np.median(values)) for _, values in rows])
        points.append(Points(header, tuple(range(len(INPUTS[kind]))), keys, medians))
    return points, unused


def _inputs(family: str, features: Mapping[str, Any]) -> tuple[Kind, dict[str, float]] | None:
    """The raw inputs that `native/cost` would ask with, or None if it asks nothing of the kind."""
    if "kernel" in features:
        return None  # known by its launch alone
    if family == "gemm":
        return Kind.GEMM, {
            "m": features["m"],
            "n": features["n"],
            "k": features["k"],
            "batch": features.get("batch", 1),
            "a_dtype": _dtype(features["a"]),
            "b_dtype": _dtype(features["b"]),
            "d_dtype": _dtype(features["d"]),
            "block_scaled": float(bool(features.get("block_scaled", False))),
        }
    if family == "attention":
        return _attention(features)
    if family == "collective":
        name = str(features["kind"]).upper()
        if name not in Collective.__members__:
            return None
        return Kind.COLLECTIVE, {
            "collective": float(Collective[name]),
            "ranks": features["ranks"],
            "bytes": features["bytes"],
            "custom": float(bool(features.get("custom", False))),
        }
    if family == "copy" and features["kind"] in _COPIES:
        return Kind.COPY, {
            "copy": _COPIES[features["kind"]],
            "bytes": features["bytes"],
            "pinned": float(bool(features.get("pinned", True))),
        }
    return None


def _attention(features: Mapping[str, Any]) -> tuple[Kind, dict[str, float]] | None:
    window = int(features.get("window", 0))
    decode, prefill = split(features["q_lengths"], features["kv_lengths"], window)
    if bool(decode.batch) == bool(prefill.batch):
        return None  # mixed batches are put together from both kinds
    kind, sums = (Kind.ATTENTION_DECODE, decode) if decode.batch else (Kind.ATTENTION_PREFILL, prefill)
    return kind, {
        **vars(sums),
        "q_heads": features["q_heads"],
        "kv_heads": features["kv_heads"],
        "head_dim": features["head_dim"],
        "v_head_dim": features.get("v_head_dim", features["head_dim"]),
        "q_dtype": _dtype(features["q_dtype"]),
        "kv_dtype": _dtype(features["kv_dtype"]),
        "window": window,
    }


def _dtype(name: str) -> float:
    return float(DType[name.upper()])
