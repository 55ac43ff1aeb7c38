"""WebSocket frames from server to client, as bytes: RFC 6455 §5.2.

A server's frames are not masked, and without extensions they carry no state of the connection. So
the same bytes are right for every connection: a notification that goes to ten thousand devices is
encoded once.
"""

from __future__ import annotations

from struct import Struct

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
"""Opcodes (RFC 6455 §5.2). FIN is set: this server never fragments what it sends."""

_LENGTH_IN_TWO = Struct("!BBH").pack

CONTROL_PAYLOAD_BYTES_MAX = 125
"""RFC 6455 §5.5."""
CLOSE_REASON_BYTES_MAX = CONTROL_PAYLOAD_BYTES_MAX - 2
"""The code takes two."""


def text_frame(payload: bytes) -> bytes:
    """One whole text message. That *payload* is UTF-8 is the caller's promise: it comes from the
    JSON encoder, and checking it again would cost more than sending it."""
    return _header(_TEXT, len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    """One whole binary message."""
    return _header(_BINARY, len(payload)) + payload


def ping_frame(payload: bytes = b"") -> bytes:
    """A ping (§5.5.2). Raises ValueError if *payload* is longer than 125 bytes."""
    if len(payload) > CONTROL_PAYLOAD_BYTES_MAX:
        raise ValueError(f"a ping carries at most {CONTROL_PAYLOAD_BYTES_MAX} bytes")
    return _header(_PING, len(payload)) + payload


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping with this *payload*, which is at most 125 bytes (§5.5.3)."""
    return _header(_PONG, len(payload)) + payload


def close_echo(payload: bytes) -> bytes:
    """The answer to a close frame with this *payload*, which the reader has judged (§5.5.1)."""
    return _header(_CLOSE, len(payload)) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame (§5.5.1). A reason of more than 123 bytes is cut at a character's end.

    Raises ValueError for a code that must not be on the wire: below 1000, above 4999, and 1005,
    1006 and 1015, which only ever describe the absence of a close frame (§7.4).
    """
    if not 1000 <= code <= 4999 or code in {1005, 1006, 1015}:
        raise ValueError(f"{code} is not a close code that may be sent")
    words = reason.encode()[:CLOSE_REASON_BYTES_MAX].decode(errors="ignore").encode()
    return _header(_CLOSE, 2 + len(words)) + code.to_bytes(2, "big") + words


def _header(first: int, length: int) -> bytes:
    # Three forms, and only the shortest that fits is legal (§5.2).
    if length <= 125:
        return bytes((first, length))
    if length <= 0xFFFF:
        return _LENGTH_IN_TWO(first, 126, length)
    return bytes((first, 127)) + length.to_bytes(8, "big")
