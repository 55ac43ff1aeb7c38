"""One WebSocket: from the handshake to the goodbye.

The connection reads; it does not decide about delivery. What the device says goes to its user's
actor as a message, what the user's actor has for the device comes through the outlet without
anybody waiting. So one task per connection is enough, beside trio-websocket's own reader.
"""

from __future__ import annotations

import structlog
import math
from dataclasses import dataclass
from typing import Final

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from tocsin.actors.connections import current_connection
from tocsin.actors.runtime import ActorStopped, MailboxFull
from tocsin.actors.user_messages import Arrived, Left, Refreshed, Said, UserMessage
from tocsin.protocol import frames
from tocsin.protocol.closing import Closing
from tocsin.protocol.cursor import Cursor, parse_cursor
from tocsin.protocol.problems import Problem, ProblemError, problem
from tocsin.protocol.values import uuid7
from tocsin.server.auth import AuthUnavailable, Forbidden, Principal, Unauthenticated
from tocsin.server.frame_stream import CLOSED_WITHOUT_A_FRAME, FrameStream, SlowConsumer
from tocsin.server.origins import is_allowed_origin
from tocsin.server.publishing import Published, Publishing
from tocsin.server.request_head import BadHead, RequestHead, problem_response
from tocsin.server.services import Services
from tocsin.server.websocket_frames import close_frame, ping_frame, text_frame

logger = structlog.get_logger(__name__)

PATH: Final = "/v1/ws"
_HANDSHAKE_TIMEOUT: Final = 10.0
_MESSAGE_QUEUE: Final = 32
"""Frames that trio-websocket may read ahead: saves a task switch each when a client sends many."""
_PUBLISHES_MAX: Final = 1024
"""Publishes of one connection on their way to the store; beyond it, it is told to wait."""
_RETRY_AFTER: Final = 1.0


class _Ended(Exception):
    """This side ends the connection with *closing*."""

    def __init__(self, closing: Closing, after: float = 0.0) -> None:
        super().__init__(closing.word)
        self.closing = closing
        self.after = after


class WebSocketOutlet:
    """The way out of one WebSocket; see `tocsin.actors.outlet.Outlet`."""

    __slots__ = ("_scope", "_stream", "connection", "ended_with")

    def __init__(self, connection: str, stream: FrameStream, scope: trio.CancelScope) -> None:
        self.connection: Final = connection
        self.ended_with: Closing | None = None
        self._stream = stream
        self._scope = scope

    @property
    def last_heard(self) -> float:
        return self._stream.last_received

    def offer(self, frame: bytes) -> None:
        try:
            self._stream.offer(text_frame(frame))
        except SlowConsumer:
            self.end(Closing.SLOW, _RETRY_AFTER)

    def ping(self) -> None:
        try:
            self._stream.offer(ping_frame())
        except SlowConsumer:
            self.end(Closing.SLOW, _RETRY_AFTER)

    def end(self, closing: Closing, after: float = 0.0) -> None:
        if self.ended_with is None:
            self.ended_with = closing
            last_words = farewell(closing, after)
            self._stream.finish(last_words, skip_waiting=closing is Closing.SLOW)
            self._scope.cancel()


def farewell(closing: Closing, after: float = 0.0) -> bytes:
    """The goodbye frame, and the close frame with the same code behind it."""
    goodbye = text_frame(frames.encode_goodbye(closing, after))
    return goodbye + close_frame(closing, closing.word)


# What trio-websocket finds wrong by itself, in the contract's words.
_TRANSLATED: Final = {
    1009: farewell(Closing.FRAME_TOO_LARGE),
    CLOSED_WITHOUT_A_FRAME: farewell(Closing.MALFORMED),
}


@dataclass(slots=True)
class _Session:
    """Who is at the other end; *user* is empty for a producer without an inbox."""

    principal: Principal
    user: str
    publishes: int = 0


