"""What a client sends after its handshake, taken apart: the plain messages, and the rest.

Nearly all that comes is text in one frame. wsproto and trio-websocket take some 15 µs for each,
because they handle all that the RFC allows; this takes 3. It cuts out what is beyond doubt, and
leaves the rest to wsproto, so that there is still one judge of what is legal:

- A *plain* message is one whole frame: final, text, masked, no reserved bits, its length written
  the short way and within the limit, its payload UTF-8. It is cut out.
- Pings, pongs, and plain messages that nobody wants yet, are passed on whole.
- Anything else is passed on, and all that comes behind it: fragments, binaries, a close, what is
  too large or wrong. From then on wsproto reads alone.

What is plain so far is held back until all of it is there. So wsproto is always between two
frames and two messages, and does not see that something was cut out.
"""

from __future__ import annotations

import sys
from typing import Final

_TEXT, _PING, _PONG = 0x81, 0x89, 0x8A  # final, no reserved bits (RFC 6455 §5.2)
_WHOLE: Final = frozenset((_TEXT, _PING, _PONG))
_MASKED: Final = 0x80
_SHORT_MAX: Final = 125
_IN_TWO_BYTES: Final = 126  # instead of a length, which is in the next two bytes then
_UNKNOWN: Final = sys.maxsize
_NOT_PLAIN: Final = (0, 0)


class FrameReader:
    """See the module. A message of more than *message_bytes_max* bytes is not plain."""

    __slots__ = ("_held", "_message_bytes_max", "_passes_all")

    def __init__(self, message_bytes_max: int) -> None:
        self._message_bytes_max = message_bytes_max
        self._held = b""
        self._passes_all = False

    def read(self, data: bytes, *, cut: bool = True) -> tuple[list[str], bytes]:
        """The messages that *data* completes, and what is left of it for wsproto.

        Without *cut* no message is taken out, and all frames are left.
        """
        messages: list[str] = []
        if self._passes_all:
            return messages, data
        if self._held:
            data, self._held = self._held + data, b""
        left, start = b"", 0
        while start < len(data):
            payload, end = self._measure(data, start)
            if end > len(data):
                self._held = data[start:]
                break
            text = _text(data, payload, end) if data[start] == _TEXT and payload else None
            if not payload or (text is None and data[start] == _TEXT):
                self._passes_all = True
                return messages, left + data[start:]
            if text is not None and cut:
                messages.append(text)
            else:
                left += data[start:end]
            start = end
        return messages, left

    def _measure(self, data: bytes, start: int) -> tuple[int, int]:
        """Where the payload of the frame at *start* begins and ends, if that can be plain."""
        first = data[start]
        if first not in _WHOLE:
            return _NOT_PLAIN
        if len(data) < start + 2:
            return start, _UNKNOWN
        length, payload = data[start + 1] - _MASKED, start + 6
        if length == _IN_TWO_BYTES and first == _TEXT:
            if len(data) < start + 4:
                return start, _UNKNOWN
            length, payload = data[start + 2] << 8 | data[start + 3], start + 8
            if length <= _SHORT_MAX:
                return _NOT_PLAIN
        elif not 0 <= length <= _SHORT_MAX:
            return _NOT_PLAIN
        if length > self._message_bytes_max:
            return _NOT_PLAIN
        return payload, payload + length


def _text(data: bytes, payload: int, end: int) -> str | None:
    """The text between *payload* and *end*, behind its mask; none if it is not UTF-8."""
    length = end - payload
    mask = data[payload - 4 : payload] * (length // 4 + 1)
    # One exclusive-or of two large numbers: the fastest that Python has for short payloads.
    number = int.from_bytes(data[payload:end], "little")
    number ^= int.from_bytes(mask[:length], "little")
    try:
        return str(number.to_bytes(length, "little"), "utf-8")
    except UnicodeDecodeError:
        return None
