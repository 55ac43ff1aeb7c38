"""One connection, request by request: read a head, have it answered, go on.

         ┌──────────────────────────── kept alive ───────────────────────────┐
         ▼                                                                   │
    read_head ── upgrade? ── yes ── the caller serves a WebSocket            │
                    │ no                                                     │
                 find, identify, how much may come ── refused ───────────────┤
                    │                                                        │
                 lean ── read the body, `Application.answer`, write ─────────┤
                    │         └ lasts: watch the client, write as it comes ──┤
                    └─── `asgi_lane`: Hypercorn and Quart ───────────────────┘

Each decision is made for each request anew: nothing but the socket is the connection's. A
client that closes its half is answered all the same; only where it asked for something that lasts
does its end mean that it has gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from tocsin.server.admission.gate import Admission, LimitReached
from tocsin.server.http.application import About, Incoming, RequestPlan, Turned
from tocsin.server.http.body import check_coding
from tocsin.server.http.client_watch import ClientWatch
from tocsin.server.http.lasting import LastingAnswer
from tocsin.server.http.request_reader import BodyParts, RequestPhase, RequestReader, too_large
from tocsin.server.http.response import CONTINUE, Whole, whole_response
from tocsin.server.http.shared import Shared
from tocsin.server.http.upgrade import check_upgrade
from tocsin.server.http.wire import PeerGone, Wire
from tocsin.server.request_head import BadHead, RequestHead

if TYPE_CHECKING:
    from tocsin.server.http.asgi_lane import AsgiExchange

_REFUSED: Final = 400
"""The first of the statuses that say that a request is not answered as it wished."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request for a WebSocket that can be answered; *rest* is what was read behind its head.

    *admission* is to be released when the WebSocket has ended. *turned* away, it is to be told so.
    """

    head: RequestHead
    rest: bytes
    admission: Admission
    turned: Turned | None = None


class HttpConnection:
    """See the module; `run` it once. *turned* away, it gets one answer."""

    __slots__ = (
        "_admission",
        "_application",
        "_asgi",
        "_began",
        "_closing",
        "_extra",
        "_extra_before",
        "_head",
        "_head_before",
        "_lasting",
        "_limits",
        "_plan",
        "_reader",
        "_request_id",
        "_shared",
        "_turned",
        "address",
        "scope",
        "wire",
    )

    def __init__(
        self, stream: trio.SocketStream, shared: Shared, address: str, turned: Turned | None
    ) -> None:
        self._shared = shared
        self._application = shared.application
        self._limits = shared.limits
        self._turned = turned
        self.address = address
        self.wire = Wire(stream, self._limits.write_timeout)
        self.scope = trio.CancelScope()
        self._reader = RequestReader(self.wire, self._limits, self.scope, shared.going_on)
        self._closing = False
        # Most clients say the same head again and again, and then it is the same object.
        self._head_before: RequestHead | None = None
        self._extra_before = ""
        self._forget_request()

    def _forget_request(self) -> None:
        """The present request as far as it is known; there is none yet."""
        self._head: RequestHead | None = None
        self._plan: RequestPlan | None = None
        self._admission: Admission | None = None
        self._asgi: AsgiExchange | None = None
        self._lasting: LastingAnswer | None = None
        self._request_id = self._extra = ""
        self._began = 0.0

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
            self.wire.close()
        finally:
            self._reader.end()
        if self._reader.phase is RequestPhase.NEXT:
            self.wire.close()  # everything was read, and everything said
        else:
            await self.wire.part(last_words, self._limits.linger_timeout)
        return None

    def drain(self) -> None:
        """Take no further request; an idle connection ends at once. Does not wait."""
        if self._reader.phase is RequestPhase.NEXT:
            self.scope.cancel()

    def kill(self) -> None:
        """End it now, also in the middle of a write. Does not wait."""
        self.scope.cancel()
        self.wire.close()

    async def _serve(self) -> Upgrade | None:
        while not self._closing:
            self._forget_request()
            if self._shared.draining and self._turned is None and not self.wire.data:
                self._reader.phase = RequestPhase.NEXT  # which nobody waits for any more
                break
            head = await self._reader.read_head()
            if head is None:
                break
            upgrade = await self._respond(head)
            if upgrade is not None:
                return upgrade
        return None

    # --- Answering --------------------------------------------------------------------------------

    async def _respond(self, head: RequestHead) -> Upgrade | None:
        """Answer one request, unless it is one for a WebSocket, which is returned.

        `_closing` says afterwards whether it was the last.
        """
        if head is not self._head_before:
            self._head_before = head
            self._extra_before = self._application.extra_headers(head)
        self._head, self._extra = head, self._extra_before
        self._request_id = self._shared.name_request(head)
        if self._application.notes_answers:
            self._began = trio.current_time()
        self._reader.begin_body(head)
        try:
            admission = self._admission = self._application.admit(self.address, head)
            try:
                if head.is_websocket_upgrade:
                    check_upgrade(head)
                    self._application.check_websocket(head)
                    turned = _crowded(admission)
                    self._note_answer(101)
                    self._admission = None
                    return Upgrade(head, self.wire.data, admission, turned)
                answer = await self._perform(head, admission)
            finally:
                if self._admission is not None:
                    admission.release()
        except (BadHead, PeerGone):
            raise
        except Exception as error:
            answer = self._application.refusal(error, self._about())
            if self._has_begun:
                raise PeerGone from error  # there is no other way to say it now
        if answer is not None:
            self._settle(head)
            if answer.status >= _REFUSED:
                self._reader.stand_in_line()
            without_body = head.method == "HEAD"
            await self.wire.write(self._written(answer, without_body=without_body))
            self._note_answer(answer.status)
        return None

    async def _perform(self, head: RequestHead, admission: Admission) -> Whole | None:
        """The answer, unless it was given already."""
        application, reader = self._application, self._reader
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
            await self._serve_asgi(incoming)
            return None
        if plan.lasts:
            admission.last()
            # It holds no place among requests any more, and its body is next to nothing.
            reader.count_no_further()
        if plan.streamed:
            incoming.body = BodyParts(reader, plan.body_bytes_max)
        elif reader.left:
            incoming.body = await reader.read_body(plan.body_bytes_max)
        if plan.lasts:
            return await self._last(incoming)
        answer = await application.answer(incoming)
        assert isinstance(answer, Whole), "only what lasts has an answer that does"
        return answer

    async def _last(self, incoming: Incoming) -> Whole | None:
        """The answer to a request that may wait long, unless it lasted and was given already.

        Raises `PeerGone` if the client goes.
        """
        with ClientWatch(self.wire, self._limits.gone_grace):
            answer = await self._application.answer(incoming)
            if isinstance(answer, Whole):
                return answer
            self._lasting = LastingAnswer(self.wire, incoming, self._extra)
            try:
                await self._lasting.write(answer, lambda: self._settle(incoming.head))
            finally:
                if self._lasting.begun:
                    self._note_answer(self._lasting.STATUS)
        self._closing = self._closing or self._lasting.closes
        return None

    async def _expect_body(
        self, head: RequestHead, plan: RequestPlan, admission: Admission
    ) -> None:
        """Raise `BadHead` for a body that is not read; have one sent that waits for our word."""
        reader = self._reader
        expectation = head.headers.get("expect")
        if expectation is not None and expectation.lower() != "100-continue":
            raise BadHead(417, "Nothing but 100-continue can be expected here.")
        if not reader.left:
            return
        check_coding(head)
        if reader.left > plan.body_bytes_max:
            raise too_large(plan.body_bytes_max)
        if reader.left > 0:
            admission.reserve(reader.left)
        else:
            reader.counted = admission.reserve
        if expectation is not None and head.http_version == "1.1" and not self.wire.data:
            await self.wire.write(CONTINUE)

    async def _serve_asgi(self, incoming: Incoming) -> None:
        shared, head = self._shared, incoming.head
        async with shared.entering:
            lane = await shared.lane()
        self._asgi = asgi = lane.exchange(
            self._limits, self.wire, incoming, self._extra,
            lambda: self._settle(head), lambda: self.scope.cancel_called,
        )  # fmt: skip
        body_bytes_max = incoming.plan.body_bytes_max
        try:
            await asgi.run(BodyParts(self._reader, body_bytes_max) if self._reader.left else None)
        finally:
            if asgi.begun:
                self._note_answer(asgi.status)
        self._closing = self._closing or asgi.closes or self._reader.left != 0

    def _note_answer(self, status: int) -> None:
        if self._application.notes_answers:
            seconds = trio.current_time() - self._began
            self._application.answered(self._about(), status, seconds)

    def _settle(self, head: RequestHead) -> bool:
        """Decide whether the connection goes on behind the answer that begins now."""
        self._reader.skip_body()
        self._closing = (
            self._closing
            or self._reader.left != 0
            or self._turned is not None
            or self._shared.draining
            or self._reader.served >= self._limits.keep_alive_requests_max
            or head.http_version != "1.1"
            or ("connection" in head.headers and "close" in head.headers.tokens("connection"))
        )
        return self._closing

    @property
    def _has_begun(self) -> bool:
        """Whether something was written of an answer that is not whole yet."""
        answer = self._asgi or self._lasting
        return answer is not None and answer.begun

    # --- Last words -------------------------------------------------------------------------------

    def _refusal(self, bad: BadHead) -> bytes:
        """The answer to a request that could not be read, behind which the connection ends."""
        if self._has_begun:
            return b""
        self._closing = True
        self._request_id = self._request_id or self._shared.name_request(None)
        answer = self._application.refusal(bad, self._about())
        if self._head is not None:
            self._note_answer(answer.status)
        return self._written(answer)

    def _too_slow(self) -> bytes:
        """The last words to a client whose time is over, if any."""
        match self._reader.phase:
            case RequestPhase.HEAD:
                timeout = self._limits.head_timeout
                bad = BadHead(408, f"The request's head was not complete after {timeout:g} s.")
            case RequestPhase.BODY:
                bad = BadHead(408, "The request's body did not come in time.")
            case _:
                return b""
        return self._refusal(bad)

    def _about(self) -> About:
        head, address = self._head, self.address
        if self._admission is not None:
            address = self._admission.address
        elif head is not None:
            # Refused before it was let in: that is worth knowing of whoever is behind the proxy.
            address = self._application.address_of(address, head)
        route = "" if self._plan is None else self._plan.path
        return About(head, self._request_id, address, route)

    def _written(self, answer: Whole, *, without_body: bool = False) -> bytes:
        return whole_response(
            answer,
            request_id=self._request_id,
            extra=self._extra,
            close=self._closing,
            without_body=without_body,
        )


def _crowded(admission: Admission) -> Turned | None:
    """Whether a WebSocket is one too many of whoever is behind a proxy.

    It is told inside, as it would be at the door: a browser shows its page no status.
    """
    try:
        admission.last()
    except LimitReached:
        return Turned.CROWDED
    return None
