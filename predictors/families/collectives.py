"""Collectives over the links of one machine: the frameworks' own all-reduce, and NCCL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from revati.predictors import tables
from revati.predictors.families.base import Family, ceiling
from revati.predictors.kinds import Collective, Kind
from revati.predictors.program import Node, at_most, log2, raw
from revati.predictors.samples import Band, Samples, columns

from revati.catalogue.gpu import Gpu

_BYTES: tuple[Band, ...] = tuple((float(1 << i), float((2 << i) - 1)) for i in range(8, 31))
_CUSTOM_LARGEST = 16 << 20  # beyond, frameworks use something else
_NCCL = {
    "all_reduce": Collective.ALL_REDUCE,
    "all_gather": Collective.ALL_GATHER,
    "reduce_scatter": Collective.REDUCE_SCATTER,
    "alltoall": Collective.ALL_TO_ALL,
}


class Collectives(Family):
    """One model for each collective and library; 2, 4 and 8 GPUs are measured."""

    name = "collective"
    kind = Kind.COLLECTIVE
    goal = (0.08, 0.2)
    reach = 2.0
    confidence = (0.9, 0.75)
    # Fixed us; us for each other rank; share of the link.
    parameters = ((4, 0.5, 60), (0.5, 0.0, 20), (0.7, 0.1, 1.0))
    trees = 60
    leaves = 8
    leaf_rows = 3

    def read(self, gpu: Gpu) -> list[Samples]:
        """Sizes in the tables are elements of two bytes."""
        found = []
        for framework in ("vllm", "sglang"):
            table = tables.read(gpu, "comm", framework, "custom_allreduce_perf")
            if table is None:
                continue
            graph = np.char.find(table.text("kernel_source").astype(str), "eager") < 0
            table = table.take(graph & (table.number("message_size") * 2 <= _CUSTOM_LARGEST))
            if len(table) > 20:
                found.append(_samples(gpu, table, Collective.ALL_REDUCE, custom=True))
        table = tables.read(gpu, "comm", "nccl", "nccl_perf")
        if table is not None:
            for name, collective in _NCCL.items():
                rows = table.take((table.text("op_name") == name) & (table.text("nccl_dtype") == "half"))
                if len(rows) > 20:
                    found.append(_samples(gpu, rows, collective, custom=False))
        return found

    def estimate(self, gpu: Gpu, parameters: Sequence[Node]) -> Node:
        """Latency that grows with the ranks, and what crosses one GPU's link."""
        fixed, each, share = parameters
        link = ceiling(gpu, "nvlink_bandwidth") or ceiling(gpu, "pcie_bandwidth")
        others = raw("ranks") - 1.0
        all_reduce = at_most(raw("collective"), float(Collective.ALL_REDUCE))
        all_gather = at_most(raw("collective"), float(Collective.ALL_GATHER)) - all_reduce
        # Of one rank's input: twice all but its own part, all of it to everybody, or all but its own part.
        traffic = others / raw("ranks") * (1.0 + all_reduce + all_gather * (raw("ranks") - 1.0))
        return fixed * 1e-6 + each * 1e-6 * others + raw("bytes") * traffic / (share * link)

    def features(self, gpu: Gpu, estimate: Node) -> list[Node]:
        """Size and number of ranks."""
        return [log2(estimate), log2(raw("bytes")), raw("ranks"), log2(raw("bytes") / raw("ranks"))]


def _samples(gpu: Gpu, table: tables.Table, collective: Collective, *, custom: bool) -> Samples:
    ranks = table.number("num_gpus")
    size = table.number("message_size") * 2
    if collective is Collective.ALL_GATHER:
        size = size / ranks  # the table counts what every rank ends up with
    if custom:
        seconds = tables.kernel_seconds(table.number("latency"), gpu, replays=20, calls=5)
        timed = "5 calls in a graph, 20 replays"
    else:
        gap = float(gpu.values["kernel_gap_ns"]) * 1e-9
        seconds = np.maximum(table.number("latency") * 1e-3 - gap, 1e-6)
        timed = "calls in a row without a graph; one gap between kernels taken off"
    kind = "custom" if custom else "nccl"
    code = float(collective)
    return Samples(
        f"collective.{kind}.{collective.name.lower()}",
        Kind.COLLECTIVE,
        table.framework if custom else "",
        [
            columns(
                Kind.COLLECTIVE,
                len(size),
                {"collective": code, "ranks": ranks, "bytes": size, "custom": float(custom)},
            )
        ],
        seconds,
        {"collective": (code, code), "custom": (float(custom), float(custom)), "ranks": (2, 16)},
        ("ranks", "bytes"),
        {"bytes": (table.number("message_size") * 2, _BYTES)},
        {"table": table.source, "timed": timed},
    )
