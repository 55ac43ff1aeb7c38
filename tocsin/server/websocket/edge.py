"""One WebSocket: the handshake, the hello, and the end.

One task serves a connection: it greets, and then reads to the end (`frame_stream`), handling what
is said as it comes (`websocket_session`). The frames of the user's actor for the device leave
through the outlet without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import trio

from tocsin.actors.delivery.connections import current_connection
from tocsin.actors.delivery.messages import Arrived
from tocsin.actors.runtime.errors import ActorStopped, MailboxFull
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.heartbeat import Heartbeat, Pulse
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor, UnreadableCursor, parse_cursor
from tocsin.protocol.refusal import Refused, refuse
from tocsin.server.admission.limits import Limit
from tocsin.server.admission.origins import is_allowed_origin
from tocsin.server.admission.refusals import EdgeRefusal, Reason
from tocsin.server.attachment import expiry_ms, new_device
from tocsin.server.auth.principal import Principal
from tocsin.server.http.application import TURNED_AWAY, Turned
from tocsin.server.producing.publishing import Publishing
from tocsin.server.request_head import RequestHead
from tocsin.server.services import Services
from tocsin.server.turnstile import ATTACHING_MAX, MARKING_MAX, SPEAKERS_MAX, Place, Turnstile
from tocsin.server.websocket.codec import Codec, codec_of
from tocsin.server.websocket.ended import Ended
from tocsin.server.websocket.frame_stream import FrameStream
from tocsin.server.websocket.handshake import chosen, subprotocols, switching_protocols
from tocsin.server.websocket.outlet import WebSocketOutlet
from tocsin.server.websocket.pace import PaceLimits, device_pace, producer_pace
from tocsin.server.websocket.session import WebSocketSession, identified
from tocsin.server.websocket.turning_away import turn_away

PATH: Final = "/v1/ws"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials that the request brought; the token of `hello` comes later."""

    ticket: str | None
    authorization: str | None


class Conversation(Protocol):
    """The messages of one connection: those of a `FrameStream`, or of the simulation's network.

    Cancelling loses no message that was not handed on.
    """

    async def first_message(self) -> str | bytes | None:
        """Wait for the first message; none if the peer ends before it. Raises `Ended`."""

    async def listen(self, received: Callable[[Any], None]) -> None:
        """Hand on every message until the peer has ended. Raises `Ended`."""

    def admit(self, limits: PaceLimits, message_bytes_max: int) -> None:
        """The peer has said who it is, and may say so much."""

    def has_gone(self) -> bool:
        """Whether the peer has ended while nobody was reading."""


