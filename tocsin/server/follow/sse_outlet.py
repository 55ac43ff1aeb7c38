"""The way out of one SSE stream: events are written here, and wait until the stream takes them.

The user's actor must not wait for a socket, and the answer is written by its connection's task, as
fast as the socket takes it. In between stands a bounded list; what waits goes out as one chunk.
When the next chunk is asked for, the socket has taken the one before.

While that task waits, an event need not wake it: it is written in the actor's turn, as far as the
socket takes it. That is nearly always whole. If not, the task is woken, and writes the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import trio

from tocsin.actors.runtime.bell import Bell
from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.push import Push
from tocsin.server.follow.sse_events import COMMENT, event, goodbye, retry
from tocsin.server.turnstile import Place


class SseOutlet:
    """An `Outlet` of the user's actor. *retry* in seconds, after an end without a goodbye."""

    __slots__ = (
        "_bell",
        "_bytes_max",
        "_direct",
        "_ended",
        "_events",
        "_handed_at_once",
        "_holds",
        "_in_hand",
        "_pushed",
        "_retry",
        "_start",
        "_unfinished",
        "_waiting",
        "_waits",
        "_written_at",
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
        self._direct: Callable[[bytes], bool] | None = None
        self._holds = False
        self._handed_at_once = 0
        self._unfinished = 0  # bytes of a chunk that the socket has not taken whole
        self._written_at = -math.inf

    def write_directly(self, write: Callable[[bytes], bool]) -> None:
        """From now on chunks may be given to *write* while one is waited for; see `Lasting`."""
        self._direct = write

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
        """Write nothing in the actor's turn: all that waits is one chunk of the stream."""
        self._holds = True

    def let_go(self) -> None:
        """Write what was held."""
        self._holds = False
        if self._events:
            self._wake()

    def push(self, push: Push) -> None:
        """Write a *push* event; too much that waits ends the stream, as it does for all events."""
        self._pushed = push.sequence
        self._put(self._placed(push.sequence) + event("push", frames.encode_push(push)))

    def take_handed(self) -> int:
        """As `Outlet.take_handed`."""
        handed, self._handed_at_once = self._handed_at_once, 0
        return handed

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
        self._in_hand = self.handed = self._unfinished = 0
        if not self._events and not self._ended:
            await self._wait(patience)
        else:
            await trio.lowlevel.checkpoint()
        chunk = self._take_waiting() or (b"" if self._ended else COMMENT)
        self._in_hand, self._unfinished = self._unfinished + len(chunk), 0
        self.handed, self._pushed = self._pushed, 0
        return chunk

    async def _wait(self, patience: float) -> None:
        """Wait until there is something for the task to write, or *patience* seconds after the last
        write."""
        now = trio.current_time()
        until = now + patience
        while now < until and not (self._events or self._ended or self._unfinished):
            self._waits = True
            try:
                await self._bell.wait(until)
            finally:
                self._waits = False
            now = trio.current_time()
            until = max(until, self._written_at + patience)

    # --- Inside ----------------------------------------------------------------------------------

    def _put(self, event: bytes) -> None:
        if self._ended:
            return
        self._waiting += len(event)
        if self._in_hand + self._unfinished + self._waiting > self._bytes_max:
            self.end(Closing.SLOW, Closing.SLOW.after)
            return
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        if not self._waits:
            return  # a ring would be kept, and end a wait that has heard nothing
        if self._direct is None or self._ended:
            self._bell.ring()
        elif not self._holds:
            self._write_now(self._direct)

    def _write_now(self, write: Callable[[bytes], bool]) -> None:
        """Write all that waits, or begin to, and wake the task for the rest."""
        chunk = self._take_waiting()
        if write(chunk):
            self._written_at = trio.current_time()
            self._handed_at_once, self._pushed = self._pushed or self._handed_at_once, 0
        else:
            self._unfinished, self._waits = len(chunk), False
            self._bell.ring()

    def _take_waiting(self) -> bytes:
        chunk = b"".join(self._events)
        self._events.clear()
        self._waiting = 0
        return chunk

    def _placed(self, sequence: int) -> bytes:
        return b"id: %b\n" % str(self._start.moved(sequence)).encode()


def _name(frame: frames.ServerFrame) -> str:
    return str(frame.__struct_config__.tag)