class WebSocketEdge:
    """Serves WebSockets for one node."""

    def __init__(self, services: Services, publishing: Publishing) -> None:
        self._services = services
        self._publishing = publishing

    async def serve(self, stream: trio.SocketStream, head: RequestHead, raw: bytes) -> None:
        """Serve one connection to its end. Cancelled, it closes at once."""
        name = current_connection.get()
        refusal = self._refusal(head)
        if refusal is not None:
            await stream.send_all(problem_response(refusal))
            return
        ticket, authorization = _credentials(head)
        del head
        settings = self._services.settings
        async with trio.open_nursery() as nursery:
            frame_stream = FrameStream(
                stream,
                prefix=raw,
                outbound_bytes_max=settings.outbound_bytes_max,
                nursery=nursery,
                translate_close=_TRANSLATED,
            )
            del raw
            try:
                with trio.CancelScope() as scope:
                    outlet = WebSocketOutlet(name, frame_stream, scope)
                    await self._converse(nursery, frame_stream, outlet, ticket, authorization)
            finally:
                self._services.connections.closed(name)
                with trio.CancelScope(shield=True):
                    await frame_stream.aclose()
                nursery.cancel_scope.cancel()

    # --- Before the session ----------------------------------------------------------------------

    def _refusal(self, head: RequestHead) -> BadHead | None:
        """Why this handshake is refused, if it is; browsers show the status to nobody else."""
        if head.path != PATH:
            return BadHead(404, f"WebSockets are served at {PATH}.", code="not_found")
        if not is_allowed_origin(head.headers, self._services.settings.origins):
            return BadHead(403, "This origin is not in `origins`.", code="forbidden")
        offered = [
            name.strip()
            for name in ",".join(head.headers.get_all("sec-websocket-protocol")).split(",")
            if name.strip()
        ]
        if offered and frames.SUBPROTOCOL_JSON not in offered:
            detail = f"No subprotocol in common; we speak {frames.SUBPROTOCOL_JSON}."
            return BadHead(400, detail, code="malformed")
        if self._services.readiness.stopping:
            return BadHead(503, "This node is stopping.", headers=(("Retry-After", "1"),))
        return None

    async def _converse(
        self,
        nursery: trio.Nursery,
        stream: FrameStream,
        outlet: WebSocketOutlet,
        ticket: str | None,
        authorization: str | None,
    ) -> None:
        try:
            with trio.fail_after(_HANDSHAKE_TIMEOUT):
                request = await wrap_server_stream(
                    nursery,
                    stream,
                    message_queue_size=_MESSAGE_QUEUE,
                    max_message_size=self._services.settings.frame_bytes_max,
                )
                spoken = frames.SUBPROTOCOL_JSON
                chosen = spoken if spoken in request.proposed_subprotocols else None
                socket = await request.accept(subprotocol=chosen)
            session = await self._greet(socket, outlet, ticket, authorization)
            await self._listen(socket, outlet, session)
        except _Ended as ended:
            outlet.end(ended.closing, ended.after)
        except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _greet(
        self,
        socket: WebSocketConnection,
        outlet: WebSocketOutlet,
        ticket: str | None,
        authorization: str | None,
    ) -> _Session:
        """Wait for `hello`, find out who it is, and attach the device."""
        with trio.move_on_after(self._services.settings.hello_timeout) as patience:
            hello = _decode(await socket.get_message())
        if patience.cancelled_caught:
            raise _Ended(Closing.HELLO_TIMEOUT)
        if not isinstance(hello, frames.Hello):
            raise _Ended(Closing.MALFORMED)
        principal = await self._identify(hello, ticket, authorization)
        self._services.connections.opened(outlet)
        if principal.user is None:
            return self._greet_producer(outlet, principal)
        device = hello.device
        if device is None:
            world = self._services.world
            device = f"device-{uuid7(world.now_ms(), world.entropy(10))}"
        arrived = Arrived(
            outlet,
            device,
            self._cursor(hello),
            hello.window or self._services.settings.window,
            _milliseconds(principal),
        )
        try:
            self._services.users.arrive(principal.user, arrived)
        except MailboxFull:
            raise _Ended(Closing.OVERLOADED, _RETRY_AFTER) from None
        except ActorStopped:
            raise _Ended(Closing.DRAINING, _RETRY_AFTER) from None
        return _Session(principal, principal.user)

    async def _identify(
        self, hello: frames.Hello, ticket: str | None, authorization: str | None
    ) -> Principal:
        authenticator = self._services.authenticator
        try:
            with trio.fail_after(self._services.settings.store_timeout):
                if authorization is not None:
                    return await authenticator.from_header(authorization)
                if ticket is not None:
                    return await authenticator.from_ticket(ticket)
                return await authenticator.from_token(hello.token or "")
        except Unauthenticated as error:
            logger.info("unauthenticated", code=error.code)
            raise _Ended(Closing.UNAUTHENTICATED) from None
        except (AuthUnavailable, ProblemError, trio.TooSlowError):
            raise _Ended(Closing.STORE_UNAVAILABLE, _RETRY_AFTER) from None

    def _cursor(self, hello: frames.Hello) -> Cursor | None:
        if hello.cursor is None:
            return None
        try:
            return parse_cursor(hello.cursor, self._services.status.epoch)
        except ValueError:
            raise _Ended(Closing.MALFORMED) from None

    def _greet_producer(self, outlet: WebSocketOutlet, principal: Principal) -> _Session:
        """An API key has no inbox: it may publish, and that is all there is to say."""
        if "notify" not in principal.scopes:
            raise _Ended(Closing.FORBIDDEN)
        welcome = frames.ProducerWelcome(
            connection=outlet.connection, node=self._services.settings.node
        )
        outlet.offer(frames.encode_server_frame(welcome))
        return _Session(principal, "")

    # --- The session -----------------------------------------------------------------------------

    async def _listen(
        self, socket: WebSocketConnection, outlet: WebSocketOutlet, session: _Session
    ) -> None:
        try:
            while True:
                frame = _decode(await socket.get_message())
                match frame:
                    case frames.Ack() | frames.Nack():
                        self._tell_user(session, Said(outlet.connection, frame))
                    case frames.Publish():
                        self._publish(outlet, session, frame)
                    case frames.Ping():
                        outlet.offer(frames.PONG)
                    case frames.Refresh():
                        await self._refresh(outlet, session, frame)
                    case frames.Mark(request=request):
                        detail = "Marking arrives with the inbox, in the next release."
                        _reply(outlet, request, problem("not_implemented", detail))
                    case frames.Hello():
                        raise _Ended(Closing.MALFORMED)
        finally:
            if session.user:
                self._tell_user(session, Left(outlet.connection), forced=True)

    def _tell_user(self, session: _Session, message: UserMessage, *, forced: bool = False) -> None:
        try:
            self._services.users.tell(session.user, message, forced=forced)
        except MailboxFull:
            # A device that acknowledges faster than its user's actor reads is out of its mind.
            raise _Ended(Closing.OVERLOADED, _RETRY_AFTER) from None

    def _publish(self, outlet: WebSocketOutlet, session: _Session, frame: frames.Publish) -> None:
        def done(answer: Published | ProblemError) -> None:
            session.publishes -= 1
            if isinstance(answer, ProblemError):
                _reply(outlet, frame.request, answer.problem)
            else:
                result = msgspec.Raw(answer.body.encode())
                reply = frames.Reply(frame.request, ok=True, result=result)
                outlet.offer(frames.encode_server_frame(reply))

        session.publishes += 1
        try:
            if session.publishes > _PUBLISHES_MAX:
                detail = f"More than {_PUBLISHES_MAX} publishes wait for their answer."
                done(ProblemError(problem("rate_limited", detail)))
                return
            self._publishing.publish_soon(
                session.principal, bytes(frame.notification), frame.idempotency_key, done
            )
        except ProblemError as error:
            done(error)
        except Forbidden as error:
            done(ProblemError(problem("forbidden", error.detail)))

    async def _refresh(
        self, outlet: WebSocketOutlet, session: _Session, frame: frames.Refresh
    ) -> None:
        """A newer token of the same user keeps the session going; anything else ends it."""
        hello = frames.Hello(token=frame.token)
        principal = await self._identify(hello, None, None)
        if principal.user != session.principal.user:
            raise _Ended(Closing.FORBIDDEN)
        session.principal = principal
        if session.user:
            self._tell_user(session, Refreshed(outlet.connection, _milliseconds(principal)))
        if frame.request is not None:
            reply = frames.Reply(frame.request, ok=True)
            outlet.offer(frames.encode_server_frame(reply))


def _decode(message: str | bytes) -> frames.ClientFrame:
    if isinstance(message, bytes):
        raise _Ended(Closing.MALFORMED)
    try:
        return frames.decode_client_frame(message)
    except frames.MalformedFrame as error:
        logger.info("malformed frame", reason=str(error))
        raise _Ended(Closing.MALFORMED) from None


def _reply(outlet: WebSocketOutlet, request: str | int, wrong: Problem) -> None:
    reply = frames.Reply(request, ok=False, problem=wrong)
    outlet.offer(frames.encode_server_frame(reply))


def _credentials(head: RequestHead) -> tuple[str | None, str | None]:
    return head.query_values().get("ticket"), head.headers.get("authorization")


def _milliseconds(principal: Principal) -> int | None:
    expires_at = principal.expires_at
    if expires_at is None or not math.isfinite(expires_at):
        return None
    return math.floor(expires_at * 1000)
