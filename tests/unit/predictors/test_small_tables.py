"""The readers of latent attention, products for each head and streamed bytes, on tables that follow known laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from revati import _native, catalogue

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("sklearn")

from revati.predictors import fit, model_file, tables, training  # noqa: E402
from revati.predictors.families.base import Family  # noqa: E402

GPU = catalogue.get("h100-sxm")
GAP = float(GPU.values["graph_kernel_gap_ns"]) * 1e-9


def write(root: Path, place: str, columns: dict[str, Any]) -> None:
    path = root / "aiconfigurator_core" / "systems" / "data" / "h100_sxm" / f"{place}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    (root / "aiconfigurator_core" / "__init__.py").write_text("")
    parquet.write_table(pyarrow.table(columns), path)


def grid(*axes: Any) -> list[np.ndarray[Any, Any]]:
    return [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]


def latency_ms(seconds: Any, replays: float, calls: float, kernels: float) -> Any:
    """A row of the table, from the duration of its kernels."""
    start = (tables.START_SECONDS / replays + tables.TURNAROUND_SECONDS) / calls
    return (np.asarray(seconds) + start + GAP * (kernels - 1 / calls)) * 1e3


def estimator(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> _native.Estimator:
    """Trains one family on what was written, and loads the result."""
    monkeypatch.syspath_prepend(str(root))
    (family,) = training.choose_families([name])
    with training.one_thread():
        records = [fit.export(fit.fit(family, GPU, samples), samples, GPU) for samples in family.read(GPU)]
    assert records
    (root / "models").write_bytes(model_file.pack(records))
    made = _native.Estimator(GPU.device_conf(1))
    made.load(str(root / "models"), "vllm")
    return made


def streamed_seconds(size: Any) -> Any:
    return 0.6e-6 + np.asarray(size) / 2.5e12


def test_streamed_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, width = grid(2 ** np.arange(15), (1024, 2048, 4096, 8192))
    given = latency_ms(streamed_seconds(tokens * width * 3), 6, 5, 1)
    places = {"m": tokens, "k": width}
    write(tmp_path, "quantize/vllm/0.24.0/scale_matrix_perf", places | {"latency": given})
    # The second kernel takes twice the time of the first, beyond what both have in common.
    more = streamed_seconds(tokens * width * 3) * 1e3
    write(tmp_path, "quantize/vllm/0.24.0/computescale_perf", places | {"latency": more})
    made = estimator(tmp_path, "streamed", monkeypatch)
    for size in (1 << 16, 1 << 22, 1 << 28):
        for family, factor in (("elementwise", 1), ("norm", 2), ("reduce", 2)):
            ns, source, answered, confidence = made.by_bytes(family, size)
            assert (source, answered) == ("model", family)
            assert 0.5 < confidence < 0.8
            assert ns == pytest.approx(factor * float(streamed_seconds(size)) * 1e9, rel=0.1)
    # Nothing stands for these.
    assert made.by_bytes("sampler", 1 << 20)[1] == made.by_bytes("kv_cache", 1 << 20)[1] == "roofline"
    sizes = [made.by_bytes("norm", 1 << power)[0] for power in range(31)]
    assert sizes[10:] == sorted(sizes[10:])


def test_latent_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, keys, heads = grid(2 ** np.arange(9), 2 ** np.arange(3, 15), 2 ** np.arange(3, 8))
    read = batch * keys * 576 * 2.0

    def seconds(size: Any) -> Any:
        return 9e-6 + np.asarray(size) / 2.6e12

    row = seconds(read) + tables.streamed_seconds(GPU, batch * 576 * 4.0)
    columns = {
        "batch_size": batch,
        "step": keys - 1,
        "num_heads": heads,
        "latency": latency_ms(row, 20, 1, 2),
    }
    columns |= {
        "kernel_source": ["flash_attention"] * len(batch),
        "kv_cache_dtype": ["bfloat16"] * len(batch),
    }
    write(tmp_path, "mla/sglang/0.5.14/generation_mla_perf", columns)
    made = estimator(tmp_path, "attention.mla.decode", monkeypatch)
    for size, context in ((3, 1000), (48, 6000)):
        ns, source, _, _ = made.attention([1] * size, [context] * size, 16, 1, head_dim=576, v_head_dim=512)
        assert source == "model"
        assert ns == pytest.approx(1e9 * float(seconds(size * context * 576 * 2)), rel=0.15)
    assert made.attention([1], [1000], 16, 1, head_dim=128)[1] == "roofline"


def test_a_product_for_each_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, heads, operation = grid(2 ** np.arange(14), 2 ** np.arange(1, 8), (0, 1))

    def seconds(m: Any, batch: Any) -> Any:
        return 3e-6 + 2.0 * np.asarray(m) * batch * 512 * 128 / 5e14

    columns = {
        "num_tokens": tokens,
        "num_heads": heads,
        "bmm_dtype": ["bfloat16"] * len(tokens),
        "op_name": np.where(operation == 0, "mla_gen_pre", "mla_gen_post").tolist(),
        "latency": latency_ms(seconds(tokens, heads), 10, 1, 1),
    }
    write(tmp_path, "mla_bmm/vllm/0.24.0/mla_bmm_perf", columns)
    made = estimator(tmp_path, "gemm_batched", monkeypatch)
    for n, k in ((512, 128), (128, 512)):
        ns, source, _, _ = made.gemm(300, n, k, batch=16)
        assert source == "model"
        assert ns == pytest.approx(1e9 * float(seconds(300, 16)), rel=0.15)
    # One product is not its business.
    assert made.gemm(300, 512, 128)[1] == "roofline"


@pytest.mark.parametrize(
    "name", ["streamed", "attention.mla.decode", "attention.mla.prefill", "gemm_batched"]
)
def test_a_gpu_without_the_table(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "nothing", {"a": [1]})
    monkeypatch.syspath_prepend(str(tmp_path))
    family: Family
    (family,) = training.choose_families([name])
    assert family.read(GPU) == []
