"""Stripping fat binaries, on hand-made sections."""

from __future__ import annotations

import struct

import pytest

from revati.profile.packing.fatbin import FatbinError, containers, strip_section


def entry(kind: int, arch: int, payload: bytes) -> bytes:
    header = bytearray(64)
    struct.pack_into("<HHIQI", header, 0, kind, 0x101, 64, len(payload), 0)
    struct.pack_into("<I", header, 0x1C, arch)
    return bytes(header) + payload


def container(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def strip(data: bytes, **options: object) -> tuple[bytes, object]:
    image = bytearray(data)
    report = strip_section(memoryview(image), 90, **options)  # type: ignore[arg-type]
    return bytes(image), report


def test_keeps_one_architecture_in_place() -> None:
    wanted = entry(2, 90, b"HOPPER--" * 2)
    data = (
        container(entry(2, 80, b"AMPERE--" * 4), wanted, entry(1, 90, b"ptx-----"))
        + bytes(16)
        + container(wanted)
    )
    stripped, _ = strip(data)
    assert len(stripped) == len(data)
    first, second = containers(memoryview(stripped))
    assert first.begin == 0
    assert stripped[16 : 16 + len(wanted)] == wanted
    assert len(first.entries) == 1
    assert b"AMPERE" not in stripped
    assert b"ptx" not in stripped
    assert stripped[second.begin : second.end] == container(wanted)


def test_foreign_containers_stay_loadable() -> None:
    small, large = entry(2, 80, b"small---"), entry(2, 100, b"large---" * 8)
    kept, report = strip(container(large, small))
    assert b"small---" in kept
    assert b"large---" not in kept
    blanked, _ = strip(container(large, small), keep_foreign=False)
    assert b"small---" not in blanked
    (only,) = containers(memoryview(blanked))
    assert [item.arch for item in only.entries] == [80]
    assert report.without_arch == 1  # type: ignore[attr-defined]


def test_chooses_kernels_by_name() -> None:
    data = container(entry(2, 90, b"\0.text._Zflash_bf16\0...")) + container(
        entry(2, 90, b"\0.text._Zflash_fp16\0...")
    )
    stripped, _ = strip(data, only="bf16")
    assert b"bf16" in stripped
    assert b"fp16" not in stripped


@pytest.mark.parametrize("size", [1 << 40, 8])
def test_sizes_that_do_not_add_up_are_refused(size: int) -> None:
    data = bytearray(container(entry(2, 90, b"payload-")))
    struct.pack_into("<Q", data, 8, size)
    with pytest.raises((FatbinError, struct.error)):
        strip(bytes(data))
