"""The requests of one connection, request by request: heads, and bodies as they come.

Reading is bounded in bytes by what is asked for, and in time by a deadline for each thing that is
waited for (`patience`), whose end cancels the scope of the connection.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Final, Self

import trio

from tocsin.server.http.body import CHUNKED, ChunkedBody, body_length
from tocsin.server.http.limits import HttpLimits
from tocsin.server.http.patience import Patience
from tocsin.server.http.wire import Wire
from tocsin.server.request_head import BadHead, RequestHead, find_head_end, parse_head

_BURST: Final = 8
"""Requests of one connection that are answered without letting others run."""
_REPEATED_BYTES_MAX: Final = 2048
"""Of a head that is kept, because most clients say the same one again and again."""
GOING_ON_MAX: Final = 4
"""Connections that go on, in one turn of the event loop, with what they had said before: requests
in a row, tiny chunks. So a turn stays short, however many there are."""


class RequestPhase(Enum):
    """The part of a request that the connection waits for."""

    NEXT = "the next request"
    HEAD = "the request's head"
    BODY = "the request's body"
    ANSWER = "its answer"


class RequestReader:
    """See the module. `phase` says what is waited for, `left` what of the present body has not
    been read (`CHUNKED` where nobody knows yet), `served` how many heads there were."""

    __slots__ = (
        "_before",
        "_before_raw",
        "_burst",
        "_chunks",
        "_going_on",
        "_has_more",
        "_limits",
        "_patience",
        "_wire",
        "counted",
        "left",
        "phase",
        "served",
    )

    def __init__(
        self, wire: Wire, limits: HttpLimits, scope: trio.CancelScope, going_on: trio.Semaphore
    ) -> None:
        self._wire = wire
        self._limits = limits
        self._going_on = going_on
        self._patience = Patience(scope)
        self._chunks: ChunkedBody | None = None
        self._before: RequestHead | None = None
        self._before_raw = b""
        self._burst = 0
        self._has_more = False  # of a chunked body, although others are to run first
        self.phase = RequestPhase.NEXT
        self.left = 0
        self.served = 0
        self.counted: Callable[[int], None] = _nobody_counts
        """Told of the bytes of a body whose length was not declared, as they come."""

    async def read_head(self) -> RequestHead | None:
        """The next request's head, judged; `None` where there is no further request.

        A client that has said nothing is told nothing: browsers open connections in advance, and
        would show the error of one that they never used. Raises `BadHead`.
        """
        wire, limits = self._wire, self._limits
        if wire.data:
            self._begin_head()
            self._burst += 1
        else:
            # A client that waits for the last answers before it goes on has still said many at
            # once.
            self._burst = max(0, self._burst - 1)
            self.phase = RequestPhase.NEXT
            idle = limits.keep_alive_timeout if self.served else limits.head_timeout
            self._patience.until(trio.current_time() + idle)
        seen = 0
        head = None
        while True:
            if wire.data:
                if self._before is not None and wire.data.startswith(self._before_raw):
                    # Byte for byte what was judged a request ago, blank line and all.
                    head, end = self._before, len(self._before_raw)
                    break
                end = find_head_end(wire.data, seen, limits.head_bytes_max)
                if end >= 0:
                    break
                seen = len(wire.data)
            data = await wire.read()
            if not data:
                if not wire.data:
                    return None
                raise BadHead(400, "The connection ended within the request's head.")
            if not wire.data:
                self._begin_head()
            wire.data += data
        self.answering()
        if self._burst >= _BURST:
            self._burst = 0
            await self._let_others_run()
        if head is None:
            head = parse_head(wire.data)
            if end <= _REPEATED_BYTES_MAX:
                self._before, self._before_raw = head, wire.data[:end]
        wire.data = wire.data[end:]
        self.served += 1
        return head

    def stand_in_line(self) -> None:
        """The next request has to wait until it is its turn: this one was refused.

        Hundreds who try and try again are answered few at a time.
        """
        self._burst = _BURST + 1

    def begin_body(self, head: RequestHead) -> None:
        """The body of *head* is to be read, or skipped. Raises `BadHead`."""
        self.left = body_length(head)
        self._chunks = ChunkedBody() if self.left == CHUNKED else None
        self._has_more = False
        self.counted = _nobody_counts

    async def read_body(self, bytes_max: int) -> bytes:
        """All of the body. Raises `BadHead`: 413 over *bytes_max*, 400 where it ends too soon."""
        wire = self._wire
        if 0 <= self.left <= len(wire.data):
            # It came with the head, nearly always.
            body, wire.data = wire.data[: self.left], wire.data[self.left :]
            self.left = 0
            return body
        # Not a list of what was read: pieces of a few bytes would cost many times their length. Nor
        # grown where the length was declared, which was admitted: what has grown is moved about.
        whole = bytearray(max(0, self.left))
        count = 0
        async for part in BodyParts(self, bytes_max):
            whole[count : count + len(part)] = part
            count += len(part)
        return bytes(whole)

    async def read_part(self) -> bytes:
        """The next piece of the body, `b""` at its end. Raises `BadHead` where it ends too soon."""
        wire = self._wire
        if self.phase is not RequestPhase.BODY:
            self.phase = RequestPhase.BODY
            self._patience.until(trio.current_time() + self._limits.body_timeout)
        while self.left:
            if self._has_more:
                await self._let_others_run()
            data = wire.data or await wire.read()
            wire.data = b""
            if not data:
                raise BadHead(400, "The connection ended within the request's body.")
            part = self._take(data)
            if part:
                return part
        self.answering()
        return b""

    def skip_body(self) -> None:
        """Skip a body that nobody wants, if all of it is here already."""
        wire = self._wire
        if 0 < self.left <= len(wire.data):
            wire.data = wire.data[self.left :]
            self.left = 0

    def count_no_further(self) -> None:
        """Stop reporting a body's bytes as they come."""
        self.counted = _nobody_counts

    def answering(self) -> None:
        """Nothing is waited for but our own answer."""
        self.phase = RequestPhase.ANSWER
        self._patience.until(math.inf)

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._patience.end()

    async def _let_others_run(self) -> None:
        """Wait for the next turn of the event loop, and until it is ours."""
        # A semaphore that is free is held for a turn; one that is not is handed on once in a turn.
        async with self._going_on:
            pass

    def _begin_head(self) -> None:
        self.phase = RequestPhase.HEAD
        self._patience.until(trio.current_time() + self._limits.head_timeout)

    def _take(self, data: bytes) -> bytes:
        """The part of the body in *data*; the bytes behind it are kept."""
        if self._chunks is None:
            part, self._wire.data = data[: self.left], data[self.left :]
            self.left -= len(part)
        else:
            part, self._wire.data = self._chunks.feed(data)
            self.left = 0 if self._chunks.ended else CHUNKED
            self._has_more = self.left != 0 and bool(self._wire.data)
            self.counted(len(part))
        return part


class BodyParts:
    """A body as it comes. Raises `BadHead`: 413 over *bytes_max*, and what `read_part` does.

    No generator: one that is left in the middle would have to be closed, and nobody would.
    """

    def __init__(self, reader: RequestReader, bytes_max: int) -> None:
        self._reader = reader
        self._bytes_max = bytes_max
        self._count = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        part = await self._reader.read_part()
        self._count += len(part)
        if self._count > self._bytes_max:
            raise too_large(self._bytes_max)
        if not part:
            raise StopAsyncIteration
        return part


def too_large(bytes_max: int) -> BadHead:
    """The refusal of a body of more than *bytes_max* bytes."""
    return BadHead(413, f"The request's body is longer than {bytes_max} bytes.")


def _nobody_counts(_: int) -> None:
    pass
