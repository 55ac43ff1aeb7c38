"""The way out of one WebSocket, and its last words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import trio

from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.push import Push
from tocsin.protocol.refusal import Refusal
from tocsin.server.turnstile import Place
from tocsin.server.websocket.codec import JSON, Codec
from tocsin.server.websocket.frame_stream import SLOW_DETAIL
from tocsin.server.websocket.outbound import SlowConsumer
from tocsin.server.websocket.pace import Pace
from tocsin.server.websocket.wire_frames import ping_frame


class FrameSink(Protocol):
    """A taker of whole frames that never waits: a `FrameStream`."""

    @property
    def last_received(self) -> float:
        """When the peer was last heard (Trio time)."""

    def offer(self, data: bytes) -> None:
        """Send *data*, or drop it if the connection has ended; raises `SlowConsumer`."""

    def offer_soon(self, data: bytes) -> None:
        """As `offer`, but together with what else is offered now."""

    def hold(self) -> None:
        """Write nothing before `let_go`."""

    def let_go(self) -> None:
        """Write what was held."""

    def finish(self, data: bytes, *, skip_waiting: bool = False) -> None:
        """Send *data* as the last of all, perhaps before what waits."""


class WebSocketOutlet:
    """An `Outlet` of the user's actor. Ending cancels *scope*, in which the connection runs.

    Each push entitles the client to a frame more of its *pace*, if it has one. *noted* is told why
    it was refused. Frames are written by *codec*.
    """

    __slots__ = (
        "_noted",
        "_pace",
        "_scope",
        "_stream",
        "closing",
        "codec",
        "connection",
        "ended",
        "place",
    )

    transport: Final = "websocket"

    def __init__(
        self,
        connection: str,
        stream: FrameSink,
        scope: trio.CancelScope,
        pace: Pace | None = None,
        noted: Callable[[Closing], None] = lambda closing: None,
        codec: Codec = JSON,
    ) -> None:
        self.connection: Final = connection
        self.codec: Final = codec
        self.ended = False
        self.closing: Closing | None = None
        self.place: Place | None = None
        """Its place in the turnstile until its session begins."""
        self._stream = stream
        self._scope = scope
        self._pace = pace
        self._noted = noted

    @property
    def last_heard(self) -> float:
        """When the last bytes came in (Trio time)."""
        return self._stream.last_received

    def hold(self) -> None:
        """Write nothing before `let_go`: a write costs more than all else about a small frame."""
        self._stream.hold()

    def let_go(self) -> None:
        """Write what was held."""
        self._stream.let_go()

    def take_handed(self) -> int:
        """None: what the socket has taken does not matter, since the device answers."""
        return 0

    def begin(self, start: Cursor) -> None:
        """Let the next device in; where a push stands in the log is in the push."""
        self.leave_place()

    def leave_place(self) -> None:
        """Let others in: they need not wait for it any more; again is no harm."""
        if self.place is not None:
            self.place.leave()
            self.place = None

    def push(self, push: Push) -> None:
        """Send a push; too much that waits ends the connection, as it does for all frames."""
        if self._pace is not None:
            self._pace.entitle()
        codec = self.codec
        try:
            self._stream.offer(codec.wrapped(codec.push(push)))
        except SlowConsumer:
            self._end_slow()

    def say(self, frame: frames.ServerFrame) -> None:
        """Send one of the other frames."""
        self._offer(self.codec.wrapped(self.codec.say(frame)))

    def say_soon(self, frame: frames.ServerFrame) -> None:
        """As `say`, in one write with what else is said now."""
        try:
            self._stream.offer_soon(self.codec.wrapped(self.codec.say(frame)))
        except SlowConsumer:
            self._end_slow()

    def pong(self) -> None:
        """Answer a `ping` frame."""
        self._offer(self.codec.wrapped(self.codec.pong))

    def ping(self) -> None:
        """Send a WebSocket ping."""
        self._offer(ping_frame())

    def end(self, closing: Closing, after: float = 0.0, detail: str = "") -> None:
        """Say goodbye and close; only the first call counts."""
        if not self.ended:
            self.ended, self.closing = True, closing
            words = self.codec.farewell(closing, after, detail)
            self._stream.finish(words, skip_waiting=closing is Closing.SLOW)
            self._scope.cancel()

    def refuse(self, refusal: Refusal) -> None:
        """End for what the client has done, or could not be given: seen by operators as well."""
        closing = refusal.closing
        if not self.ended:
            self._noted(closing)
        self.end(closing, refusal.after, refusal.last_words)

    def _end_slow(self) -> None:
        self.end(Closing.SLOW, Closing.SLOW.after, SLOW_DETAIL)

    def _offer(self, data: bytes) -> None:
        try:
            self._stream.offer(data)
        except SlowConsumer:
            self._end_slow()
