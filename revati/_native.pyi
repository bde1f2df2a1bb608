"""Native parts of Revati: the cost model."""

from collections.abc import Sequence
from typing import Any

Estimate = tuple[int, str, str, float]

class Estimator:
    """Durations of GPU work; every estimate is (ns, source, family, confidence)."""

    def __init__(self, device_conf: str) -> None: ...
    def load(self, path: str, engine: str = "") -> None: ...
    def gemm(
        self,
        m: int,
        n: int,
        k: int,
        batch: int = 1,
        a: str = "bf16",
        b: str = "bf16",
        d: str = "bf16",
        block_scaled: bool = False,
    ) -> Estimate: ...
    def attention(
        self,
        q_lengths: Sequence[int],
        kv_lengths: Sequence[int],
        q_heads: int,
        kv_heads: int,
        head_dim: int = 128,
        window: int = 0,
        q_dtype: str = "bf16",
        kv_dtype: str = "bf16",
        v_head_dim: int = 0,
    ) -> Estimate: ...
    def copy(self, kind: str, bytes: int, pinned: bool = True) -> Estimate: ...  # noqa: A002
    def fill(self, bytes: int) -> Estimate: ...  # noqa: A002
    def collective(
        self,
        kind: str,
        ranks: int,
        bytes: int,  # noqa: A002
        custom: bool = False,
        nodes: int = 1,
    ) -> Estimate: ...
    def by_bytes(self, family: str, bytes: int) -> Estimate: ...  # noqa: A002
    def kernel(
        self, name: str, grid: Sequence[int], block: Sequence[int], args: Sequence[bytes] = ...
    ) -> Estimate: ...
    def describe_kernel(self, name: str) -> dict[str, object]: ...

def launch_features(
    name: str,
    grid: Sequence[int],
    block: Sequence[int],
    shared_bytes: int = 0,
    args: Sequence[bytes] = ...,
) -> dict[str, Any]: ...
