"""The frames of a client after its handshake, taken apart and judged: RFC 6455 §5.

There is one judge of what is legal, and this is it; the tests hold it against wsproto. It is so
narrow that it can be read at one sitting: a server without extensions, which is spoken to in text,
or in bytes where the subprotocol is Protocol Buffers.

The work that a client can cause is bounded, whatever it sends and however it is cut:
- The work is linear in the bytes. Of what is not whole, a head is held, which is 13 bytes at most,
  or a payload that grows in place.
- `read` takes so many frames at a time and leaves the rest for the next time (`has_more`), so that
  its caller can let others go first. A frame may have no bytes at all but six of head.
- A message is refused when it *declares* too much, in one frame or in the sum of its fragments, and
  when it comes in too many of these.
- A pong is dropped: that something was heard is all that it says.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.protocol.closing import Closing
from tocsin.server.websocket.ended import Ended

FRAMES_MAX: Final = 32
"""Frames taken at a time: a third of a millisecond, if each is a message for an actor."""
FRAGMENTS_MAX: Final = 256
"""Fragments of one message. A client with a reason to send so small ones has few of them."""

# The bits of a frame's first two bytes, and the opcodes (RFC 6455 §5.2).
_FINAL, _RESERVED, _OPCODE, _MASKED = 0x80, 0x70, 0x0F, 0x80
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA  # opcodes
_OPCODES: Final = frozenset((_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG))
_WHOLE_TEXT: Final = _FINAL | _TEXT
_WHOLE_BINARY: Final = _FINAL | _BINARY
_OTHER_TYPE: Final = {
    _TEXT: "Frames are Protocol Buffers as bytes; this one is text.",
    _BINARY: "Frames are JSON as text; this one is binary.",
}
_CONTROLS: Final = frozenset(_FINAL | opcode for opcode in (_CLOSE, _PING, _PONG))
_SHORT_MAX: Final = 125
"""Bytes whose number stands in the second byte itself; control frames have no more (RFC 6455
§5.5)."""
_IN_TWO_BYTES, _IN_EIGHT_BYTES = 126, 127  # instead of a length, which follows then

# RFC 6455 §7.4: of those below 3000, what a peer may send. The others never go over the wire.
_CLOSE_CODES: Final = frozenset((1000, 1001, 1002, 1003, *range(1007, 1014)))
_FREE_CLOSE_CODES: Final = range(3000, 5000)


class Reading(msgspec.Struct):
    """The findings of one `read`.

    *pings* are payloads to answer. *close* is the payload of a legal close frame; *wrong* is why
    this side has to end. One of the two is the last thing that was read, or neither.
    """

    messages: list[str | bytes] = []
    pings: list[bytes] = []
    frames: int = 0
    close: bytes | None = None
    wrong: Ended | None = None


class FrameReader:
    """See the module. A message has at most *message_bytes_max* bytes; that may change.

    Messages are text, and are read as `str`, unless they *are_binary*.
    """

    __slots__ = (
        "_are_binary",
        "_first",
        "_fragments",
        "_has_ended",
        "_held",
        "_mask",
        "_payload",
        "_text",
        "_whole",
        "has_more",
        "message_bytes_max",
        "missing",
    )

    def __init__(self, message_bytes_max: int, *, are_binary: bool = False) -> None:
        self.message_bytes_max = message_bytes_max
        self._are_binary = are_binary
        self._whole = _WHOLE_BINARY if are_binary else _WHOLE_TEXT
        self.has_more = False
        """Whether there is something left to read before new bytes are needed."""
        self.missing = 0
        """How many bytes the payload that has begun still lacks."""
        self._held = b""
        self._payload: bytearray | None = None  # begun, and not whole
        self._first = 0
        self._mask = b""
        self._text: bytearray | None = None  # the content of a message that comes in fragments
        self._fragments = 0
        self._has_ended = False

    def read(self, data: bytes, frames_max: int = FRAMES_MAX) -> Reading:
        """The frames that *data* completes, at most so many. After the end, nothing."""
        reading = Reading()
        if self._has_ended:
            return reading
        if self._held:
            data, self._held = self._held + data, b""
        try:
            at = self._read(data, reading, frames_max)
        except Ended as wrong:
            reading.wrong = wrong
        if reading.wrong is not None or reading.close is not None:
            self._has_ended, self.has_more, self.missing = True, False, 0
            self._payload = self._text = None
            return reading
        self.has_more = at < len(data) and reading.frames >= frames_max
        self._held = data[at:]
        return reading

    def _read(self, data: bytes, reading: Reading, frames_max: int) -> int:
        """Take frames from *data*; where the first begins that was left."""
        at, size, whole = 0, len(data), self._whole
        while at < size and reading.frames < frames_max and reading.close is None:
            if self._payload is None and self._text is None and data[at] == whole:
                start, end = self._plain(data, at)
                if end:
                    reading.frames += 1
                    content = _unmasked(data[start:end], data[start - 4 : start])
                    reading.messages.append(content if self._are_binary else _text(content))
                    at = end
                    continue
            if self._payload is not None:
                rest = data[at : at + self.missing]
                self._payload += rest
                self.missing -= len(rest)
                at += len(rest)
                if self.missing:
                    break
                first, mask, payload = self._first, self._mask, bytes(self._payload)
                self._payload = None
            else:
                start, length = self._measure(data, at)
                if start > size:
                    break
                first, mask = data[at], data[start - 4 : start]
                at = min(start + length, size)
                payload = data[start:at]
                if len(payload) < length:
                    self._first, self._mask, self._payload = first, mask, bytearray(payload)
                    self.missing = length - len(payload)
                    break
            reading.frames += 1
            self._take(first, _unmasked(payload, mask) if payload else payload, reading)
        return at

    def _plain(self, data: bytes, at: int) -> tuple[int, int]:
        """Where the payload of a whole text frame at *at* begins and ends, if all of it is there.

        Nearly all frames are like this, and this is a third of what the others cost. A frame that
        is in any way unusual is left to `_measure`, which says what is wrong with it.
        """
        size = len(data)
        if size < at + 8:
            return 0, 0
        length, start = data[at + 1] - _MASKED, at + 6
        if length == _IN_TWO_BYTES:
            length, start = data[at + 2] << 8 | data[at + 3], at + 8
            if length < _IN_TWO_BYTES:
                return 0, 0
        elif not 0 < length <= _SHORT_MAX:
            return 0, 0
        end = start + length
        return (start, end) if end <= size and length <= self.message_bytes_max else (0, 0)

    def _measure(self, data: bytes, at: int) -> tuple[int, int]:
        """Where the payload of the frame at *at* begins, and its length.

        It begins behind the end of *data* if the head is not whole. Raises `Ended` for a head that
        is not legal, or that declares too much.
        """
        size = len(data)
        if size < at + 2:
            return size + 1, 0
        first, length = data[at], data[at + 1] - _MASKED
        self._check(first, length)
        start = at + 6
        if length == _IN_TWO_BYTES:
            start = at + 8
            if size < start:
                return start, 0
            length = data[at + 2] << 8 | data[at + 3]
            if length < _IN_TWO_BYTES:
                raise _malformed("A length that fits one byte is written in one.")
        elif length == _IN_EIGHT_BYTES:
            start = at + 14
            if size < start:
                return start, 0
            length = int.from_bytes(data[at + 2 : at + 10], "big")
            if length >> 63:
                raise _malformed("A length has 63 bits at most.")
            if length >> 16 == 0:
                raise _malformed("A length that fits two bytes is written in two.")
        if first & _OPCODE < _CLOSE:
            before = 0 if self._text is None else len(self._text)
            if before + length > self.message_bytes_max:
                raise self._too_large(before, length)
        return start, length

    def _check(self, first: int, length: int) -> None:
        """Raise `Ended` if a frame must not begin like this; *length* is its second byte's."""
        if first in _CONTROLS:
            if 0 <= length <= _SHORT_MAX:
                return
        elif self._text is None and first == self._whole and length >= 0:
            return
        opcode = first & _OPCODE
        if opcode not in _OPCODES:
            raise _malformed(f"There is no opcode {opcode:#x}.")
        if first & _RESERVED:
            raise _malformed("A reserved bit is set, and no extension was agreed on.")
        if length < 0:
            raise _malformed("A client's frames are masked.")
        if opcode >= _CLOSE:
            if not first & _FINAL:
                raise _malformed("A control frame has no fragments.")
            if length > _SHORT_MAX:
                raise _malformed(f"A control frame carries {_SHORT_MAX} bytes at most.")
        elif opcode == _CONTINUATION:
            if self._text is None:
                raise _malformed("A continuation frame continues nothing.")
            if self._fragments >= FRAGMENTS_MAX:
                raise _malformed(f"A message has {FRAGMENTS_MAX} fragments at most.")
        elif self._text is not None:
            raise _malformed("A message begins within the fragments of another one.")
        elif opcode != self._whole & _OPCODE:
            raise _malformed(_OTHER_TYPE[opcode])

    def _take(self, first: int, payload: bytes, reading: Reading) -> None:
        if first == self._whole:
            reading.messages.append(self._content(payload))
            return
        opcode = first & _OPCODE
        if opcode < _CLOSE:
            self._join(payload, reading, is_last=first >= _FINAL)
        elif opcode == _PING:
            reading.pings.append(payload)
        elif opcode == _CLOSE:
            _check_close(payload)
            reading.close = payload

    def _join(self, payload: bytes, reading: Reading, *, is_last: bool) -> None:
        if self._text is None:
            self._text, self._fragments = bytearray(), 0
        self._text += payload
        self._fragments += 1
        if is_last:
            reading.messages.append(self._content(self._text))
            self._text = None

    def _content(self, payload: bytes | bytearray) -> str | bytes:
        return bytes(payload) if self._are_binary else _text(payload)

    def _too_large(self, before: int, length: int) -> Ended:
        declared = f"{length} more are declared after {before}" if before else f"{length} declared"
        detail = f"A frame may have {self.message_bytes_max} bytes; {declared}."
        return Ended(Closing.FRAME_TOO_LARGE, detail)


def _malformed(detail: str) -> Ended:
    return Ended(Closing.MALFORMED, detail)


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    length = len(payload)
    # One exclusive-or of two large numbers: the fastest that Python has.
    number = int.from_bytes(payload, "little")
    number ^= int.from_bytes((mask * (length // 4 + 1))[:length], "little")
    return number.to_bytes(length, "little")


def _text(payload: bytes | bytearray) -> str:
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        raise _malformed("Text is UTF-8.") from None


def _check_close(payload: bytes) -> None:
    """Raise `Ended` unless *payload* may stand in a close frame (§5.5.1)."""
    if not payload:
        return
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or (code not in _CLOSE_CODES and code not in _FREE_CLOSE_CODES):
        raise _malformed("A close frame carries nothing, or a code that may be sent.")
    _text(payload[2:])
