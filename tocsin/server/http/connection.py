"""One connection, request by request: read a head, have it answered, go on.

         ┌──────────────────────────── kept alive ───────────────────────────┐
         ▼                                                                   │
    read_head ── upgrade? ── yes ── the caller serves a WebSocket            │
                    │ no                                                     │
                 find, identify, how much may come ── refused ───────────────┤
                    │                                                        │
                 lean ── read the body, `Application.answer`, write ─────────┤
                    └─── `asgi_lane`: Hypercorn and Quart ───────────────────┘

What is decided for a request is decided for each: nothing but the socket is the connection's. A
client that closes its half is answered all the same; only where it asked for something that lasts
does its end mean that it has gone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Self

import trio

from tocsin.server.admission import Admission
from tocsin.server.http.application import About, Incoming, Plan, Turned
from tocsin.server.http.asgi_lane import AsgiExchange
from tocsin.server.http.body import CHUNKED, ChunkedBody, body_length, check_coding
from tocsin.server.http.patience import Patience
from tocsin.server.http.response import CONTINUE, Whole, whole_response
from tocsin.server.http.wire import PeerGone, Wire
from tocsin.server.request_head import BadHead, RequestHead, find_head_end, parse_head
from tocsin.server.upgrade import check_upgrade

if TYPE_CHECKING:
    from tocsin.server.http.host import HttpHost

_BURST: Final = 8
"""Requests of one connection that are answered without letting others run."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request for a WebSocket that can be answered; *rest* is what was read behind its head."""

    head: RequestHead
    rest: bytes
    admission: Admission
    """To be released when the WebSocket has ended."""


class _Phase(Enum):
    """What the connection waits for."""

    NEXT = "the next request"
    HEAD = "the request's head"
    BODY = "the request's body"
    ANSWER = "its answer"


