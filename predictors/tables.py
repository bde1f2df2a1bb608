"""Reading the operator tables of `aiconfigurator-core`, and what one row of them has timed.

The package (Apache-2.0, Copyright NVIDIA CORPORATION & AFFILIATES) holds one parquet file for each system, family,
framework and version. Its collectors time a CUDA graph that holds one or a few calls, replayed some times in a row
between two events, so that a row's latency is more than its kernels:

    latency = (start / replays + turnaround + kernels + gaps between the kernels) / calls in the graph

- `start`: from the first event to the first kernel, which is the host launching the first replay. vLLM's collector
  replays an attention graph 6 times, SGLang's 20 times; the same FlashAttention-3 kernels, short ones, come out
  2.6 us apart: 2.6 us / (1/6 - 1/20) = 22 us.
- `turnaround`: between two replays, taken as 1.2 us.
- `gap`: between two nodes of a graph; the device model adds it to every node, with the same value
  (`graph_kernel_gap_ns` of the catalogue).

The readers take all of that off: durations here are those of kernels alone.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from revati.predictors.program import Column

from revati.catalogue.gpu import Gpu
from revati.errors import RevatiError

START_SECONDS = 22e-6
TURNAROUND_SECONDS = 1.2e-6

# Catalogue name -> name of the system in the tables.
SYSTEMS = {
    "h100-sxm": "h100_sxm",
    "h200-sxm": "h200_sxm",
    "a100-sxm-80gb": "a100_sxm",
    "b200": "b200_sxm",
    "l40s": "l40s",
}


class TablesError(RevatiError):
    """The measured tables are missing; the message says how to get them."""


@dataclass(frozen=True)
class Table:
    """One parquet file: its columns, and where it lies."""

    columns: dict[str, npt.NDArray[np.generic]]
    framework: str
    version: str
    source: str

    def number(self, name: str) -> Column:
        """A numeric column as f64."""
        return self.columns[name].astype(np.float64)

    def text(self, name: str) -> npt.NDArray[np.generic]:
        """A column of strings."""
        return self.columns[name]

    def take(self, rows: npt.NDArray[np.bool_]) -> Table:
        """The same with some rows only."""
        chosen = {name: column[rows] for name, column in self.columns.items()}
        return Table(chosen, self.framework, self.version, self.source)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def data_directory() -> Path:
    """Where the installed package keeps its tables.

    Raises:
        TablesError: It is not installed.
    """
    spec = importlib.util.find_spec("aiconfigurator_core")
    if spec is None or spec.origin is None:
        raise TablesError("the measured tables are not installed; run `pip install revati[train]`")
    return Path(spec.origin).parent / "systems" / "data"


# Version to take, in order of preference: the reference stack, then the nearest one that a GPU has tables for.
_VERSIONS = {
    "vllm": ("0.24.0", "0.22.0", "0.19.0", "0.18.0", "0.14.0"),
    "sglang": ("0.5.14", "0.5.12", "0.5.10", "0.5.9"),
    "nccl": ("2.29.2", "2.28.9", "2.27.5", "2.27.3", "2.26.2", "2.23"),
}


def read(gpu: Gpu, folder: str, framework: str, file: str) -> Table | None:
    """Reads a table of the best version there is, or returns None if the GPU has none."""
    from pyarrow import parquet  # noqa: PLC0415 (the training extra)

    base = data_directory() / SYSTEMS[gpu.name] / folder / framework
    for version in _VERSIONS[framework]:
        path = base / version / f"{file}.parquet"
        if not path.is_file():
            continue
        table = parquet.read_table(path)
        columns = {
            name: np.asarray(table.column(name).to_numpy(zero_copy_only=False)) for name in table.column_names
        }
        source = f"{SYSTEMS[gpu.name]}/{folder}/{framework}/{version}/{file}.parquet"
        # The files' own order may change from release to release; the trained bytes must not follow it.
        keys = [columns[name] for name in sorted(columns, reverse=True) if columns[name].dtype != object]
        order = np.lexsort(keys)
        return Table({name: column[order] for name, column in columns.items()}, framework, version, source)
    return None


def kernel_seconds(
    latency_ms: Column,
    gpu: Gpu,
    *,
    replays: float,
    calls: float = 1,
    kernels: float = 1,
    other: Column | float = 0.0,
    least: float = 0.8e-6,
) -> Column:
    """Duration of the kernels in question, from a row's latency.

    Args:
        latency_ms: As the table has it, per call.
        gpu: Whose gap between graph nodes counts.
        replays: Of the graph, between the two events.
        calls: In the graph.
        kernels: Of one call, with those that are not in question.
        other: Seconds of the kernels of one call that are not in question.
        least: Seconds that a kernel takes at least.

    Returns:
        Seconds; at least a quarter of the latency and `least`, for rows whose overheads we overestimate.
    """
    latency = latency_ms * 1e-3
    gap = float(gpu.values["graph_kernel_gap_ns"]) * 1e-9
    overhead = (START_SECONDS / replays + TURNAROUND_SECONDS) / calls + gap * (kernels - 1 / calls)
    return np.maximum(latency - overhead - other, np.maximum(latency * 0.25, least))


def streamed_seconds(gpu: Gpu, number_of_bytes: Column | float) -> Column:
    """A small kernel that reads and writes so many bytes, as `native/cost` estimates it without a model."""
    bandwidth = float(gpu.values["memory_bandwidth"]) * 0.82
    return np.asarray(1.3e-6 + np.asarray(number_of_bytes, np.float64) / bandwidth)
