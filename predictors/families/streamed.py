"""Kernels that only stream their operands: element by element, and row by row (norms, reductions).

The operator tables time two of vLLM's kernels of this sort alone, inside CUDA graphs: the quantisation to fp8 with a given
scale, which treats every element by itself, and the one that finds a scale for each token first, which has to read a row
before it writes it. Each stands for its class: what they do to a number hardly matters, how many bytes they move does.
Whether that holds for other kernels of the class was tried on public timings of other people's kernels: docs/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from revati.predictors import tables
from revati.predictors.families.base import Family, ceiling
from revati.predictors.kinds import Kind
from revati.predictors.program import Column, Node, maximum, minimum, raw
from revati.predictors.samples import Band, Samples, columns

from revati.catalogue.gpu import Gpu

# `Family` in native/cost/features.h.
_NORM, _ELEMENTWISE, _REDUCE = 3.0, 4.0, 5.0
_POINTWISE: Mapping[str, float] = {"elementwise": _ELEMENTWISE}
_ROWWISE: Mapping[str, float] = {"norm": _NORM, "reduce": _REDUCE}

_BYTES: tuple[Band, ...] = tuple((float(1 << i), float((4 << i) - 1)) for i in range(6, 31, 2))
_BYTES_PER_ELEMENT = 3.0  # reads bf16, writes fp8
_NARROW, _WIDEST = 1024.0, 8192.0  # rows that models have
_SMALL = 65536.0


class Streamed(Family):
    """Duration by bytes, with the L2 cache in between."""

    name = "streamed"
    kind = Kind.BYTES
    goal = (0.12, 0.3)
    # Rows of one size in bytes differ by their shape, and kernels of one class by their code.
    confidence = (0.7, 0.55)
    # Fixed us; shares of the bandwidth from the cache and from memory; share of the cache up to which everything hits, and
    # over which that ends.
    parameters = (
        (0.5, 0.05, 4),
        (1.6, 0.4, 8),
        (0.8, 0.2, 1.1),
        (0.4, 0.05, 1.2),
        (0.5, 0.1, 1.5),
    )
    trees = 0

    def read(self, gpu: Gpu) -> list[Samples]:
        """One model for each family that the emulation asks about by bytes and that a timed kernel stands for."""
        given = tables.read(gpu, "quantize", "vllm", "scale_matrix_perf")
        finding = tables.read(gpu, "quantize", "vllm", "computescale_perf")
        if given is None or finding is None:
            return []
        rows = _rows(given)
        pointwise = given.number("latency")
        # The table has what finding the scale adds; nothing where noise made the longer kernel the shorter one.
        added = dict(zip(_places(finding), finding.number("latency"), strict=True))
        more = np.array([added.get(place, 0.0) for place in _places(given)])
        found = [_samples(gpu, given, name, code, pointwise, rows) for name, code in _POINTWISE.items()]
        rowwise = rows & (more > 0)
        return found + [
            _samples(gpu, given, name, code, pointwise + more, rowwise) for name, code in _ROWWISE.items()
        ]

    def estimate(self, gpu: Gpu, parameters: Sequence[Node]) -> Node:
        """A fixed part, and the bytes at the cache's pace or the memory's; between both the hits get fewer."""
        fixed, from_cache, from_memory, fits, fades = parameters
        size = raw("bytes")
        cache = float(gpu.values["l2_bytes"])
        hits = 1.0 - minimum(1.0, maximum(0.0, (size / cache - fits) / fades))
        pace = hits / from_cache + (1.0 - hits) / from_memory
        return fixed * 1e-6 + size * pace / ceiling(gpu, "memory_bandwidth")

    def features(self, gpu: Gpu, estimate: Node) -> list[Node]:
        """None: more bytes never take less time."""
        return []


def _places(table: tables.Table) -> list[tuple[float, float]]:
    return list(zip(table.number("m").tolist(), table.number("k").tolist(), strict=True))


def _rows(table: tables.Table) -> npt.NDArray[np.bool_]:
    """Rows of tokens as models have them, and anything small: there the shape hardly counts."""
    tokens, width = table.number("m"), table.number("k")
    small = tokens * width * _BYTES_PER_ELEMENT <= _SMALL
    return (width <= _WIDEST) & ((width >= _NARROW) | small)


def _samples(
    gpu: Gpu, table: tables.Table, name: str, code: float, latency: Column, rows: npt.NDArray[np.bool_]
) -> Samples:
    size = (table.number("m") * table.number("k") * _BYTES_PER_ELEMENT)[rows]
    # These are so short that the least which other tables' rows are given would be longer than they are.
    seconds = tables.kernel_seconds(latency[rows], gpu, replays=6, calls=5, least=0.0)
    what = (
        "fp8 quantisation, given scale" if name in _POINTWISE else "fp8 quantisation, a scale for each token"
    )
    return Samples(
        f"streamed.{name}",
        Kind.BYTES,
        "",
        [columns(Kind.BYTES, len(size), {"family": code, "bytes": size})],
        seconds,
        {"family": (code, code)},
        ("bytes",),
        {"bytes": (size, _BYTES)},
        {
            "table": table.source,
            "timed": "5 calls in a graph, 6 replays; the same input each time, so that what fits stays in the L2 cache",
            "stands for its class": f"vLLM's {what}",
        },
    )
