"""`revati profile train|evaluate|list|show|import` from end to end, on small tables that are made here.

The tables have the layout of `aiconfigurator-core`'s and are found as the package would be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from revati.predictors.program import Column

from revati import _native, catalogue
from revati.commands import (
    profile,
    profile_evaluate,
    profile_import,
    profile_list,
    profile_show,
    profile_train,
)
from revati.errors import UsageError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("sklearn")

GPU = "h100-sxm"


def write_tables(package: Path, seed: int) -> None:
    """All-reduces that follow a simple law; `seed` orders the rows, which must not matter."""
    (package / "__init__.py").parent.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    size, ranks = (axis.ravel() for axis in np.meshgrid(2 ** np.arange(8, 28), (2, 4, 8), indexing="ij"))
    columns: dict[str, Any] = {"op_name": ["all_reduce"] * len(size), "nccl_dtype": ["half"] * len(size)}
    columns |= {"num_gpus": ranks, "message_size": size, "latency": seconds(size * 2.0, ranks) * 1e3}
    path = package / "systems" / "data" / "h100_sxm" / "comm" / "nccl" / "2.29.2" / "nccl_perf.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(seed).permutation(len(size))
    parquet.write_table(pyarrow.table(columns).take(order), path)


def seconds(size: Column | float, ranks: Column | float) -> Column:
    """The law; with a step where another algorithm would begin."""
    slower = np.where(np.asarray(size) > 1 << 20, 1.0, 1.3)
    return np.asarray(5e-6 + 1e-6 * ranks + slower * 2.0 * size * (ranks - 1) / ranks / 3e11)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("trained")
    write_tables(root / "aiconfigurator_core", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        shown = invoke(profile_train.command, "--gpu", GPU, "--out", str(root / "models"))
        assert "1 models" in shown.output
        yield root / "models" / f"{GPU}.rvm"


@pytest.fixture
def shipped(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("REVATI_MODELS_DIR", str(trained.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return trained


def invoke(command: object, *arguments: str) -> Result:
    result = CliRunner().invoke(command, arguments)  # type: ignore[arg-type]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def estimator(path: Path) -> _native.Estimator:
    made = _native.Estimator(catalogue.get(GPU).device_conf(1))
    made.load(str(path))
    return made


def test_training_is_the_same_to_the_byte(trained: Path, tmp_path: Path) -> None:
    """In another process, with hashes and rows in another order."""
    write_tables(tmp_path / "aiconfigurator_core", 2)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONHASHSEED": "2"}
    command = [sys.executable, "-P", "-m", "revati", "profile", "train", "--gpu", GPU, "--out", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{GPU}.rvm").read_bytes() == trained.read_bytes()


def test_what_was_trained_answers(trained: Path) -> None:
    for size in (1 << 10, 3 << 16, 1 << 24):
        ns, source, family, confidence = estimator(trained).collective("all_reduce", 4, size)
        assert (source, family) == ("model", "collective")
        assert 0.5 < confidence < 1
        # The gap between two kernels is taken off a row.
        assert ns == pytest.approx(1e9 * float(seconds(size, 4)), rel=0.25)


def test_evaluate(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "errors.json"
    shown = invoke(profile_evaluate.command, "--gpu", GPU, "--family", "collective", "--json", str(out))
    (result,) = json.loads(out.read_text())
    assert (result["gpu"], result["model"], result["held_out"]) == (
        GPU,
        "collective.nccl.all_reduce",
        "bytes",
    )
    assert result["errors"]["rows"] == 60
    assert 0 < result["errors"]["median"] < 0.08
    assert len(result["bands"]) == 20
    assert ("misses its goal" in shown.output) != result["met"]
    invoke(profile_evaluate.command, "--gpu", GPU, "--rows", "100", "--json", str(out))
    assert json.loads(out.read_text())[0]["errors"] == result["errors"]
    with pytest.raises(UsageError, match="no measured tables for l4"):
        invoke(profile_evaluate.command, "--gpu", "l4")
    with pytest.raises(UsageError, match="unknown family 'gem'"):
        invoke(profile_evaluate.command, "--family", "gem")


def test_list_and_show(shipped: Path) -> None:
    (row,) = json.loads(invoke(profile_list.command, "--json").output)
    assert (row["gpu"], row["models"], row["points"]) == (GPU, 1, 0)
    assert row["bytes"] == shipped.stat().st_size
    assert GPU in invoke(profile_list.command).output
    ((record,),) = [
        entry["records"] for entry in json.loads(invoke(profile_show.command, GPU, "--json").output)
    ]
    assert record["name"] == "collective.nccl.all_reduce"
    assert record["range"]["ranks"] == "2..8"
    assert "h100_sxm/comm/nccl/2.29.2" in record["notes"]["table"]
    assert "collective.nccl.all_reduce any engine" in invoke(profile_show.command, str(shipped)).output
    with pytest.raises(UsageError, match="no models for l4"):
        invoke(profile_show.command, "l4")


CSV = """family,duration_ns,method,m,n,k,a,b,d,bytes,op
gemm,12000,cupti,64,4096,4096,bf16,bf16,bf16,,
gemm,14000,cupti,64,4096,4096,bf16,bf16,bf16,,
fill,900,cupti,,,,,,,4096,
"""


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_users_own_points_come_first(shipped: Path, tmp_path: Path, suffix: str) -> None:
    own = tmp_path / f"mine{suffix}"
    if suffix == ".csv":
        own.write_text(CSV)
    else:
        rows = [line.split(",") for line in CSV.splitlines()]
        columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
        parquet.write_table(
            pyarrow.table({name: [v or None for v in values] for name, values in columns.items()}), own
        )
    shown = invoke(profile_import.command, str(own), "--gpu", GPU)
    assert "measured.gemm: 1 points" in shown.output
    assert "fill: 1 records not used" in shown.output
    imported, theirs = json.loads(invoke(profile_list.command, "--json").output)
    assert (imported["models"], imported["points"]) == (1, 1)
    assert theirs["path"] == str(shipped)
    found = estimator(Path(imported["path"]))
    assert found.gemm(64, 4096, 4096)[:2] == (13000, "measured")
    assert found.gemm(65, 4096, 4096)[1] == "roofline"


def test_import_says_what_is_wrong(shipped: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.csv"
    own.write_text(CSV.replace("4096,bf16", "many,bf16", 1))
    with pytest.raises(UsageError, match="line 2: feature k is 'many'"):
        invoke(profile_import.command, str(own), "--gpu", GPU)
    own.write_text("".join(CSV.splitlines(True)[::3]))
    with pytest.raises(UsageError, match="none of these records"):
        invoke(profile_import.command, str(own), "--gpu", GPU)
    assert not list((tmp_path / "cache").rglob("*.rvm"))


def test_every_sub_command_is_listed() -> None:
    shown = invoke(profile.command, "--help").output
    for name in ("train", "evaluate", "import", "list", "show"):
        assert f"  {name} " in shown
