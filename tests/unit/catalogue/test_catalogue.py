"""The catalogue: complete, sourced, and clear about what is wrong with a user's file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from revati import catalogue
from revati.catalogue import durations
from revati.errors import UsageError

SPEC_HEADER = Path(__file__).parents[3] / "native" / "device" / "spec.h"


def test_fields_are_those_of_the_native_specification() -> None:
    body = SPEC_HEADER.read_text().split("struct GpuSpec {")[1].split("};")[0]
    members = re.findall(r"^\s*(?:[\w:]+)\s+(\w+)(?:\s*=[^;]*)?;", body, re.MULTILINE)
    assert sorted(members) == sorted(catalogue.FIELDS)


@pytest.mark.parametrize("name", ["h100-sxm", "h200-sxm", "a100-sxm-80gb", "b200", "l40s", "rtx-4090"])
def test_ships(name: str) -> None:
    gpu = catalogue.gpus()[name]
    assert gpu.name == name == gpu.values["catalogue_name"]


def test_every_value_has_a_source_and_a_plausible_size() -> None:
    for name, gpu in catalogue.gpus().items():
        assert set(gpu.sources) == set(gpu.values) == set(catalogue.FIELDS), name
        assert all(gpu.sources.values()), name
        values = gpu.values
        assert 16 * 2**30 < gpu.memory_bytes < 300 * 2**30, name
        # Two transfers a clock: the data sheet's bandwidth follows from the bus.
        bus = 2 * float(values["memory_clock_khz"]) * 1e3 * int(values["memory_bus_bits"]) / 8
        assert float(values["memory_bandwidth"]) == pytest.approx(bus, rel=0.06), name
        assert values["nvlinks"] == 0 or float(values["nvlink_bandwidth"]) > float(
            values["pcie_bandwidth"]
        ), name


def test_aliases_are_unambiguous() -> None:
    names = list(catalogue.gpus())
    aliases = [alias for gpu in catalogue.gpus().values() for alias in gpu.aliases]
    assert len(set(names + aliases)) == len(names) + len(aliases)
    assert catalogue.get("H100").name == "h100-sxm"
    assert catalogue.get("a100").name == "a100-sxm-80gb"


def test_device_conf_lists_every_field_once() -> None:
    conf = catalogue.get("h200").device_conf(2)
    pairs = [line.split(" = ", 1) for line in conf.splitlines()]
    assert pairs[0] == ["gpus", "2"]
    assert [key for key, _ in pairs[1:]] == [f"gpu.{key}" for key in catalogue.FIELDS]
    assert "e+" not in conf
    assert "gpu.name = NVIDIA H200\n" in conf


@pytest.mark.parametrize("count", [0, -1, 65])
def test_device_conf_refuses_odd_counts(count: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 64"):
        catalogue.get("h200").device_conf(count)


def test_unknown_name_shows_near_matches() -> None:
    with pytest.raises(catalogue.UnknownGpuError, match="h200"):
        catalogue.get("h20")
    with pytest.raises(catalogue.UnknownGpuError, match="there are"):
        catalogue.get("zzzzzz")
    with pytest.raises(catalogue.UnknownGpuError, match=r"no GPU file"):
        catalogue.get("./nowhere.toml")


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_user_file_overrides_its_base(tmp_path: Path) -> None:
    name = write(
        tmp_path / "what-if.toml", 'base = "h200-sxm"\n[memory]\nsource = "mine"\nmemory_bandwidth = 9.6e12\n'
    )
    gpu = catalogue.get(name)
    assert gpu.name == "what-if"
    assert gpu.device_name == "NVIDIA H200"
    assert gpu.values["memory_bandwidth"] == 9.6e12
    assert gpu.sources["memory_bandwidth"] == "mine"
    assert gpu.values["l2_bytes"] == catalogue.get("h200").values["l2_bytes"]
    other = write(tmp_path / "second.toml", 'base = "what-if.toml"\n[x]\nsm_count = 7\n')
    assert catalogue.get(other).values["sm_count"] == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base = ", "cannot be read"),
        ('base = "h2oo"', "unknown GPU"),
        ("base = 3", "base must be a name"),
        ('base = "h200"\nsm_count = 3', "outside of a section"),
        ('base = "h200"\n[x]\nsm_cuont = 3', "unknown key sm_cuont"),
        ('base = "h200"\n[x]\ncatalogue_name = "y"', "unknown key"),
        ('base = "h200"\n[x]\nsm_count = "3"', "must be a number"),
        ('base = "h200"\n[x]\nsm_count = true', "must be a number"),
        ('base = "h200"\n[x]\nsm_count = 1.5', "whole number"),
        ('base = "h200"\n[x]\nsm_count = 0', "out of range"),
        ('base = "h200"\n[x]\nsm_count = nan', "out of range"),
        ('base = "h200"\n[x]\nmemory_bytes = -1', "out of range"),
        ('base = "h200"\n[x]\nmemory_bandwidth = inf', "out of range"),
        ('base = "h200"\n[x]\nname = "a\\ngpus = 9"', "a line of text"),
        ('base = "h200"\naliases = "x"', "aliases"),
        ("[x]\nsm_count = 3", "missing name"),
        ('base = "sm90"', "missing name"),
        ('base = "self.toml"', "leads back to itself"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    name = write(tmp_path / "self.toml", text)
    with pytest.raises((catalogue.CatalogueError, catalogue.UnknownGpuError), match=message):
        catalogue.get(name)


def test_trained_models_belong_to_shipped_gpus_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "_FOLDERS", (tmp_path / "none", tmp_path))
    gpu = catalogue.get("h200-sxm")
    assert catalogue.durations_of(gpu) is None
    models = tmp_path / "h200-sxm.rvm"
    models.touch()
    assert catalogue.durations_of(gpu) == models
    copy = write(tmp_path / "h200-sxm.toml", 'base = "h200-sxm"\n[x]\nmemory_bandwidth = 9.6e12\n')
    assert catalogue.durations_of(catalogue.get(copy)) is None
