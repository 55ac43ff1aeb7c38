"""One kept HTTP connection of a client, as light as it can be made: of `tocsin load` and
`./dev bench`.

It carries one request at a time, and reads answers that say their length, as all of ours do that
end.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, NamedTuple

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_ANSWER_TIMEOUT: Final = 30.0
"""Seconds to wait for an answer."""


class HttpAnswer(NamedTuple):
    """The *status* of an answer, and its *body*."""

    status: int
    body: bytes


def take_answer(buffer: bytearray) -> HttpAnswer | None:
    """The answer at the beginning of *buffer*, which is taken out of it; `None` if it is cut."""
    head = buffer.find(b"\r\n\r\n")
    length = _LENGTH.search(buffer, 0, head + 2) if head >= 0 else None
    if length is None:
        return None
    start = head + 4
    end = start + int(length[1])
    if len(buffer) < end:
        return None
    answer = HttpAnswer(int(buffer[9:12]), bytes(buffer[start:end]))
    del buffer[:end]
    return answer


class KeptConnection(asyncio.Protocol):
    """One kept connection to a server, with one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None

    def begin(self, request: bytes) -> asyncio.Future[HttpAnswer]:
        """Send *request*; what is returned is done when it is answered, or fails as `ask` does.

        Raises `ConnectionResetError` if the connection has ended.
        """
        if self._transport is None:
            raise ConnectionResetError("the connection has ended")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    async def ask(self, request: bytes, timeout: float = _ANSWER_TIMEOUT) -> HttpAnswer:
        """The answer to *request*.

        Raises `OSError` if there is none: `ConnectionResetError`, or `TimeoutError` after *timeout*
        seconds. Cancelled, the connection is of no use any more, because the answer may still come.
        """
        answer = self.begin(request)
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            self.close()
            raise

    def close(self) -> None:
        """Cut the connection, and wait for no answer any more; again is no harm."""
        if self._answer is not None:
            self._answer.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answer = take_answer(self._buffer)
        if answer is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection has ended"))
