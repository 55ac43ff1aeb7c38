"""The lane of Hypercorn and Quart: judged values go in, events come out.

Hypercorn's `HTTPStream` holds the ASGI conversation of one request. Around it stands what
Hypercorn's own connection does otherwise, without a second parser: the body's pieces are handed on
as they come, the answer's events become bytes, and the client is watched for its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import trio
from hypercorn.config import Config
from hypercorn.protocol.events import Body, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ASGIFramework, ConnectionState
from hypercorn.utils import wrap_app
from structlog.stdlib import LoggerFactory

from tocsin.server.http.application import Incoming
from tocsin.server.http.limits import HttpLimits
from tocsin.server.http.response import chunk, has_body, response_head
from tocsin.server.http.wire import PeerGone, Wire

INCOMING: Final = "tocsin.incoming"
"""Where the application finds what was judged, in the ASGI scope's `state`."""
_STREAM: Final = 1
"""The number of the one stream: Hypercorn's classes speak of streams, as in HTTP/2."""
_KEPT_MAX: Final = 16384
"""Bytes kept of what a client says while its request is being answered."""
_OURS: Final = frozenset((b"connection", b"transfer-encoding", b"date", b"server", b"x-request-id"))
"""Headers that this side writes, whatever the application says."""


@dataclass(frozen=True, slots=True)
class AsgiLane:
    """The application in Hypercorn's wrapping, and what Hypercorn's classes want to be given."""

    app: AppWrapper
    config: Config
    context: WorkerContext

    def exchange(
        self,
        limits: HttpLimits,
        wire: Wire,
        incoming: Incoming,
        extra: str,
        must_close: Callable[[], bool],
        abandoned: Callable[[], bool],
    ) -> AsgiExchange:
        """The exchange of one request; the arguments are those of `AsgiExchange`."""
        return AsgiExchange(self, limits, wire, incoming, extra, must_close, abandoned)


def open_lane(app: ASGIFramework) -> AsgiLane:
    """The lane of *app*."""
    config = Config()
    config.accesslog = None
    # Hypercorn takes no logger but the standard library's.
    config.errorlog = LoggerFactory()("tocsin.server.http.host")
    config.include_server_header = False
    return AsgiLane(wrap_app(app, 0, "asgi"), config, WorkerContext(None))


