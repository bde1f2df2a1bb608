"""Profiles: what is written is what is read, and nothing else gets in."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from revati.profile import files
from revati.profile.schema import FAMILIES, Header, Kernel, ProfileError, Record, Value

HEADER = Header(
    source="test",
    gpu="NVIDIA H200",
    driver="580.159.04",
    versions={"torch": "2.11.0"},
    method="graph",
    time="2026-11-21T10:00:00Z",
    notes={"sm": 1980},
)
GEMM: dict[str, Value] = {"m": 64, "n": 128256, "k": 4096, "a": "bf16", "b": "bf16", "d": "bf16"}
ATTENTION: dict[str, Value] = {
    "q_lengths": (1, 1, 512),
    "kv_lengths": (900, 17, 512),
    "q_heads": 32,
    "kv_heads": 8,
    "head_dim": 128,
    "q_dtype": "bf16",
    "kv_dtype": "bf16",
}


def sample() -> list[Record]:
    kernel = Kernel("nvjet_hsh", (132, 1, 1), (384, 1, 1), 231424, 1500.0)
    return [
        HEADER.record("gemm", GEMM, 251340.5, 0.004, 24),
        Record(
            "attention", ATTENTION, 9000.0, 0.0, 1, "other", "NVIDIA H100", "1", {}, "cupti", "t", (kernel,)
        ),
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.xz", ".parquet"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"profile{suffix}"
    files.write(path, HEADER, sample())
    assert files.read(path) == (HEADER, sample())
    first = path.read_bytes()
    files.write(path, HEADER, sample())
    assert path.read_bytes() == first


@pytest.mark.parametrize("family", ["attention", "norm", "gemm"])
def test_any_family_may_be_known_by_its_launch_alone(tmp_path: Path, family: str) -> None:
    """vLLM launches small helpers of attention that have no lengths."""
    launch: dict[str, Value] = {"bytes": 4096, "kernel": "helper", "grid": (8, 1, 1), "block": (128, 1, 1)}
    records = [HEADER.record(family, launch, 1500.0, 0.0, 3)]
    path = tmp_path / "profile.jsonl"
    files.write(path, HEADER, records)
    assert files.read(path) == (HEADER, records)


def test_a_line_leaves_out_what_the_header_says(tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    files.write(path, HEADER, sample())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert set(lines[1]) == {"family", "features", "duration_ns", "spread", "count"}
    assert lines[2]["gpu"] == "NVIDIA H100"


def test_the_key_tells_what_was_measured_and_nothing_else() -> None:
    one, other = sample()
    assert one.key != other.key
    assert one.key == HEADER.record("gemm", dict(reversed(list(GEMM.items()))), 1.0, 0.5, 3).key
    assert one.key != HEADER.record("gemm", GEMM | {"m": 65}, 1.0, 0.5, 3).key


def test_every_family_of_the_native_code_is_here() -> None:
    header = Path(__file__).parents[3] / "native" / "cost" / "features.h"
    body = header.read_text().split("enum class Family")[1].split("};")[0].split("{")[1]
    native = {name.strip() for name in body.split(",")} - {"count_", ""}
    assert native <= set(FAMILIES)


BAD_RECORDS: list[tuple[dict[str, Any], str]] = [
    ({"family": "gem"}, "unknown family"),
    ({"features": {**GEMM, "q": 1}}, "no feature 'q'"),
    ({"features": {"m": 1}}, "needs the features"),
    ({"features": {**GEMM, "m": "64"}}, "feature m"),
    ({"features": {**GEMM, "m": True}}, "feature m"),
    ({"features": {**GEMM, "m": -1}}, "feature m"),
    ({"features": {**GEMM, "a": "bfloat16"}}, "feature a"),
    ({"duration_ns": 0}, "duration_ns"),
    ({"duration_ns": 1e300}, "duration_ns"),
    ({"spread": -0.1}, "spread"),
    ({"count": 0}, "count"),
    ({"count": 1.5}, "count"),
    ({"method": "guess"}, "method"),
    ({"gpu": ""}, "gpu"),
    ({"versions": {"torch": 2}}, "versions"),
    ({"kernels": [{"name": "x"}]}, "a kernel has exactly"),
    ({"surprise": 1}, "unknown fields"),
]


@pytest.mark.parametrize(("change", "message"), BAD_RECORDS)
def test_a_malformed_record_is_refused_by_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    good = {"family": "gemm", "features": GEMM, "duration_ns": 5.0, "spread": 0.0, "count": 1}
    path = tmp_path / "bad.jsonl"
    path.write_text(
        json.dumps(HEADER.to_json()) + "\n" + json.dumps(good) + "\n" + json.dumps({**good, **change}) + "\n"
    )
    with pytest.raises(ProfileError, match="line 3") as error:
        files.read(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null\n",
        '{"revati_profile": 2}',
        '{"revati_profile": 1}',
        "\x00\xff",
        "{" * 100_000,
        '{"a": NaN}',
    ],
)
def test_a_file_without_a_header_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ProfileError, match="line 1"):
        files.read(path)


def test_damaged_compression_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl.gz"
    files.write(path, HEADER, sample())
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ProfileError, match="cannot be read"):
        files.read(path)
    with pytest.raises(ProfileError, match="cannot be read"):
        files.read(tmp_path / "none.jsonl")


def test_a_small_file_that_unpacks_to_a_huge_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(b"[" * (64 << 20)))
    with pytest.raises(ProfileError, match="too long"):
        files.read(path)


def test_random_damage_never_does_more_than_a_profile_error(tmp_path: Path) -> None:
    source = random.Random(5)
    path = tmp_path / "profile.jsonl"
    files.write(path, HEADER, sample())
    whole = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        for _change in range(source.randint(1, 6)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        path.write_bytes(damaged[: source.randint(0, len(damaged))])
        try:
            files.read(path)
        except ProfileError:
            continue
