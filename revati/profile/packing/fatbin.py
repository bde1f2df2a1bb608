"""Keeps one GPU architecture's code in a library's fat binaries, in place.

A CUDA library's `.nv_fatbin` section is a row of containers, each a header and entries (machine code or PTX of one
architecture). Entries of other architectures are dropped, those that stay move to the front, the container's size field
is rewritten, and what is freed becomes zeros: the file's size, every address and every relocation stay as they are,
and the zeros cost nothing once compressed. Field offsets were found by reading libraries, and checked with cuobjdump.
"""

from __future__ import annotations

import importlib
import io
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from elftools.elf.elffile import ELFFile

_MAGIC: Final = 0xBA55ED50
_CONTAINER: Final = struct.Struct("<IHHQ")  # magic, version, header bytes, bytes of all entries
_ENTRY: Final = struct.Struct("<HHIQI")  # kind, version, header bytes, payload bytes, compressed bytes
_ARCH_AT: Final = 0x1C
_FLAGS_AT: Final = 0x28
_ELF: Final = 2
_ZSTD: Final = 0x8000
_LZ4: Final = 0x2000
_KERNEL: Final = re.compile(rb"\.text\.([A-Za-z_][\w$.]*)")


class FatbinError(ValueError):
    """A library whose fat binaries are not of the form that we know."""


@dataclass(frozen=True)
class Entry:
    """One architecture's code in a container; offsets into the section."""

    begin: int
    header_bytes: int
    payload_bytes: int
    compressed_bytes: int
    kind: int
    arch: int
    flags: int

    @property
    def end(self) -> int:
        """Where the next entry begins."""
        return self.begin + self.header_bytes + self.payload_bytes


@dataclass(frozen=True)
class Container:
    """One fat binary; offsets into the section."""

    begin: int
    header_bytes: int
    entries: tuple[Entry, ...]

    @property
    def end(self) -> int:
        """End of the last entry."""
        return self.entries[-1].end if self.entries else self.begin + self.header_bytes


@dataclass
class Report:
    """What stripping did, in bytes of code."""

    containers: int = 0
    before: int = 0
    after: int = 0
    without_arch: int = 0  # containers that have no code for the architecture


def strip_library(
    data: bytearray, arch: int, *, keep_foreign: bool = True, only: str | None = None
) -> Report:
    """Strips a library's image in place.

    Args:
        data: The whole file.
        arch: Architecture to keep, e.g. 90 (its variants, such as 90a, have the same number).
        keep_foreign: A container without code for `arch` keeps its smallest entry whole, so that it still loads as
            before; otherwise that entry's code becomes zeros, too (its kernels cannot run on that GPU anyway).
        only: Keep just machine code with a kernel whose mangled name matches this regular expression.

    Raises:
        FatbinError: The section is not made as expected.
    """
    section: Any = ELFFile(io.BytesIO(data)).get_section_by_name(".nv_fatbin")
    if section is None:
        raise FatbinError("no .nv_fatbin section")
    begin, size = section["sh_offset"], section["sh_size"]
    view = memoryview(data)[begin : begin + size]
    try:
        return strip_section(view, arch, keep_foreign=keep_foreign, only=only)
    finally:
        view.release()


def strip_section(
    section: memoryview, arch: int, *, keep_foreign: bool = True, only: str | None = None
) -> Report:
    """Strips the bytes of one `.nv_fatbin` section in place; see `strip_library`."""
    report = Report()
    pattern = re.compile(only) if only else None
    for container in list(containers(section)):
        report.containers += 1
        report.before += container.end - container.begin - container.header_bytes
        wanted = [entry for entry in container.entries if entry.kind == _ELF and entry.arch == arch]
        if pattern is not None:
            wanted = [entry for entry in wanted if _has_kernel(section, entry, pattern)]
        blank = False
        if not wanted and container.entries:
            report.without_arch += 1
            wanted = [min(container.entries, key=lambda entry: entry.payload_bytes)]
            blank = not keep_foreign or pattern is not None
        report.after += _rewrite(section, container, wanted, blank)
    return report


def containers(section: memoryview) -> Iterator[Container]:
    """Walks the section.

    Raises:
        FatbinError: Sizes do not add up.
    """
    position = 0
    while position + _CONTAINER.size <= len(section):
        magic, _, header_bytes, total = _CONTAINER.unpack_from(section, position)
        if magic != _MAGIC:
            position += 8  # padding between containers
            continue
        end = position + header_bytes + total
        if end > len(section) or header_bytes < _CONTAINER.size:
            raise FatbinError(f"the container at {position} ends outside of its section")
        yield Container(position, header_bytes, tuple(_entries(section, position + header_bytes, end)))
        position = end


def _entries(section: memoryview, position: int, end: int) -> Iterator[Entry]:
    while position < end:
        kind, _, header_bytes, payload_bytes, compressed = _ENTRY.unpack_from(section, position)
        if header_bytes < _FLAGS_AT + 8 or position + header_bytes + payload_bytes > end:
            raise FatbinError(f"the entry at {position} ends outside of its container")
        arch = struct.unpack_from("<I", section, position + _ARCH_AT)[0]
        flags = struct.unpack_from("<Q", section, position + _FLAGS_AT)[0]
        yield Entry(position, header_bytes, payload_bytes, compressed, kind, arch, flags)
        position += header_bytes + payload_bytes


def _rewrite(section: memoryview, container: Container, wanted: Sequence[Entry], blank: bool) -> int:
    """Puts the wanted entries first and zeros after them. Returns the bytes of code that stay."""
    code = bytearray()
    for entry in wanted:
        code += section[entry.begin : entry.begin + entry.header_bytes]
        payload_begin = entry.begin + entry.header_bytes
        code += bytes(entry.payload_bytes) if blank else section[payload_begin : entry.end]
    first = container.begin + container.header_bytes
    section[first : container.end] = bytes(code).ljust(container.end - first, b"\0")
    struct.pack_into("<Q", section, container.begin + 8, len(code))
    return 0 if blank else len(code)


def _has_kernel(section: memoryview, entry: Entry, pattern: re.Pattern[str]) -> bool:
    payload = bytes(section[entry.begin + entry.header_bytes : entry.end])
    if entry.flags & _ZSTD:
        payload = _unzstd(payload[: entry.compressed_bytes])
    elif entry.flags & _LZ4:
        raise FatbinError("LZ4-compressed code: kernel names cannot be read")
    return any(pattern.search(name.decode()) for name in set(_KERNEL.findall(payload)))


def _unzstd(data: bytes) -> bytes:
    try:
        zstandard = importlib.import_module("zstandard")  # only where kernels are chosen by name
    except ImportError:
        raise FatbinError("choosing kernels by name needs the zstandard package") from None
    return bytes(zstandard.ZstdDecompressor().decompressobj().decompress(data))
