"""An answer that lasts, such as a stream of events, written as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tocsin.server.http.application import Incoming
from tocsin.server.http.response import Lasting, chunk, response_head
from tocsin.server.http.wire import Wire


class LastingAnswer:
    """The way of one answer onto *wire*; `begun` once something was written.

    `closes` says, once it has begun, whether the connection has to end behind it.
    """

    STATUS: Final = 200

    __slots__ = ("_chunked", "_extra", "_incoming", "_rest", "_wire", "begun", "closes")

    def __init__(self, wire: Wire, incoming: Incoming, extra: str) -> None:
        self._wire = wire
        self._incoming = incoming
        self._extra = extra
        self._chunked = incoming.head.http_version == "1.1"
        # Of what was written past the task, what the socket has not taken yet.
        self._rest = b""
        self.begun = False
        self.closes = False

    async def write(self, answer: Lasting, must_close: Callable[[], bool]) -> None:
        """Write all of *answer*; *must_close* is asked when it begins.

        Raises `PeerGone` if the client goes, and what the body raises. Cancelled, the answer stays
        as it is, and its end is missing.
        """
        chunked = self._chunked
        async with answer.body as chunks:
            async for data in chunks:
                is_first = not self.begun
                await self._go_on(answer, must_close, chunk(data) if chunked else data)
                if is_first and answer.direct is not None:
                    answer.direct(self._write_now)
        await self._go_on(answer, must_close, chunk(b"") if chunked else b"")

    async def _go_on(self, answer: Lasting, must_close: Callable[[], bool], data: bytes) -> None:
        """Write *data*, in one write with the head if it is the first."""
        if not self.begun:
            data = self._head(answer, must_close) + data
            self.begun = True
        if self._rest:
            data, self._rest = self._rest + data, b""
        if data:
            await self._wire.write(data)

    def _write_now(self, data: bytes) -> bool:
        """Write *data* at once, while the answer's task waits for a chunk.

        Returns whether the socket has taken it. If not, the rest goes out with the next chunk, and
        nothing is to be written so until that was asked for.
        """
        if self._chunked:
            data = chunk(data)
        self._rest = data[self._wire.write_now(data) :]
        return not self._rest

    def _head(self, answer: Lasting, must_close: Callable[[], bool]) -> bytes:
        chunked = self._chunked
        self.closes = must_close() or not chunked
        return response_head(
            self.STATUS,
            (("Content-Type", answer.content_type), *answer.headers),
            "Transfer-Encoding: chunked\r\n" if chunked else "",
            request_id=self._incoming.request_id,
            extra=self._extra,
            close=self.closes,
        )