class WebSocketEdge:
    """Serves WebSockets for one node.

    Newcomers pass a second turnstile, between the hello and the welcome; the first is at the front
    door. While we wait for the hello, the client is in neither.
    """

    def __init__(self, services: Services, publishing: Publishing) -> None:
        self._services = services
        self._publishing = publishing
        self._attaching = Turnstile(ATTACHING_MAX)
        self._speakers = Turnstile(SPEAKERS_MAX)
        self._marking = Turnstile(MARKING_MAX)

    async def serve(
        self, stream: trio.SocketStream, head: RequestHead, rest: bytes, turn: Place, address: str
    ) -> None:
        """Serve one connection, which `check` has passed, to its end.

        *rest* is what was read behind its head, *address* the client's. Leaves the place *turn*
        with the handshake, before we wait for anything of theirs. Cancelled, it closes at once.
        """
        with turn:
            answer, codec = switching_protocols(head), codec_of(chosen(head))
            credentials = Credentials(
                head.query_values().get("ticket"), head.headers.get("authorization")
            )
        if self._services.readiness.stopping:
            await self.turn_away(stream, head, rest, Turned.DRAINING, address)
            return
        del head  # a page of memory that an idle connection need not hold
        await self._serve(stream, answer, rest, credentials, address, codec)

    async def _serve(
        self,
        stream: trio.SocketStream,
        answer: bytes,
        early: bytes,
        credentials: Credentials,
        address: str,
        codec: Codec,
    ) -> None:
        name, settings = current_connection.get(), self._services.settings
        async with trio.open_nursery() as nursery:
            frame_stream = FrameStream(
                stream,
                early=early,
                outbound_bytes_max=settings.outbound_bytes_max,
                message_bytes_max=settings.frame_bytes_max,
                nursery=nursery,
                crowd=self._speakers,
                are_binary=codec.is_binary,
            )
            frame_stream.offer(answer)
            del answer, early
            try:
                with trio.CancelScope() as scope:
                    noted = partial(self._services.refusals.note_closing, address=address)
                    outlet = WebSocketOutlet(
                        name, frame_stream, scope, frame_stream.pace, noted, codec
                    )
                    await self.converse(nursery, frame_stream, outlet, credentials)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            except trio.Cancelled:
                # It had just come, so the drainer could not tell it.
                if self._services.readiness.stopping:
                    outlet.end(Closing.DRAINING, Closing.DRAINING.after)
                raise
            finally:
                with trio.CancelScope(shield=True):
                    # Takes no longer than the stream's own linger timeout.
                    await frame_stream.aclose()
                nursery.cancel_scope.cancel()

    def check(self, head: RequestHead) -> None:
        """Check a handshake, before anything is answered.

        Raises `Refused` for one that gets an HTTP status, as `EdgeRefusal` if it is to be counted,
        and `BadHead` for a query that is none.
        """
        head.query_values()
        if head.path != PATH:
            raise refuse("not_found", f"WebSockets are served at {PATH}.")
        if not is_allowed_origin(head.headers, self._services.settings.origins):
            raise EdgeRefusal(Reason.ORIGIN, "forbidden", "This origin is not in `origins`.")
        offered = subprotocols(head)
        if offered and chosen(head) is None:
            detail = f"No subprotocol in common; we speak {' and '.join(frames.SUBPROTOCOLS)}."
            raise EdgeRefusal(Reason.HANDSHAKE, "malformed", detail)

    async def turn_away(
        self,
        stream: trio.SocketStream,
        head: RequestHead,
        rest: bytes,
        turned: Turned,
        address: str,
    ) -> None:
        """Tell a client inside its WebSocket why it is not served. Cancelling closes at once."""
        refusal = TURNED_AWAY[turned]
        closing = refusal.closing
        if turned is Turned.CROWDED:
            self._services.refusals.note(
                Limit.PEER_CONNECTIONS, address=address, status=int(closing)
            )
        else:
            self._services.refusals.note_closing(closing, address=address)
        await turn_away(stream, head, rest, closing, refusal.after, refusal.detail)

    async def converse(
        self,
        nursery: trio.Nursery,
        conversation: Conversation,
        outlet: WebSocketOutlet,
        credentials: Credentials,
    ) -> None:
        """Greet whoever is at *conversation*, and hear what they say until it ends.

        A fault of theirs ends *outlet*. *nursery* runs the little that has to wait. Cancelled, it
        says no goodbye, and the connection is counted and watched no more, as at every end.
        """
        # From here on somebody is listening, to whom a stop has to say goodbye.
        self._services.connections.opened(outlet)
        try:
            greeted = await self._greet(conversation, credentials, outlet.codec)
            if greeted is None:
                return
            principal, hello = greeted
            self._services.credential_watch.belongs(outlet, principal)
            conversation.admit(self._pace_of(principal), self._services.settings.frame_bytes_max)
            session = WebSocketSession(
                *(outlet, principal, self._services, self._publishing, nursery, self._marking),
                codec=outlet.codec,
            )
            if principal.user is None:
                self._welcome_producer(outlet, principal)
            else:
                outlet.place = await self._attaching.enter()
                if conversation.has_gone():
                    return  # while it stood in the queue
                self._attach(outlet, principal, principal.user, hello)
            del greeted, hello
            try:
                if principal.user is None:
                    await self._listen_and_watch(conversation, outlet, session)
                else:
                    await conversation.listen(session.received)  # the user's actor watches
            finally:
                session.closed()
        except Refused as refused:
            outlet.refuse(refused.refusal)
        finally:
            outlet.leave_place()
            self._services.connections.closed(outlet.connection)
            self._services.credential_watch.closed(outlet)

    async def _greet(
        self, conversation: Conversation, credentials: Credentials, codec: Codec
    ) -> tuple[Principal, frames.Hello] | None:
        """Wait for `hello`, and find out who it is; none if they go."""
        timeout = self._services.settings.hello_timeout
        with trio.move_on_after(timeout) as patience:
            message = await conversation.first_message()
        if patience.cancelled_caught:
            detail = f"No `hello` came within {timeout:g} s."
            raise Ended(Closing.HELLO_TIMEOUT, detail)
        if message is None:
            return None
        hello = codec.decode(message)
        if not isinstance(hello, frames.Hello):
            raise Ended(Closing.MALFORMED, "The first frame is `hello`.")
        authenticator = self._services.authenticator
        known = authenticator.known(credentials.authorization)
        if known is not None:
            return known, hello

        async def ask() -> Principal:
            if credentials.authorization is not None:
                return await authenticator.from_header(credentials.authorization)
            if credentials.ticket is not None:
                return await authenticator.from_socket_ticket(credentials.ticket)
            return await authenticator.from_token(hello.token or "")

        return await identified(self._services, ask), hello

    def _pace_of(self, principal: Principal) -> PaceLimits:
        settings = self._services.settings
        of = producer_pace if "notify" in principal.scopes else device_pace
        return of(settings.frames_per_second_max, settings.frame_bytes_per_second_max)

    def _attach(
        self, outlet: WebSocketOutlet, principal: Principal, user: str, hello: frames.Hello
    ) -> None:
        """Hand the device to its user's actor, which says welcome."""
        device = hello.device or new_device(self._services)
        window = hello.window or self._services.settings.window
        arrived = Arrived(outlet, device, self._cursor(hello), window, expiry_ms(principal))
        try:
            self._services.users.arrive(user, arrived)
        except MailboxFull:
            detail = "The devices of this user say more than can be taken in."
            raise Ended(Closing.OVERLOADED, detail) from None
        except ActorStopped:
            raise Ended(Closing.DRAINING) from None

    def _cursor(self, hello: frames.Hello) -> Cursor | None:
        if hello.cursor is None:
            return None
        try:
            return parse_cursor(hello.cursor, self._services.status.epoch)
        except UnreadableCursor as error:
            raise Ended(Closing.MALFORMED, f"hello: `cursor`: {error}") from None

    def _welcome_producer(self, outlet: WebSocketOutlet, principal: Principal) -> None:
        """An API key has no inbox: it may publish, and that is all there is to say."""
        if "notify" not in principal.scopes:
            detail = "This API key lacks the scope `notify`, and a socket is of no other use to it."
            raise Ended(Closing.FORBIDDEN, detail)
        welcome = frames.ProducerWelcome(
            connection=outlet.connection, node=self._services.settings.node
        )
        outlet.say(welcome)

    async def _listen_and_watch(
        self, conversation: Conversation, outlet: WebSocketOutlet, session: WebSocketSession
    ) -> None:
        """Listen, ping when it is silent, and end it when it has gone."""
        heartbeat = Heartbeat(self._services.settings.heartbeat, trio.current_time())
        while True:
            with trio.move_on_at(heartbeat.deadline):
                await conversation.listen(session.received)
                return
            match heartbeat.check(trio.current_time(), outlet.last_heard):
                case Pulse.LOST:
                    raise Ended(Closing.HEARTBEAT_LOST)
                case Pulse.PING:
                    outlet.ping()
                case Pulse.QUIET:
                    pass
