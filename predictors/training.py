"""Training of everything that ships: one file of models for each GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from revati.predictors import fit, model_file, tables
from revati.predictors.families.attention import Decode, Prefill
from revati.predictors.families.base import Family
from revati.predictors.families.collectives import Collectives
from revati.predictors.families.gemm import BatchedGemm, Gemm, ScaledGemm
from revati.predictors.families.mla import LatentDecode, LatentPrefill
from revati.predictors.families.moe import Moe
from revati.predictors.families.streamed import Streamed
from revati.predictors.samples import Samples

from revati.catalogue import registry
from revati.catalogue.gpu import Gpu
from revati.errors import UsageError

SUFFIX = ".rvm"


def families() -> list[Family]:
    """Every family, in the order in which files hold them."""
    return [
        BatchedGemm(),
        Gemm(),
        ScaledGemm(),
        Decode(),
        Prefill(),
        LatentDecode(),
        LatentPrefill(),
        Moe(),
        Collectives(),
        Streamed(),
    ]


def choose_gpus(names: Sequence[str]) -> list[Gpu]:
    """GPUs by catalogue name or alias; all that have tables if none is named.

    Raises:
        UsageError: A GPU has no tables.
    """
    gpus = [registry.get(name) for name in names or tables.SYSTEMS]
    for gpu in gpus:
        if gpu.name not in tables.SYSTEMS:
            raise UsageError(
                f"no measured tables for {gpu.name}; there are some for {', '.join(tables.SYSTEMS)}"
            )
    return gpus


def choose_families(names: Sequence[str]) -> list[Family]:
    """Families by name; all if none is named.

    Raises:
        UsageError: There is no family of that name.
    """
    known = {family.name: family for family in families()}
    for name in names:
        if name not in known:
            raise UsageError(f"unknown family {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())


def samples_of(gpu: Gpu, chosen: Sequence[Family]) -> Iterator[tuple[Family, Samples]]:
    """Everything that there is to train for a GPU."""
    for family in chosen:
        for samples in family.read(gpu):
            yield family, samples


def one_thread() -> AbstractContextManager[object]:
    """A context in which every sum has one order, so that a model's bytes do not depend on the number of cores."""
    # Libraries that are loaded later would not be limited.
    import scipy.optimize  # noqa: F401, PLC0415 (the training extra)
    import sklearn.ensemble  # noqa: F401, PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


def train(gpu: Gpu, directory: Path) -> tuple[Path, Sequence[model_file.Record]]:
    """Trains all models of a GPU and writes their file; the same tables and versions give the same bytes."""
    with one_thread():
        records = [
            fit.export(fit.fit(family, gpu, samples), samples, gpu)
            for family, samples in samples_of(gpu, families())
        ]
    path = directory / f"{gpu.name}{SUFFIX}"
    directory.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_file.pack(records))
    return path, records
