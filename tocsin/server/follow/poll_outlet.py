"""The way out of one long poll: what comes is gathered until there is enough to answer with."""

from __future__ import annotations

import math
from typing import Final, assert_never

from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.push import Push
from tocsin.server.follow.moment import Moment, Turn
from tocsin.server.turnstile import AnswerLine


class PollOutlet:
    """An `Outlet` of the user's actor. Full with *limit* pushes, or *bytes_max* of content.

    *caught_up* says that nothing is missing behind what was gathered. Both moments stay set: first
    `looked` (the log was read as far as it will be), then `enough` (waiting longer is of no use,
    and it is the poll's turn in *line*).
    """

    __slots__ = (
        "_bytes",
        "_bytes_max",
        "_limit",
        "after",
        "caught_up",
        "changes",
        "closing",
        "connection",
        "cursor",
        "detail",
        "enough",
        "looked",
        "reset",
        "unread",
        "unseen",
    )

    # A client that waits for an answer is silent; if it hangs up, the request is cancelled.
    last_heard: Final = math.inf
    transport: Final = "poll"

    def __init__(self, connection: str, limit: int, bytes_max: int, line: AnswerLine) -> None:
        self.connection: Final = connection
        self.changes: list[bytes] = []
        self.cursor: Cursor | None = None
        """Where the next poll goes on; known once the session has begun."""
        self.unread = self.unseen = 0
        self.reset: str | None = None
        self.closing: Closing | None = None
        self.after = 0.0
        self.detail = ""
        self.caught_up = False
        self.looked = Moment()
        self.enough = Turn(line)
        self._limit = limit
        self._bytes_max = bytes_max
        self._bytes = 0

    # --- The actor's side ------------------------------------------------------------------------

    def begin(self, start: Cursor) -> None:
        """Gather anew."""
        self.cursor = start
        self.changes.clear()
        self._bytes = 0
        self.caught_up = False

    def hold(self) -> None:
        """Nothing: all that is said before the answer is in the answer."""

    def let_go(self) -> None:
        """Nothing; see `hold`."""

    def push(self, push: Push) -> None:
        """One more change; a live one is what the poll has waited for."""
        self.changes.append(frames.encode_push(push))
        self._move(push.sequence)
        self.unread, self.unseen = push.unread, push.unseen
        self._bytes += len(push.notification)
        is_full = len(self.changes) >= self._limit or self._bytes >= self._bytes_max
        if is_full or self.caught_up:
            self._answer()

    def take_handed(self) -> int:
        """None: the answer is not written in the actor's turn."""
        return 0

    def say(self, frame: frames.ServerFrame) -> None:
        """Note what concerns the answer."""
        match frame:
            case frames.Welcome():
                self.unread, self.unseen = frame.unread, frame.unseen
            case frames.Counters():
                # The poll may have waited for nothing else.
                self.unread, self.unseen = frame.unread, frame.unseen
                self._answer()
            case frames.Reset(reason=reason):
                self.reset = reason
            case frames.Synced(sequence=sequence):
                self._move(sequence)
                self.caught_up = True
                self.looked.set()
                if self.changes or self.reset is not None:
                    self._answer()
            case frames.ProducerWelcome() | frames.Status() | frames.Reply() | frames.Goodbye():
                pass  # none of these concerns the answer to a poll
            case _:
                assert_never(frame)

    def ping(self) -> None:
        """Nothing: the answer is the next thing that the client hears."""

    def end(self, closing: Closing, after: float = 0.0, detail: str = "") -> None:
        """Answer now, with what there is, and why; only the first call counts."""
        if self.closing is None:
            self.closing, self.after, self.detail = closing, after, detail
            self._answer()

    # --- Inside ----------------------------------------------------------------------------------

    def _move(self, sequence: int) -> None:
        assert self.cursor is not None
        self.cursor = self.cursor.moved(sequence)

    def _answer(self) -> None:
        self.looked.set()
        self.enough.set()
