"""What the host agent and `revati-clockd` say to each other over their socket (native/clock/coordinator/leave.h)."""

from __future__ import annotations

import asyncio
import enum
import struct

_HEADER = struct.Struct("<II")
_REPORT = struct.Struct("<qqQI")
_ARM = struct.Struct("<qq")
_GRANT = struct.Struct("<qQ")
# Of a packet, what the coordinator needs: arrival, from, to.
_PACKET_HEAD = struct.Struct("<qII")
_LARGEST = 64 << 20


class Frame(enum.IntEnum):
    """Kinds, numbered as in leave.h."""

    WANT_ARM = 1
    REPORT = 2
    PACKET = 3
    STOPPED = 4
    ARM = 5
    GRANT = 6
    END = 7


class FrameError(Exception):
    """The clock's side sent something that is no frame."""


async def read(reader: asyncio.StreamReader) -> tuple[Frame, bytes] | None:
    """The next frame; None when the other side has closed the socket.

    Raises:
        FrameError: It is of no known kind, or too large.
    """
    try:
        kind, size = _HEADER.unpack(await reader.readexactly(_HEADER.size))
        if size > _LARGEST or kind not in Frame.__members__.values():
            raise FrameError(f"a frame of kind {kind} and {size} bytes")
        return Frame(kind), await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def frame(kind: Frame, body: bytes = b"") -> bytes:
    """One frame."""
    return _HEADER.pack(kind, len(body)) + body


def arm(virtual_ns: int, realtime_ns: int) -> bytes:
    """Virtual time begins."""
    return frame(Frame.ARM, _ARM.pack(virtual_ns, realtime_ns))


def grant(until_ns: int, packets_sent: int) -> bytes:
    """Time may move up to here, as far as whoever knows of so many packets can tell."""
    return frame(Frame.GRANT, _GRANT.pack(until_ns, packets_sent))


def end(why: str) -> bytes:
    """The group must end."""
    return frame(Frame.END, why.encode())


def parse_report(body: bytes) -> tuple[int, int, int, bool]:
    """Time, next event, packets taken, whether time is held.

    Raises:
        FrameError: It is no report.
    """
    try:
        now_ns, next_ns, taken, held = _REPORT.unpack(body)
    except struct.error as error:
        raise FrameError(f"a report of {len(body)} bytes") from error
    return now_ns, next_ns, taken, bool(held)


def parse_packet(body: bytes) -> tuple[int, int]:
    """Where a packet goes, and when it arrives.

    Raises:
        FrameError: It is no packet.
    """
    try:
        arrival_ns, _, to = _PACKET_HEAD.unpack_from(body)
    except struct.error as error:
        raise FrameError(f"a packet of {len(body)} bytes") from error
    return to, arrival_ns
