"""Counters that native code leaves in the session directory."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

from revati.launcher.session import FAMILIES, SOURCES, Session, Stats, remove_abandoned


def page(cells: dict[tuple[str, str], tuple[int, int]], launches: int = 0, magic: int = 0x31545652) -> bytes:
    """The bytes of a `StatsPage` (native/device/stats.h)."""
    counters = [launches, *range(2, 9), 1000]
    data = bytearray(struct.pack("<IIQ9Q9Q", magic, 3, 4711, *counters, *[0] * 9) + bytes(32 * 8 * 16))
    for (family, source), (count, duration_ns) in cells.items():
        offset = 160 + (FAMILIES.index(family) * 8 + SOURCES.index(source)) * 16
        struct.pack_into("<QQ", data, offset, count, duration_ns)
    return bytes(data)


def test_parses_a_page() -> None:
    stats = Stats.parse(
        page({("gemm", "roofline"): (10, 3_000_000_000), ("norm", "guess"): (2, 1_000_000_000)}, 12)
    )
    assert stats.counters["launches"] == 12
    assert stats.counters["waits"] == 1000
    assert stats.by_source() == {
        "roofline": {"share": 0.75, "seconds": 3.0, "count": 10.0},
        "guess": {"share": 0.25, "seconds": 1.0, "count": 2.0},
    }
    assert stats.by_family() == {"gemm": 3.0, "norm": 1.0}


def test_half_written_or_foreign_pages_count_nothing() -> None:
    assert Stats.parse(b"") == Stats()
    assert Stats.parse(page({("gemm", "model"): (1, 1)}, magic=1)) == Stats()
    assert Stats.parse(page({("gemm", "model"): (1, 1)})[:-1]) == Stats()


def test_threads_have_a_page_each() -> None:
    unused = bytes(len(page({})))
    stats = Stats.parse(page({("gemm", "model"): (1, 5)}, 3) + unused + page({("gemm", "model"): (2, 7)}, 4))
    assert stats.counters["launches"] == 7
    assert stats.duration_ns[("gemm", "model")] == 12


def test_difference_of_two_readings() -> None:
    before = Stats.parse(page({("gemm", "model"): (1, 100)}, 5))
    after = Stats.parse(page({("gemm", "model"): (3, 700), ("copy", "model"): (1, 300)}, 9))
    difference = after - before
    assert difference.counters["launches"] == 4
    assert difference.duration_ns[("gemm", "model")] == 600
    assert difference.by_source()["model"]["share"] == 1.0


def test_session_adds_up_its_processes(tmp_path: Path) -> None:
    for pid in (1, 2):
        (tmp_path / f"stats.{pid}").write_bytes(page({("gemm", "measured"): (1, 50)}, 7))
        (tmp_path / f"log.{pid}").write_text(f"same\nonly {pid}\n\n")
    session = Session(tmp_path)
    assert session.stats().counters["launches"] == 14
    assert sorted(session.warnings()) == ["only 1", "only 2", "same"]


def test_session_of_a_dead_launcher_is_removed(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    (tmp_path / f"revati-{child.pid}-x").mkdir()
    (tmp_path / f"revati-{os.getpid()}-x").mkdir()
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"revati-{os.getpid()}-x"]