class HttpConnection:
    """See the module; `run` it once. *turned* away, it gets one answer."""

    __slots__ = (
        "_admission",
        "_application",
        "_asgi",
        "_burst",
        "_chunks",
        "_closing",
        "_extra",
        "_head",
        "_host",
        "_left",
        "_limits",
        "_patience",
        "_phase",
        "_plan",
        "_request_id",
        "_served",
        "_turned",
        "address",
        "scope",
        "wire",
    )

    def __init__(
        self, stream: trio.SocketStream, host: HttpHost, address: str, turned: Turned | None
    ) -> None:
        self._host = host
        self._application = host.application
        self._limits = host.limits
        self._turned = turned
        self.address = address
        self.wire = Wire(stream, self._limits.write_timeout)
        self.scope = trio.CancelScope()
        self._patience = Patience(self.scope)
        self._phase = _Phase.NEXT
        self._served = 0
        self._burst = 0
        self._closing = False
        # The present request: its head, its name, what its answers have besides.
        self._head: RequestHead | None = None
        self._plan: Plan | None = None
        self._admission: Admission | None = None
        self._request_id = ""
        self._extra = ""
        # What of its body has not been read.
        self._left = 0
        self._chunks: ChunkedBody | None = None
        self._asgi: AsgiExchange | None = None

    async def run(self) -> Upgrade | None:
        """Serve until the connection ends, or is to become a WebSocket.

        Leaves the stream open for a WebSocket only. Cancelling closes at once.
        """
        last_words = b""
        try:
            with self.scope:
                try:
                    upgrade = await self._serve()
                    if upgrade is not None:
                        return upgrade
                except BadHead as bad:
                    last_words = self._refusal(bad)
            if self.scope.cancelled_caught:
                last_words = self._too_slow()
        except PeerGone:
            self.wire.socket.close()
        finally:
            self._patience.end()
        if self._phase is _Phase.NEXT:
            self.wire.socket.close()  # everything was read, and everything said
        else:
            await self.wire.part(last_words, self._limits.linger_timeout)
        return None

    def drain(self) -> None:
        """Take no further request; an idle connection ends at once. Does not wait."""
        if self._phase is _Phase.NEXT:
            self.scope.cancel()

    def kill(self) -> None:
        """End it now, also in the middle of a write. Does not wait."""
        self.scope.cancel()
        self.wire.socket.close()

    async def _serve(self) -> Upgrade | None:
        while not self._closing:
            head = await self._read_head()
            if head is None:
                break
            upgrade = await self._respond(head)
            if upgrade is not None:
                return upgrade
        return None

    # --- Reading ----------------------------------------------------------------------------------

    async def _read_head(self) -> RequestHead | None:
        """The next request's head, judged; `None` where there is no further request.

        Who has said nothing is told nothing: browsers open connections in advance, and would show
        the error of one that they never used.
        """
        wire, limits = self.wire, self._limits
        if wire.data:
            self._begin_head()
            self._burst += 1
            if self._burst >= _BURST:
                self._burst = 0
                await trio.lowlevel.checkpoint()
        else:
            self._burst = 0
            self._phase = _Phase.NEXT
            if self._host.draining and self._turned is None:
                return None
            idle = limits.keep_alive_timeout if self._served else limits.head_timeout
            self._patience.until(trio.current_time() + idle)
        seen = 0
        while True:
            if wire.data:
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
        head = parse_head(wire.data)
        wire.data = wire.data[end:]
        self._served += 1
        return head

    def _begin_head(self) -> None:
        self._head = self._plan = None
        self._request_id = self._extra = ""
        self._phase = _Phase.HEAD
        self._patience.until(trio.current_time() + self._limits.head_timeout)

    async def _read_body(self, bytes_max: int) -> bytes:
        """All of the body. Raises `BadHead`: 413 over *bytes_max*, 400 where it ends too soon."""
        wire = self.wire
        if 0 <= self._left <= len(wire.data):
            # It came with the head, nearly always.
            body, wire.data = wire.data[: self._left], wire.data[self._left :]
            self._left = 0
            return body
        return b"".join([part async for part in _BodyParts(self, bytes_max)])

    async def read_part(self) -> bytes:
        """The next piece of the body, `b""` at its end. Raises `BadHead` where it ends too soon."""
        wire = self.wire
        if self._phase is not _Phase.BODY:
            self._phase = _Phase.BODY
            self._patience.until(trio.current_time() + self._limits.body_timeout)
        while self._left:
            data = wire.data or await wire.read()
            wire.data = b""
            if not data:
                raise BadHead(400, "The connection ended within the request's body.")
            part = self._take(data)
            if part:
                return part
        self._phase = _Phase.ANSWER
        self._patience.until(math.inf)
        return b""

    def _take(self, data: bytes) -> bytes:
        """What *data* has of the body; what lies behind is kept."""
        if self._chunks is None:
            part, self.wire.data = data[: self._left], data[self._left :]
            self._left -= len(part)
        else:
            part, self.wire.data = self._chunks.feed(data)
            if self._admission is not None:
                self._admission.reserve(len(part))
            self._left = 0 if self._chunks.ended else CHUNKED
        return part

    # --- Answering --------------------------------------------------------------------------------

    async def _respond(self, head: RequestHead) -> Upgrade | None:
        """Answer one request, unless it is one for a WebSocket, which is returned.

        `_closing` says afterwards whether it was the last.
        """
        self._phase = _Phase.ANSWER
        self._patience.until(math.inf)
        self._head = head
        self._plan = None
        self._request_id = self._host.name_request(head)
        self._extra = self._application.extra_headers(head)
        self._left = body_length(head)
        self._chunks = ChunkedBody() if self._left == CHUNKED else None
        try:
            admission = self._admission = self._application.admit(self.address, head)
            try:
                if head.is_websocket_upgrade:
                    check_upgrade(head)
                    self._application.check_websocket(head)
                    admission.last()
                    self._admission = None
                    return Upgrade(head, self.wire.data, admission)
                answer = await self._perform(head, admission)
            finally:
                if self._admission is not None:
                    admission.release()
                    self._admission = None
        except (BadHead, PeerGone):
            raise
        except Exception as error:
            answer = self._application.refusal(error, self._about())
        if answer is not None:
            self._settle(head)
            without_body = head.method == "HEAD"
            await self.wire.write(self._written(answer, without_body=without_body))
        return None

    async def _perform(self, head: RequestHead, admission: Admission) -> Whole | None:
        """The answer, unless it was given already."""
        application = self._application
        plan = application.find(head)
        if isinstance(plan, Whole):
            return plan
        self._plan = plan
        if self._turned is not None and not plan.always:
            return application.turned_away(self._turned, plan, self._about())
        principal = application.known(plan, head)
        if principal is None:
            principal = await application.identify(plan, head)
        admission.charge(principal)
        await self._expect_body(head, plan, admission)
        incoming = Incoming(plan, head, principal, b"", self._request_id, admission.address)
        if not plan.lean:
            if plan.lasts:
                admission.last()
            await self._serve_asgi(incoming)
            return None
        if plan.streamed:
            incoming.body = _BodyParts(self, plan.body_bytes_max)
        elif self._left:
            incoming.body = await self._read_body(plan.body_bytes_max)
        return await application.answer(incoming)

    async def _expect_body(self, head: RequestHead, plan: Plan, admission: Admission) -> None:
        """Raise `BadHead` for a body that is not read; have one sent that waits for our word."""
        expectation = head.headers.get("expect")
        if expectation is not None and expectation.lower() != "100-continue":
            raise BadHead(417, "Nothing but 100-continue can be expected here.")
        if not self._left:
            return
        check_coding(head)
        if self._left > plan.body_bytes_max:
            raise _too_large(plan.body_bytes_max)
        if self._left > 0:
            admission.reserve(self._left)
        if expectation is not None and head.http_version == "1.1" and not self.wire.data:
            await self.wire.write(CONTINUE)

    async def _serve_asgi(self, incoming: Incoming) -> None:
        host, head = self._host, incoming.head
        self._asgi = asgi = AsgiExchange(
            host.app, host.config, host.context, self._limits, self.wire, incoming, self._extra,
            lambda: self._settle(head), lambda: self.scope.cancel_called,
        )  # fmt: skip
        body_bytes_max = incoming.plan.body_bytes_max
        await asgi.run(_BodyParts(self, body_bytes_max) if self._left else None)
        self._closing = self._closing or asgi.closes or self._left != 0
        self._asgi = None

    def _settle(self, head: RequestHead) -> bool:
        """Decide whether the connection goes on behind the answer that begins now."""
        if 0 < self._left <= len(self.wire.data):
            # A body that nobody wanted, but all of it is here.
            self.wire.data = self.wire.data[self._left :]
            self._left = 0
        self._closing = (
            self._closing
            or self._left != 0
            or self._turned is not None
            or self._host.draining
            or self._served >= self._limits.keep_alive_requests_max
            or head.http_version != "1.1"
            or ("connection" in head.headers and "close" in head.headers.tokens("connection"))
        )
        return self._closing

    # --- Last words -------------------------------------------------------------------------------

    def _refusal(self, bad: BadHead) -> bytes:
        """The answer to a request that could not be read, behind which the connection ends."""
        if self._asgi is not None and self._asgi.begun:
            return b""
        self._closing = True
        self._request_id = self._request_id or self._host.name_request(None)
        return self._written(self._application.refusal(bad, self._about()))

    def _too_slow(self) -> bytes:
        """What to say to a client whose time is over, if anything."""
        match self._phase:
            case _Phase.HEAD:
                timeout = self._limits.head_timeout
                bad = BadHead(408, f"The request's head was not complete after {timeout:g} s.")
            case _Phase.BODY:
                bad = BadHead(408, "The request's body did not come in time.")
            case _:
                return b""
        return self._refusal(bad)

    def _about(self) -> About:
        address = self.address if self._admission is None else self._admission.address
        route = "" if self._plan is None else self._plan.path
        return About(self._head, self._request_id, address, route)

    def _written(self, answer: Whole, *, without_body: bool = False) -> bytes:
        return whole_response(
            answer,
            request_id=self._request_id,
            extra=self._extra,
            close=self._closing,
            without_body=without_body,
        )


class _BodyParts:
    """A body as it comes. Raises `BadHead`: 413 over *bytes_max*, and what `read_part` does.

    No generator: one that is left in the middle would have to be closed, and nobody would.
    """

    def __init__(self, connection: HttpConnection, bytes_max: int) -> None:
        self._connection = connection
        self._bytes_max = bytes_max
        self._count = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        part = await self._connection.read_part()
        self._count += len(part)
        if self._count > self._bytes_max:
            raise _too_large(self._bytes_max)
        if not part:
            raise StopAsyncIteration
        return part


def _too_large(bytes_max: int) -> BadHead:
    return BadHead(413, f"The request's body is longer than {bytes_max} bytes.")
