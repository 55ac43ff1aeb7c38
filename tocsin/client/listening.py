"""A `Follower` with a socket and a clock: connect, converse, come back."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from tocsin.client.actions import Action, Send, Show, Stop, Tell, Wait
from tocsin.client.follower import Follower
from tocsin.protocol.frames import SUBPROTOCOL_JSON

Stream: TypeAlias = "trio.SocketStream | trio.SSLStream[trio.SocketStream]"

PATH: Final = "/v1/ws"
CONNECT_TIMEOUT: Final = 10.0
"""Seconds to connect and shake hands, TLS included: what hangs for longer will not come."""
CLOSE_TIMEOUT: Final = 3.0
"""Seconds for the closing handshake: a person who has pressed Ctrl-C waits for it."""
_QUEUE: Final = 64
"""Frames that may wait while one is printed."""


class Screen(Protocol):
    """Where the news goes; it is shown before it is acknowledged, so it must not return early."""

    def show(self, push: Show) -> None:
        """A push, for the first time."""

    def tell(self, news: Tell) -> None:
        """Something about the connection."""


class Listening:
    """Carries out what *follower* wants, with the server at *base* (http or https)."""

    def __init__(self, follower: Follower, base: str, screen: Screen) -> None:
        self._follower = follower
        self._base = urlsplit(base)
        self._screen = screen
        self._left = False
        # Around whatever may take long. Not the whole of `run`: the socket's own reader has to
        # live on until the connection has been closed in good order.
        self._waiting = trio.CancelScope()

    def leave(self) -> None:
        """Have `run` end soon: what was shown is acknowledged, and the connection closed."""
        self._left = True
        self._waiting.cancel()

    async def run(self) -> Stop:
        """Follow until there is no use in going on, or until told to leave.

        Cancelling cuts the connection: what was shown last may come again.
        """
        while True:
            end = await self._connect()
            if isinstance(end, Stop):
                return end
            with self._interruptible(trio.current_time() + end.delay):
                await trio.sleep_forever()
            if self._left:
                return Stop()

    def _interruptible(self, deadline: float) -> trio.CancelScope:
        self._waiting = trio.CancelScope(deadline=deadline)
        if self._left:
            self._waiting.cancel()
        return self._waiting

    # --- One connection --------------------------------------------------------------------------

    async def _connect(self) -> Stop | Wait:
        stream: Stream | None = None
        try:
            with self._interruptible(trio.current_time() + CONNECT_TIMEOUT):
                stream = await self._open_stream()
        except (OSError, trio.BrokenResourceError) as error:
            return self._ended(self._follower.unreachable(reason(error)))
        if stream is None:
            return self._ended(self._follower.unreachable("the server does not answer"))
        refusals: list[HandshakeError] = []
        try:
            async with trio.open_nursery() as nursery:
                end = await self._shake_hands(nursery, stream)
                nursery.cancel_scope.cancel()
                return end
        except* HandshakeError as group:
            # From trio-websocket's reader, which is a task of the nursery.
            refusals += [each for each in group.exceptions if isinstance(each, HandshakeError)]
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
        if refusals and isinstance(refusals[0], ConnectionRejected):
            return self._rejected(refusals[0])
        return self._ended(self._follower.unreachable("the server does not speak WebSocket"))

    async def _open_stream(self) -> Stream:
        host = self._base.hostname or ""
        if self._base.scheme != "https":
            return await trio.open_tcp_stream(host, self._base.port or 80)
        context = ssl.create_default_context()
        secure = await trio.open_ssl_over_tcp_stream(
            host, self._base.port or 443, ssl_context=context, https_compatible=True
        )
        await secure.do_handshake()
        return secure

    async def _shake_hands(self, nursery: trio.Nursery, stream: Stream) -> Stop | Wait:
        socket: WebSocketConnection | None = None
        with self._interruptible(trio.current_time() + CONNECT_TIMEOUT):
            # Not `open_websocket_url`, whose Host header lacks the brackets of an IPv6 address.
            socket = await wrap_client_stream(
                nursery,
                stream,
                self._base.netloc.rpartition("@")[2],
                self._base.path.rstrip("/") + PATH,
                subprotocols=[SUBPROTOCOL_JSON],
                message_queue_size=_QUEUE,
            )
        if socket is None:
            return self._ended(self._follower.unreachable("the server does not answer"))
        try:
            end = await self._converse(socket)
            with trio.move_on_after(CLOSE_TIMEOUT):
                await self._say_goodbye(socket)
        except ConnectionClosed as closed:
            code = None if closed.reason is None else closed.reason.code
            end = self._ended(self._follower.closed(code))
        return end

    async def _converse(self, socket: WebSocketConnection) -> Stop | Wait:
        """From hello to the end; raises `ConnectionClosed` if the other side ends it."""
        follower = self._follower
        end = await self._perform(follower.opened(trio.current_time()), socket)
        while end is None:
            message: str | bytes | None = None
            with self._interruptible(follower.next_deadline()):
                message = await socket.get_message()
            now = trio.current_time()
            actions = follower.due(now) if message is None else follower.heard(message, now)
            end = await self._perform(actions, socket)
            if self._left:
                return Stop()
        return end

    async def _say_goodbye(self, socket: WebSocketConnection) -> None:
        await self._perform(self._follower.leaving(), socket)
        await socket.aclose()

    # --- What the follower wants -----------------------------------------------------------------

    async def _perform(
        self, actions: Sequence[Action], socket: WebSocketConnection
    ) -> Stop | Wait | None:
        """Carry out *actions* in order; returns the one that ends the connection, if one does."""
        for action in actions:
            if isinstance(action, Send):
                await socket.send_message(action.text)
            elif (end := self._perform_here(action)) is not None:
                return end
        return None

    def _ended(self, actions: Sequence[Action]) -> Stop | Wait:
        """Carry out *actions* without a connection: one of them says how to go on."""
        if self._left:
            return Stop()
        ends = [end for action in actions if (end := self._perform_here(action)) is not None]
        return ends[0]

    def _perform_here(self, action: Action) -> Stop | Wait | None:
        match action:
            case Show():
                self._screen.show(action)
            case Tell():
                self._screen.tell(action)
            case Stop() | Wait():
                return action
            case Send():
                raise AssertionError("nothing can be sent without a connection")
        return None

    def _rejected(self, rejected: ConnectionRejected) -> Stop | Wait:
        """The server answered the handshake with something else than a WebSocket."""
        status = rejected.status_code
        headers = {name.lower(): value for name, value in rejected.headers or ()}
        try:
            said = msgspec.json.decode(rejected.body or b"", type=_Problem).detail
        except msgspec.DecodeError:
            said = "is this a Tocsin server?"
        if status < 500 and status != 429:
            text = f"The server refused the connection ({status}): {said}"
            return Stop(text, unauthenticated=status == 401)
        after = headers.get(b"retry-after", b"").decode("latin-1")
        why = f"the server said {status}, {said.rstrip('.')}"
        delay = float(after) if after.isdecimal() else None
        return self._ended(self._follower.unreachable(why, delay))


class _Problem(msgspec.Struct):
    detail: str


def reason(error: BaseException) -> str:
    """The text of an error from a socket, short."""
    cause = error.__cause__
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"no TLS there ({error.reason or error})"  # its errno is OpenSSL's, not the OS's
    if isinstance(error, OSError) and error.errno is not None:
        # Trio puts the address into the error's own text; a failed look-up has no errno of the OS.
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)
    if isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if cause is not None:
        return reason(cause)
    return str(error) or type(error).__name__
