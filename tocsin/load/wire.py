"""Frames of a client's WebSocket (RFC 6455 §5), as light as they can be made.

The mask is four zeros, which is legal and free: a load must not be dearer than what it loads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

TEXT, CLOSE, PING = 1, 8, 9
"""Opcodes (RFC 6455 §5.2)."""
PONG: Final = b"\x8a\x80\0\0\0\0"


def text_frame(payload: bytes) -> bytes:
    """A masked text frame of less than 64 KiB."""
    if len(payload) < 126:
        head = bytes((0x81, 0x80 | len(payload)))
    else:
        head = bytes((0x81, 0xFE)) + len(payload).to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


def take_frames(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Opcodes and payloads of the whole frames in *buffer*, which are taken out of it."""
    offset = 0
    while (frame := _next(buffer, offset)) is not None:
        opcode, start, offset = frame
        yield opcode, bytes(buffer[start:offset])
    del buffer[:offset]


def _next(buffer: bytearray, offset: int) -> tuple[int, int, int] | None:
    """The opcode of the next frame, and where its payload starts and ends; `None` if it is cut."""
    if len(buffer) < offset + 2:
        return None
    length, start = buffer[offset + 1], offset + 2
    extended = {126: 2, 127: 8}.get(length, 0)
    if extended:
        if len(buffer) < start + extended:
            return None
        length = int.from_bytes(buffer[start : start + extended], "big")
        start += extended
    end = start + length
    return None if len(buffer) < end else (buffer[offset] & 0x0F, start, end)
