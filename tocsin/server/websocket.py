"""One WebSocket: the handshake, the hello, and the end.

Two tasks serve a connection: trio-websocket's reader, in which frames are handled
(`frame_stream`, `websocket_session`), and this one, which greets and then only waits for the
end. What the user's actor has for the device leaves through the outlet without either of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from tocsin.actors.connections import current_connection
from tocsin.actors.runtime import ActorStopped, MailboxFull
from tocsin.actors.user_messages import Arrived
from tocsin.protocol import frames
from tocsin.protocol.closing import Closing
from tocsin.protocol.cursor import Cursor, parse_cursor
from tocsin.protocol.heartbeat import Heartbeat, Pulse
from tocsin.protocol.problems import refuse
from tocsin.server.attachment import RETRY_AFTER, expiry_ms, new_device
from tocsin.server.auth import Principal
from tocsin.server.frame_stream import FrameStream
from tocsin.server.http.application import Turned
from tocsin.server.origins import is_allowed_origin
from tocsin.server.publishing import Publishing
from tocsin.server.refusals import EdgeRefusal, Reason
from tocsin.server.request_head import RequestHead
from tocsin.server.services import Services
from tocsin.server.turnstile import ATTACHING_MAX, Place, Turnstile
from tocsin.server.websocket_outlet import TRANSLATED_CLOSES, WebSocketOutlet
from tocsin.server.websocket_session import (
    DirectChannel,
    Ended,
    WebSocketSession,
    decode,
    identified,
)

PATH: Final = "/v1/ws"
_HANDSHAKE_TIMEOUT: Final = 10.0
_MESSAGE_QUEUE: Final = 8
"""Frames kept between the hello and the session's beginning."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the request brought; the token of `hello` comes later."""

    ticket: str | None
    authorization: str | None


