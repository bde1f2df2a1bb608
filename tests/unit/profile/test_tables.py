"""Tables of a user's own: CSV and parquet, good ones, wrong ones and hostile ones."""

from __future__ import annotations

import gzip
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from revati.profile import files
from revati.profile.schema import ProfileError, Record

CSV = """family,duration_ns,m,n,k,a,b,d,q_lengths,kv_lengths,q_heads,kv_heads,head_dim,q_dtype,kv_dtype,pinned,kind,bytes
gemm,21500.5,64,4096,4096.0,bf16,bf16,bf16,,,,,,,,,,
attention,9000,,,,,,,1 1 512,900 17 512,32,8,128,bf16,bf16,,,

"copy",1500,,,,,,,,,,,,,,False,host_to_device,4096
"""


def rows() -> list[dict[str, Any]]:
    return [
        {
            "family": "gemm",
            "duration_ns": 21500.5,
            "m": 64.0,
            "n": 4096.0,
            "k": 4096.0,
            "a": "bf16",
            "b": "bf16",
        }
        | {"d": "bf16", "q_lengths": None},
        {"family": "attention", "duration_ns": 9000.0, "q_lengths": [1, 1, 512], "kv_lengths": [900, 17, 512]}
        | {"q_heads": 32, "kv_heads": 8, "head_dim": 128, "q_dtype": "bf16", "kv_dtype": "bf16"},
        {"family": "copy", "duration_ns": 1500.0, "pinned": False, "kind": "host_to_device", "bytes": 4096},
    ]


def check(records: list[Record]) -> None:
    gemm, attention, copy = records
    assert gemm.features == {"m": 64, "n": 4096, "k": 4096, "a": "bf16", "b": "bf16", "d": "bf16"}
    assert (gemm.duration_ns, gemm.method, gemm.count) == (21500.5, "cupti", 1)
    assert attention.features["kv_lengths"] == (900, 17, 512)
    assert copy.features == {"kind": "host_to_device", "bytes": 4096, "pinned": False}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv(tmp_path: Path) -> None:
    header, records = files.read(write(tmp_path, CSV))
    assert header.source == "imported from mine.csv"
    check(records)
    (tmp_path / "mine.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + CSV.encode()))
    check(files.read(tmp_path / "mine.csv.gz")[1])


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    names = sorted({name for row in rows() for name in row})
    table = pyarrow.table({name: [row.get(name) for row in rows()] for name in names})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "mine.parquet")
    check(files.read(tmp_path / "mine.parquet")[1])


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("family,", "kind,"), 1, "there twice"),
        (("family,", "sort,"), 1, "unknown column 'sort'"),
        (("duration_ns,m", "count,m"), 1, "no column duration_ns"),
        (("gemm,", "gem,"), 2, "unknown family 'gem'"),
        (("21500.5", "fast"), 2, "duration_ns is 'fast'"),
        (("21500.5", "nan"), 2, "duration_ns is nan"),
        (("21500.5", ""), 2, "no duration_ns"),
        (("21500.5", "-1"), 2, "duration_ns is -1"),
        ((",64,", ",64.5,"), 2, "feature m is '64.5'"),
        ((",64,", ",-64,"), 2, "feature m is -64"),
        ((",64,", f",{'9' * 5000},"), 2, "feature m"),
        ((",64,", ",,"), 2, "needs the features m"),
        (("bf16,bf16,bf16,,", "bf16,bf16,half,,"), 2, "feature d is 'half'"),
        (("gemm,21500.5", "gemm,21500.5,1"), 2, "19 values for 18 columns"),
        (("1 1 512", "1 1 x"), 3, "feature q_lengths"),
        (("1 1 512", "1 1"), 3, "differ in length"),
        (("attention,9000,,", "attention,9000,3,"), 3, "no feature 'm'"),
        (("False", "0"), 5, "feature pinned"),
        (('"copy"', '"co\npy"'), 5, "no CSV"),
        (('"copy"', "co\udc80py"), 5, "UTF-8"),
        (('"copy"', "=cmd()"), 5, "unknown family"),
    ],
)
def test_what_is_wrong_is_said_by_line(
    tmp_path: Path, change: tuple[str, str], line: int, message: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(CSV.replace(*change, 1).encode(errors="surrogateescape"))
    with pytest.raises(ProfileError) as error:
        files.read(path)
    assert f"{path}: line {line}: " in str(error.value)
    assert message in str(error.value)


def test_empty_torn_and_endless_files_are_refused(tmp_path: Path) -> None:
    for text in ("", "\n\n"):
        with pytest.raises(ProfileError, match="empty file"):
            files.read(write(tmp_path, text))
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(CSV.encode())[:-12])
    with pytest.raises(ProfileError, match="cannot be read"):
        files.read(tmp_path / "torn.csv.gz")
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(CSV.encode() + b"1" * (64 << 20)))
    with pytest.raises(ProfileError, match="too long"):
        files.read(tmp_path / "bomb.csv.gz")
    with pytest.raises(ProfileError, match="columns"):
        files.read(write(tmp_path, ",".join(["family", "duration_ns", *map(str, range(300))])))


def fuzz(path: Path, whole: bytes, times: int) -> None:
    chance = random.Random(7)
    for _ in range(times):
        damaged = bytearray(whole)
        for _change in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged[: chance.randint(len(damaged) // 2, len(damaged))])
        try:
            files.read(path)
        except ProfileError:
            continue


def test_damage_never_does_more_than_a_profile_error(tmp_path: Path) -> None:
    fuzz(tmp_path / "fuzz.csv", CSV.encode(), 500)


def test_damaged_parquet_never_does_more_than_a_profile_error(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for compression in ("none", "zstd"):
        path = tmp_path / f"{compression}.parquet"
        parquet.write_table(
            pyarrow.table(
                {"family": ["gemm"] * 3, "duration_ns": [1.0, 2.0, 3.0], "q_lengths": [[1], [2, 3], None]}
            ),
            path,
            compression=compression,
        )
        fuzz(path, path.read_bytes(), 150)
    with pytest.raises(ProfileError, match="cannot be read"):
        files.read(tmp_path / "none.parquet")


class Intruder:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("import pathlib; pathlib.Path('run-by-a-profile').touch()",)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.parquet", "a.pkl"])
def test_a_profile_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(Intruder())
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(ProfileError):
        files.read(tmp_path / name)
    assert not Path("run-by-a-profile").exists()
