"""Makes a cubin with one kernel and one variable: as much of the format as a loader of metadata reads."""

from __future__ import annotations

import struct

PARAMETERS = (
    (0, 8),
    (8, 8),
    (16, 4),
    (20, 20),
)  # offset and size in bytes of each parameter of the kernel `add`
REGISTERS = 24
COUNTER = (7, 8, 9, 10)  # the variable `counter`: four 32-bit numbers


def _attribute(number: int, value: bytes) -> bytes:
    return struct.pack("<BBH", 4, number, len(value)) + value


def cubin(architecture: int = 90) -> bytes:
    """The image, for compute capability `architecture` / 10."""
    strings = b"\0add\0counter\0"
    symbols = bytes(24)
    symbols += struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0, 16)  # add: global function in section 1
    symbols += struct.pack("<IBBHQQ", 5, 0x11, 0, 4, 0, 16)  # counter: global object in section 4
    parameters = b"".join(
        _attribute(0x17, struct.pack("<IHHI", 0, index, offset, size << 18))
        for index, (offset, size) in enumerate(PARAMETERS)
    )
    sections = [
        (b"", 0, b"", 0, 0),
        (b".text.add", 1, bytes(16), 0, 0),
        (b".nv.info.add", 0x70000000, parameters, 6, 1),
        (b".nv.info", 0x70000000, _attribute(0x2F, struct.pack("<II", 1, REGISTERS)), 6, 0),
        (b".nv.global.init", 1, struct.pack("<4i", *COUNTER), 0, 0),
        (b".strtab", 3, strings, 0, 0),
        (b".symtab", 2, symbols, 5, 1),
        (b".shstrtab", 3, b"", 0, 0),
    ]
    names = b"\0" + b"\0".join(name for name, *_ in sections[1:]) + b"\0"
    body, headers = b"", b""
    for name, kind, given, link, info in sections:
        content = names if name == b".shstrtab" else given
        place = names.index(b"\0" + name + b"\0") + 1 if name else 0
        entry = 24 if kind == 2 else 0
        headers += struct.pack(
            "<IIQQQQIIQQ", place, kind, 0, 0, 64 + len(body), len(content), link, info, 8, entry
        )
        body += content + bytes(-len(content) % 8)
    identity = b"\x7fELF\2\1\1\x41\x08" + bytes(7)
    header = identity + struct.pack(
        "<HHIQQQIHHHHHH",
        2,
        190,
        1,
        0,
        0,
        64 + len(body),
        architecture << 8 | 0x6000004,
        64,
        0,
        0,
        64,
        len(sections),
        7,
    )
    return header + body + headers


def fat_binary(*architectures: int) -> bytes:
    """A container of uncompressed cubins, as nvcc writes it."""
    entries = b""
    for architecture in architectures:
        image = cubin(architecture)
        entries += (
            struct.pack("<HHIQIIII", 2, 0x101, 64, len(image), 0, 0, 0, architecture) + bytes(32) + image
        )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries
