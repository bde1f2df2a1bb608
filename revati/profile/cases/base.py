"""A case: one thing to measure, how to set it up, and how much we want to know it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch

from revati.profile.schema import Value, check_features, key_of
from revati.profile.timing import Call, Settings, Timing, time_events, time_graph

ITEM_BYTES: Final = {"bf16": 2, "f16": 2, "f32": 4, "f8e4m3": 1, "i64": 8, "i32": 4, "u8": 1}

# Token counts of a batch, coarse first: a case's level says in which round it is measured.
TOKENS: Final = (
    (1, 16, 64, 256, 2048, 8192),
    (4, 8, 32, 128, 512, 1024, 4096, 16384),
    (2, 24, 48, 96, 192, 384, 768, 1536, 3072),
)

# Order within a round: what public tables lack comes first (see docs/measuring.md).
TIERS: Final = (
    "overheads",
    "copies",
    "attention_mixed",
    "rows",
    "sampler",
    "lm_head",
    "moe",
    "gemm",
    "attention_plain",
    "inductor",
    "collective",
)


class UnreachableError(Exception):
    """This machine cannot measure the case; the message says what it lacks."""


@dataclass(frozen=True)
class Model:
    """The dimensions of a model that decide its launches."""

    name: str
    hidden: int
    intermediate: int
    q_heads: int
    kv_heads: int
    vocabulary: int
    head_dim: int = 128
    experts: int = 0
    top_k: int = 0


# From the models' published configurations, as in `revati/models/data/skeletons`.
MODELS: Final = (
    Model("llama-3.1-8b", 4096, 14336, 32, 8, 128256),
    Model("qwen3-32b", 5120, 25600, 64, 8, 151936),
    Model("qwen3-30b-a3b", 2048, 768, 32, 4, 151936, experts=128, top_k=8),
    Model("llama-3.1-70b", 8192, 28672, 64, 8, 128256),
    Model("mixtral-8x7b", 4096, 14336, 32, 8, 32000, experts=8, top_k=2),
)


@dataclass
class Context:
    """Where cases run: the device, its random data, and what could be imported."""

    l2_bytes: int
    pool_bytes: int
    settings: Settings
    gpus: int = 1
    _pools: dict[str, Any] = field(default_factory=dict)
    _offsets: dict[str, int] = field(default_factory=dict)
    _modules: dict[str, Any] = field(default_factory=dict)

    def take(self, shape: Sequence[int], dtype: str = "bf16") -> Any:
        """A tensor of random data: the next part of one large pool, so that successive tensors never share a line.

        Values are drawn from a normal distribution (zeros would let the GPU clock higher than real data does).
        """
        count = 1
        for size in shape:
            count *= size
        pool = self._pool(dtype)
        if count > pool.numel():
            raise UnreachableError(
                f"needs {count * ITEM_BYTES[dtype]:,} bytes of {dtype}; the pool is smaller"
            )
        offset = self._offsets.get(dtype, 0)
        if offset + count > pool.numel():
            offset = 0
        self._offsets[dtype] = -(-(offset + count) // 256) * 256
        return pool[offset : offset + count].view(*shape)

    def empty(self, shape: Sequence[int], dtype: str = "bf16") -> Any:
        """A tensor to write to."""
        return torch.empty(tuple(shape), dtype=torch_dtype(dtype), device="cuda")

    def sets(self, working_set_bytes: int, most: int = 64) -> int:
        """How many buffer sets to rotate so that together they are larger than twice the L2 cache."""
        return max(1, min(most, -(-2 * self.l2_bytes // max(working_set_bytes, 1))))

    def module(self, name: str) -> Any:
        """Imports once.

        Raises:
            UnreachableError: It cannot be imported here.
        """
        if name not in self._modules:
            try:
                self._modules[name] = importlib.import_module(name)
            except Exception as error:  # a broken native library raises more than ImportError
                self._modules[name] = error
        found = self._modules[name]
        if isinstance(found, Exception):
            raise UnreachableError(f"needs {name}: {type(found).__name__}: {str(found)[:200]}")
        return found

    def _pool(self, dtype: str) -> Any:
        if dtype not in self._pools:
            generator = torch.Generator(device="cuda").manual_seed(20261121)
            count = self.pool_bytes // 2
            values = torch.empty(count, dtype=torch.bfloat16, device="cuda").normal_(generator=generator)
            self._pools[dtype] = values if dtype == "bf16" else values.to(torch_dtype(dtype))
        return self._pools[dtype]


@dataclass(frozen=True)
class Case:
    """One thing to measure."""

    tier: str
    level: int
    family: str
    features: Mapping[str, Value]
    # Sets everything up and returns the calls to measure, one per buffer set. They are let go after the measurement.
    build: Callable[[Context], Sequence[Call]]
    # How the calls are timed.
    measure: Callable[[Sequence[Call], Settings], Timing] = time_graph
    # Whether a profiler pass may name its kernels.
    kernels: bool = True

    @property
    def key(self) -> str:
        """The same as that of the record it becomes."""
        return key_of(self.family, self.features)

    @property
    def order(self) -> tuple[int, int]:
        """Rounds first, then what is wanted most."""
        return self.level, TIERS.index(self.tier)

    @property
    def title(self) -> str:
        """For people: family, operation, size."""
        shown = {k: v for k, v in self.features.items() if not isinstance(v, tuple)}
        return f"{self.family} " + " ".join(f"{k}={v}" for k, v in shown.items())

    def check(self) -> Case:
        """Returns the case itself; raises ProfileError if its features are not the format's."""
        check_features(self.family, self.features)
        return self


def torch_dtype(name: str) -> Any:
    """Our name of an element type -> torch's."""
    return {
        "bf16": torch.bfloat16,
        "f16": torch.float16,
        "f32": torch.float32,
        "f8e4m3": torch.float8_e4m3fn,
        "i64": torch.int64,
        "i32": torch.int32,
        "u8": torch.uint8,
    }[name]


def levels(values: Sequence[Sequence[int]], most: int | None = None) -> list[tuple[int, int]]:
    """(level, value) pairs, coarse first, up to `most`."""
    return [
        (level, value) for level, row in enumerate(values) for value in row if most is None or value <= most
    ]


__all__ = [
    "ITEM_BYTES",
    "MODELS",
    "TIERS",
    "TOKENS",
    "Call",
    "Case",
    "Context",
    "Model",
    "UnreachableError",
    "levels",
    "time_events",
    "time_graph",
    "torch_dtype",
]