class WebSocketEdge:
    """Serves WebSockets for one node.

    Newcomers pass a second turnstile, between the hello and the welcome; the first is at the front
    door. While we wait for the hello, the client is in neither.
    """

    def __init__(self, services: Services, publishing: Publishing) -> None:
        self._services = services
        self._publishing = publishing
        self._attaching = Turnstile(ATTACHING_MAX)

    async def serve(
        self, stream: trio.SocketStream, head: RequestHead, raw: bytes, turn: Place
    ) -> None:
        """Serve one connection, which `check` has passed, to its end.

        Leaves the place *turn* after the handshake. Cancelled, it closes at once.
        """
        credentials = Credentials(
            head.query_values().get("ticket"), head.headers.get("authorization")
        )
        del head  # a page of memory that an idle connection need not hold
        try:
            await self._serve(stream, raw, credentials, turn)
        except* LocalProtocolError:
            # wsproto's word for a ping that came behind trio-websocket's own close: all is said.
            pass

    async def _serve(
        self, stream: trio.SocketStream, raw: bytes, credentials: Credentials, turn: Place
    ) -> None:
        name = current_connection.get()
        async with trio.open_nursery() as nursery:
            frame_stream = FrameStream(
                stream,
                prefix=raw,
                outbound_bytes_max=self._services.settings.outbound_bytes_max,
                nursery=nursery,
                translate_close=TRANSLATED_CLOSES,
                message_bytes_max=self._services.settings.frame_bytes_max,
            )
            try:
                with trio.CancelScope() as scope:
                    outlet = WebSocketOutlet(name, frame_stream, scope)
                    with turn:
                        socket = await self._open(nursery, frame_stream)
                    await self.converse(nursery, socket, outlet, credentials)
            except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
                return
            except trio.Cancelled:
                # Whom the drainer could not tell, because the handshake was not over yet.
                if self._services.readiness.stopping:
                    outlet.end(Closing.DRAINING, RETRY_AFTER)
                raise
            finally:
                with trio.CancelScope(shield=True):
                    # Takes no longer than the stream's own linger timeout.
                    await frame_stream.aclose()
                nursery.cancel_scope.cancel()

    def check(self, head: RequestHead) -> None:
        """Raise `ProblemError` for a handshake that is answered with an HTTP status."""
        if head.path != PATH:
            raise refuse("not_found", f"WebSockets are served at {PATH}.")
        if not is_allowed_origin(head.headers, self._services.settings.origins):
            raise EdgeRefusal(Reason.ORIGIN, "forbidden", "This origin is not in `origins`.")
        offered = head.headers.tokens("sec-websocket-protocol")
        if offered and frames.SUBPROTOCOL_JSON not in offered:
            detail = f"No subprotocol in common; we speak {frames.SUBPROTOCOL_JSON}."
            raise EdgeRefusal(Reason.HANDSHAKE, "malformed", detail)

    async def turn_away(
        self, stream: trio.SocketStream, head: RequestHead, rest: bytes, turned: Turned
    ) -> None:
        """Tell a client inside its WebSocket why it is not served."""
        stream.socket.close()

    async def _open(self, nursery: trio.Nursery, stream: FrameStream) -> WebSocketConnection:
        """Shake hands."""
        with trio.fail_after(_HANDSHAKE_TIMEOUT):
            request = await wrap_server_stream(
                nursery,
                stream,
                message_queue_size=_MESSAGE_QUEUE,
                max_message_size=self._services.settings.frame_bytes_max,
            )
            proposed = frames.SUBPROTOCOL_JSON in request.proposed_subprotocols
            return await request.accept(subprotocol=frames.SUBPROTOCOL_JSON if proposed else None)

    async def converse(
        self,
        nursery: trio.Nursery,
        socket: WebSocketConnection,
        outlet: WebSocketOutlet,
        credentials: Credentials,
    ) -> None:
        """Greet whoever is at *socket*, and hand on what they say until it ends.

        What they do wrong ends *outlet*. *nursery* runs the little that has to wait.
        """
        # From here on somebody is listening, to whom a stop has to say goodbye.
        self._services.connections.opened(outlet)
        try:
            principal, hello = await self._greet(socket, credentials)
            self._services.key_watch.belongs(outlet, principal)
            session = WebSocketSession(outlet, principal, self._services, self._publishing, nursery)
            if principal.user is None:
                self._welcome_producer(outlet, principal)
            else:
                outlet.place = await self._attaching.enter()
                if socket.closed is not None:
                    return  # gone while it stood in the queue
                self._attach(outlet, principal, principal.user, hello)
            try:
                outlet.hear(session.received)
                DirectChannel(socket, session)
                await self._wait_closed(socket, outlet, watched=principal.user is not None)
            finally:
                session.closed()
        except Ended as ended:
            outlet.end(ended.closing, ended.after)
        except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            outlet.leave_place()
            self._services.connections.closed(outlet.connection)
            self._services.key_watch.closed(outlet.connection)

    async def _greet(
        self, socket: WebSocketConnection, credentials: Credentials
    ) -> tuple[Principal, frames.Hello]:
        """Wait for `hello`, and find out who it is."""
        with trio.move_on_after(self._services.settings.hello_timeout) as patience:
            hello = decode(await socket.get_message())
        if patience.cancelled_caught:
            raise Ended(Closing.HELLO_TIMEOUT)
        if not isinstance(hello, frames.Hello):
            raise Ended(Closing.MALFORMED)
        authenticator = self._services.authenticator

        async def ask() -> Principal:
            if credentials.authorization is not None:
                return await authenticator.from_header(credentials.authorization)
            if credentials.ticket is not None:
                return await authenticator.from_socket_ticket(credentials.ticket)
            return await authenticator.from_token(hello.token or "")

        return await identified(self._services, ask), hello

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
            raise Ended(Closing.OVERLOADED, RETRY_AFTER) from None
        except ActorStopped:
            raise Ended(Closing.DRAINING, RETRY_AFTER) from None

    def _cursor(self, hello: frames.Hello) -> Cursor | None:
        if hello.cursor is None:
            return None
        try:
            return parse_cursor(hello.cursor, self._services.status.epoch)
        except ValueError:
            raise Ended(Closing.MALFORMED) from None

    def _welcome_producer(self, outlet: WebSocketOutlet, principal: Principal) -> None:
        """An API key has no inbox: it may publish, and that is all there is to say."""
        if "notify" not in principal.scopes:
            raise Ended(Closing.FORBIDDEN)
        welcome = frames.ProducerWelcome(
            connection=outlet.connection, node=self._services.settings.node
        )
        outlet.say(welcome)

    async def _wait_closed(
        self, socket: WebSocketConnection, outlet: WebSocketOutlet, *, watched: bool
    ) -> None:
        """Return when the connection has ended; *watched* by a user actor, or else by us."""
        if watched:
            await _end_of(socket)
            return
        heartbeat = Heartbeat(self._services.settings.heartbeat, trio.current_time())
        while True:
            with trio.move_on_at(heartbeat.deadline):
                await _end_of(socket)
                return
            match heartbeat.check(trio.current_time(), outlet.last_heard):
                case Pulse.LOST:
                    raise Ended(Closing.HEARTBEAT_LOST, RETRY_AFTER)
                case Pulse.PING:
                    outlet.ping()
                case Pulse.QUIET:
                    pass


async def _end_of(socket: WebSocketConnection) -> None:
    try:
        await socket.get_message()
    except ConnectionClosed:
        return
