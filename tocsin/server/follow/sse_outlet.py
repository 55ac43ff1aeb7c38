"""The way out of one SSE stream: events are written here, and wait until the stream takes them.

The user's actor must not wait for a socket, and the answer is written by its connection's task, as
fast as the socket takes it. In between stands a bounded list; what waits goes out as one chunk.
When the next chunk is asked for, the socket has taken the one before.
"""

from __future__ import annotations

import math
from typing import Final

import trio

from tocsin.actors.runtime.bell import Bell
from tocsin.protocol import frames
from tocsin.protocol.closing import Closing
from tocsin.protocol.cursor import Cursor
from tocsin.protocol.push import Push
from tocsin.server.follow.sse_events import COMMENT, event, goodbye, retry
from tocsin.server.turnstile import Place


class SseOutlet:
    """An `Outlet` of the user's actor. *retry* in seconds, after an end without a goodbye."""

    __slots__ = (
        "_bell",
        "_bytes_max",
        "_ended",
        "_events",
        "_in_hand",
        "_pushed",
        "_retry",
        "_start",
        "_waiting",
        "_waits",
        "closing",
        "connection",
        "handed",
        "place",
    )

    # A stream says nothing. That its client has gone shows when a write is not taken in time.
    last_heard: Final = math.inf
    transport: Final = "sse"

    def __init__(self, connection: str, bytes_max: int, retry: float) -> None:
        self.connection: Final = connection
        self.place: Place | None = None
        """Its place in the turnstile until its session begins."""
        self.closing: Closing | None = None
        self.handed = 0
        """The last sequence in the chunk that was taken; 0 for none."""
        self._bytes_max = bytes_max
        self._retry = retry
        self._start = Cursor("", 0)
        self._events: list[bytes] = []
        self._waiting = self._in_hand = self._pushed = 0
        self._ended = False
        self._bell = Bell()
        self._waits = False

    # --- The actor's side ------------------------------------------------------------------------

    def begin(self, start: Cursor) -> None:
        """The ids of the events are places behind *start*. The next device may come in."""
        self._start = start
        self.leave_place()

    def leave_place(self) -> None:
        """Let others in: they need not wait for it any more; again is no harm."""
        if self.place is not None:
            self.place.leave()
            self.place = None

    def hold(self) -> None:
        """Nothing: all that waits is one chunk of the stream."""

    def let_go(self) -> None:
        """Nothing; see `hold`."""

    def push(self, push: Push) -> None:
        """Write a *push* event; too much that waits ends the stream, as it does for all events."""
        self._pushed = push.sequence
        self._put(self._placed(push.sequence) + event("push", frames.encode_push(push)))

    def say(self, frame: frames.ServerFrame) -> None:
        """Write an event that is named as the frame's type."""
        lines = b""
        if isinstance(frame, frames.Welcome):
            lines = retry(self._retry)
        elif isinstance(frame, frames.Synced):
            # Else who comes back after a long silence is shown again what was left out.
            lines = self._placed(frame.sequence)
        self._put(lines + event(_name(frame), frames.encode_server_frame(frame)))

    def ping(self) -> None:
        """Nothing: the stream itself breaks its silence."""

    def end(self, closing: Closing, after: float = 0.0, detail: str = "") -> None:
        """Say goodbye behind what waits, and end the stream; only the first call counts."""
        if self._ended:
            return
        if closing is Closing.SLOW:
            self._events.clear()
        self.leave_place()
        self._events.append(goodbye(closing, after, detail))
        self._ended, self.closing = True, closing
        self._wake()

    # --- The stream's side -----------------------------------------------------------------------

    async def take(self, patience: float) -> bytes:
        """The events that wait; a comment after *patience* seconds of silence; nothing once all is
        said.

        The chunk before counts as written. Cancelling takes nothing.
        """
        self._in_hand = self.handed = 0
        if not self._events and not self._ended:
            self._waits = True
            try:
                await self._bell.wait(trio.current_time() + patience)
            finally:
                self._waits = False
        else:
            await trio.lowlevel.checkpoint()
        if not self._events:
            return b"" if self._ended else COMMENT
        chunk = b"".join(self._events)
        self._events.clear()
        self._in_hand, self._waiting = len(chunk), 0
        self.handed, self._pushed = self._pushed, 0
        return chunk

    # --- Inside ----------------------------------------------------------------------------------

    def _put(self, event: bytes) -> None:
        if self._ended:
            return
        self._waiting += len(event)
        if self._in_hand + self._waiting > self._bytes_max:
            self.end(Closing.SLOW, Closing.SLOW.after)
            return
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._waits:  # else the ring would be kept, and end a wait that has heard nothing
            self._bell.ring()

    def _placed(self, sequence: int) -> bytes:
        return b"id: %b\n" % str(self._start.moved(sequence)).encode()


def _name(frame: frames.ServerFrame) -> str:
    return str(frame.__struct_config__.tag)
