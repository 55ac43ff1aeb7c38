"""A parser of RESP2, the protocol of Redis, without I/O; it reads a buffer at a time.

Redis-py's own parser asks its stream for line after line, which costs some 9 µs for a published
message; this parser costs 2. It serves the connection that only hears, where nearly all replies are
messages. For replies to commands the cost of the parser does not matter.

A string longer than any of ours is skipped as it comes, and is `None`. Every client that can
publish can make one as long as Redis takes, which is half a gigabyte.

The format: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import re
from typing import Any, Final

from redis.exceptions import InvalidResponse, ResponseError

BULK_BYTES_MAX: Final = 8 << 20
"""Bytes of a string: an envelope carries a notification, which a request of about 1 MB brought."""
_END: Final = b"\r\n"
_STRING, _ERROR, _INTEGER, _BULK, _ARRAY = b"+-:$*"
_MESSAGE: Final = re.compile(rb"\*3\r\n\$7\r\nmessage\r\n\$\d+\r\n([^\r\n]*)\r\n\$(\d+)\r\n")
"""A published message up to its payload. The channel's name has no line break; ours have none."""


class _Incomplete(Exception):
    """The buffer ends in the middle of a reply."""


class ReplyReader:
    """The replies of one connection: strings of both kinds as bytes, arrays as lists."""

    __slots__ = ("_rest", "_skipped")

    def __init__(self) -> None:
        self._rest = b""
        self._skipped = 0

    def read(self, data: bytes) -> list[Any]:
        """The replies that *data* completes.

        Raises `ResponseError` if the server answered an error, `InvalidResponse` for bytes that are
        no RESP2.
        """
        if self._skipped:
            skipped = min(self._skipped, len(data))
            self._skipped -= skipped
            data = data[skipped:]
        data, at = self._rest + data, 0
        replies = []
        try:
            while at < len(data):
                reply, at = _reply(data, at)
                replies.append(reply)
        except _Incomplete:
            pass
        except ValueError as error:
            raise InvalidResponse(str(error)) from None
        self._rest = data[at:]
        # Behind the end of the data: the last string was too long, and its rest is still to come.
        self._skipped += max(0, at - len(data))
        return replies


def _reply(data: bytes, start: int) -> tuple[Any, int]:
    """The reply that begins at *start*, and the offset of its end."""
    if (message := _MESSAGE.match(data, start)) is not None:
        payload, end = _bulk(data, message.end(), int(message[2]))
        return [b"message", message[1], payload], end
    line_end = data.find(_END, start)
    if line_end < 0:
        raise _Incomplete
    kind, line, at = data[start], data[start + 1 : line_end], line_end + len(_END)
    if kind == _BULK:
        return _bulk(data, at, int(line))
    if kind == _ARRAY:
        items = []
        for _ in range(int(line)):
            item, at = _reply(data, at)
            items.append(item)
        return items, at
    if kind == _INTEGER:
        return int(line), at
    if kind == _STRING:
        return line, at
    if kind == _ERROR:
        raise ResponseError(line.decode(errors="replace"))
    raise InvalidResponse(f"{line!r} begins with {kind:#x}")


def _bulk(data: bytes, at: int, length: int) -> tuple[bytes | None, int]:
    if length < 0:
        return None, at
    end = at + length
    if length > BULK_BYTES_MAX:
        return None, end + len(_END)
    if len(data) < end + len(_END):
        raise _Incomplete
    return data[at:end], end + len(_END)
