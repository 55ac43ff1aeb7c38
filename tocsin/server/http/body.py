"""Where a request's body ends: RFC 9112 §6 and §7.1, without what requests are smuggled with.

Refused: Content-Length beside Transfer-Encoding, more than one of either, codings other than
`chunked`, chunk sizes that are not plain hexadecimal, and lines that do not end with CR LF.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from tocsin.server.request_head import TEXT, BadHead, RequestHead, parse_field

_LENGTH_DIGITS_MAX: Final = 15
"""Digits of Content-Length that are read as a number: up to a petabyte, beyond every limit of
ours."""
_SIZE_DIGITS_MAX: Final = 12
"""Hexadecimal digits of a chunk's size that are read as a number, likewise."""
_LINE_BYTES_MAX: Final = 1024
"""A chunk's size with its extensions, which nobody sends; and all lines of the trailer."""
_AT_A_TIME: Final = 200
"""Chunks. A tiny one costs as much as a large one, so they are counted: a millisecond at most."""
_CHUNKS_FREE: Final = 1024
"""Chunks of any size that a body may have: small requests are in pieces for honest reasons."""
_CHUNK_BYTES_MIN: Final = 4
"""On average, beyond the free ones. A client that writes a byte at a time would cost many times as
much as all others, and go on costing it when it has long gone, with what lies in the kernel's
buffers."""
_SIZE_LINE_MAX: Final = _SIZE_DIGITS_MAX + 2
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")

CHUNKED: Final = -1
"""In place of a length: the body says where it ends as it comes."""


def body_length(head: RequestHead) -> int:
    """The length of *head*'s body in bytes, 0 for none, or `CHUNKED`. Raises `BadHead`."""
    headers = head.headers
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            # RFC 9112 §6.1: two parsers that choose differently are how requests are smuggled.
            raise BadHead(400, "A body has Content-Length or Transfer-Encoding, not both.")
        if head.http_version != "1.1":
            raise BadHead(400, "HTTP/1.0 knows no Transfer-Encoding.")
        if coding.lower() != "chunked":
            raise BadHead(501, "The only transfer coding that is understood here is `chunked`.")
        return CHUNKED
    if length is None:
        return 0
    if not (length.isascii() and length.isdecimal() and len(length) <= _LENGTH_DIGITS_MAX):
        raise BadHead(400, "There is one Content-Length, and it is a number.")
    return int(length)


def check_coding(head: RequestHead) -> None:
    """Raise `BadHead` (415) for a body that is compressed: its size would be anybody's guess."""
    coding = head.headers.get("content-encoding")
    if coding is not None and coding.strip().lower() not in {"", "identity"}:
        raise BadHead(
            415, "Compressed bodies are not read here.", headers=(("Accept-Encoding", "identity"),)
        )


class _State(Enum):
    SIZE = "a chunk's size"
    DATA = "a chunk"
    DATA_END = "the end of a chunk"
    TRAILER = "the trailer"
    DONE = "the end"


class ChunkedBody:
    """Takes a chunked body apart as it comes; `feed` what is read, in pieces of any size, until it
    has `ended`."""

    __slots__ = ("_chunks_left", "_left", "_line", "_state", "_trailer_bytes")

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._line = bytearray()
        self._left = 0
        self._trailer_bytes = 0
        self._chunks_left = float(_CHUNKS_FREE)

    @property
    def ended(self) -> bool:
        """Whether the last chunk and the trailer have come."""
        return self._state is _State.DONE

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The part of the body in *data*, and the rest: that lies behind the body's end, or
        there were so many chunks that others are to run before it is fed again.

        Raises `BadHead` (400) for what is not chunked.
        """
        parts: list[bytes] = []
        start = lines = 0
        while start < len(data) and self._state is not _State.DONE and lines < 2 * _AT_A_TIME:
            if self._state is _State.SIZE and not self._line:
                before, start = start, self._whole_chunks(data, start, parts)
                if start > before:
                    lines += _AT_A_TIME
                    continue
            if self._state is _State.DATA:
                part = data[start : start + self._left]
                parts.append(part)
                start += len(part)
                self._left -= len(part)
                if not self._left:
                    self._state = _State.DATA_END
                continue
            end = data.find(b"\n", start) + 1
            self._line += data[start : end or len(data)]
            start = end or len(data)
            if len(self._line) + self._trailer_bytes > _LINE_BYTES_MAX:
                raise BadHead(400, f"A line of the chunked body is too long: {self._state.value}.")
            if end:
                lines += 1
                self._end_line()
        return b"".join(parts), data[start:]

    def _whole_chunks(self, data: bytes, start: int, parts: list[bytes]) -> int:
        """Take plain chunks that are here whole, as nearly all are, for a fraction of the price.

        Returns where they end; the rest is for `feed` to judge.
        """
        for _ in range(_AT_A_TIME):
            end = data.find(b"\r\n", start, start + _SIZE_LINE_MAX)
            digits = data[start:end]
            if end < 0 or not _HEX.issuperset(digits):
                break
            size = int(digits or b"0", 16)
            behind = end + 2 + size
            if not size or data[behind : behind + 2] != b"\r\n":
                break
            parts.append(data[end + 2 : behind])
            start = behind + 2
            self._count(size)
        return start

    def _count(self, size: int) -> None:
        self._chunks_left += size / _CHUNK_BYTES_MIN - 1
        if self._chunks_left < 0:
            raise BadHead(400, f"Chunks have {_CHUNK_BYTES_MIN} bytes on average, or more.")

    def _end_line(self) -> None:
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise BadHead(400, "Lines of a chunked body end with CR LF.")
        line = line[:-2]
        if line.translate(None, TEXT):
            raise BadHead(400, "A chunked body has a character that cannot stand there.")
        match self._state:
            case _State.SIZE:
                self._left = _size(line)
                self._count(self._left)
                self._state = _State.DATA if self._left else _State.TRAILER
            case _State.DATA_END:
                if line:
                    raise BadHead(400, "A chunk is longer than it says.")
                self._state = _State.SIZE
            case _:
                # Fields of a trailer mean nothing here, but are bounded, and have to be some.
                self._trailer_bytes += len(line)
                if line:
                    parse_field(line)
                else:
                    self._state = _State.DONE


def _size(line: bytes) -> int:
    digits, _, _extension = line.partition(b";")
    digits = digits.rstrip(b" \t")
    if not digits or len(digits) > _SIZE_DIGITS_MAX or not _HEX.issuperset(digits):
        raise BadHead(400, "A chunk's size is a hexadecimal number.")
    return int(digits, 16)