class AsgiExchange:
    """One request; `run` it once.

    *must_close* says, when the answer begins, whether the connection ends behind it; *abandoned*,
    whether all of it was cancelled, whereupon Hypercorn would still answer with a 500.
    """

    def __init__(
        self,
        lane: AsgiLane,
        limits: HttpLimits,
        wire: Wire,
        incoming: Incoming,
        extra: str,
        must_close: Callable[[], bool],
        abandoned: Callable[[], bool],
    ) -> None:
        self._lane = lane
        self._limits = limits
        self._wire = wire
        self._incoming = incoming
        self._extra = extra
        self._must_close = must_close
        self._abandoned = abandoned
        self._feeding = trio.CancelScope()
        self._buffered = b""
        self._chunked = False
        self._bodiless = False
        self._given_up = False  # from then on the application is too late
        self.status = 0
        self.begun = False
        self.ended = False
        self.closes = False

    async def run(self, body: AsyncIterator[bytes] | None) -> None:
        """Have the request answered. Returns when the answer is with the kernel.

        Raises what reading the body raises (`BadHead`, `LimitReached`), if no answer has begun, and
        `PeerGone` where there is nobody to answer. Cancelling abandons the answer where it stands.
        """
        gone = False
        wrong: Exception | None = None
        async with TaskGroup() as tasks:
            nursery = tasks._nursery
            assert nursery is not None
            stream = HTTPStream(
                self._lane.app, self._lane.config, self._lane.context, tasks, False,
                (self._incoming.address, 0), None, self._heard, _STREAM,
            )  # fmt: skip
            await stream.handle(self._request())
            with self._feeding:
                try:
                    await self._feed(stream, body)
                    gone = True
                except Exception as error:
                    # The request's fault, or ours, but not the application's.
                    wrong = error
            if self.ended:
                nursery.cancel_scope.cancel()
            else:
                self._given_up = True
                # Quart ends what it is doing when it hears of the disconnect.
                nursery.cancel_scope.deadline = trio.current_time() + self._limits.linger_timeout
                await stream.handle(StreamClosed(stream_id=_STREAM))
        if self.ended and not gone:
            return
        if wrong is not None and not self.begun:
            raise wrong
        raise PeerGone from wrong

    def _request(self) -> Request:
        head = self._incoming.head
        target = self._incoming.plan.path or head.raw_path
        target = f"{target}?{head.query}" if head.query else target
        return Request(
            stream_id=_STREAM,
            headers=[
                (name.encode("ascii"), value.encode("latin-1"))
                for name, value in head.headers.items()
                if name not in ("upgrade", "http2-settings", "expect", "transfer-encoding")
            ],
            http_version=head.http_version,
            method=head.method,
            raw_path=target.encode("ascii"),
            state=ConnectionState({INCOMING: self._incoming}),
        )

    async def _feed(self, stream: HTTPStream, body: AsyncIterator[bytes] | None) -> None:
        """Hand on the body, then watch the client; returns when it has gone."""
        if body is not None:
            async for part in body:
                await stream.handle(Body(stream_id=_STREAM, data=part))
        await stream.handle(EndBody(stream_id=_STREAM))
        wire = self._wire
        while not wire.heard_end:
            room = _KEPT_MAX - len(wire.data)
            if room <= 0:
                await trio.sleep_forever()
            wire.data += await wire.read(room)
        if not wire.broken:
            # It has closed its half, and waits for the answer.
            await trio.sleep_forever()

    async def _heard(self, event: Event) -> None:
        """One event of the answer; in the application's task."""
        # An answer that has no end must not keep others from running, heard or not.
        await trio.lowlevel.checkpoint()
        if self._given_up or self.ended or self._abandoned():
            return
        try:
            # Hypercorn has more events; those of trailers, for one, mean nothing to HTTP/1.1 here.
            if isinstance(event, Response):
                await self._begin(event)
            elif isinstance(event, Body):
                await self._go_on(bytes(event.data))
            elif isinstance(event, EndBody):
                await self._end()
        except PeerGone:
            self._given_up = True
            self._feeding.cancel()

    async def _begin(self, response: Response) -> None:
        head, status = self._incoming.head, response.status_code
        fields = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in response.headers
            if name not in _OURS
        ]
        measured = any(name == b"content-length" for name, _ in response.headers)
        self._bodiless = not has_body(head.method, status)
        self._chunked = not (measured or self._bodiless) and head.http_version == "1.1"
        self.closes = self._must_close() or not (measured or self._bodiless or self._chunked)
        text = response_head(
            status,
            fields,
            "Transfer-Encoding: chunked\r\n" if self._chunked else "",
            request_id=self._incoming.request_id,
            extra=self._extra,
            close=self.closes,
        )
        self.status, self.begun = status, True
        if measured:
            self._buffered = text  # a short head goes out in one write with its body
        else:
            await self._wire.write(text)

    async def _go_on(self, data: bytes) -> None:
        if self._bodiless or not data:
            return
        data = chunk(data) if self._chunked else data
        buffered, self._buffered = self._buffered, b""
        await self._wire.write(buffered + data)

    async def _end(self) -> None:
        last = self._buffered + (chunk(b"") if self._chunked else b"")
        if last:
            await self._wire.write(last)
        self.ended = True
        self._feeding.cancel()


def incoming_of(scope: Any) -> Incoming:
    """The request of *scope*, as it was judged."""
    incoming: Incoming = scope["state"][INCOMING]
    return incoming
