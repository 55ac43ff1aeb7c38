"""A device at the other end of the session: what it was sent, what it shows, what it has kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tocsin.protocol.log.push import CaughtUp, Push


class Sent(NamedTuple):
    """A push as it went over the wire; the session's own changes with every resend."""

    sequence: int
    previous: int
    change: str
    attempt: int
    replay: bool
    unread: int
    notification: str

    @classmethod
    def of(cls, push: Push) -> Sent:
        return cls(
            push.sequence,
            push.previous,
            push.change,
            push.attempt,
            push.replay,
            push.unread,
            push.notification_id,
        )


@dataclass
class DeviceModel:
    """Keeps what it shows and its cursor over sessions; *floor* is where its knowledge begins."""

    shown: dict[str, tuple[int, str]] = field(default_factory=dict)
    cursor: int | None = None
    floor: int = 0
    unread: int = 0
    backup: tuple[dict[str, tuple[int, str]], int, int] | None = None

    # One session long.
    wire: list[Sent | CaughtUp] = field(default_factory=list)
    received: list[Sent] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    synced: bool = False

    def connect(self, start: int, unread: int, *, anew: bool) -> None:
        """A session begins at *start*, with so many unread; *anew* if what it shows was dropped."""
        self.unread = unread
        if anew:
            self.shown = {}
        if anew or self.cursor is None:
            self.floor = start
        self.cursor = start
        self.wire, self.received, self.acknowledged, self.synced = [], [], set(), False

    def back_up(self) -> None:
        assert self.cursor is not None
        self.backup = (dict(self.shown), self.cursor, self.floor)

    def restore(self) -> int:
        assert self.backup is not None
        shown, cursor, self.floor = self.backup
        self.shown, self.cursor = dict(shown), cursor
        return cursor

    def receive(self) -> None:
        """Take the next frame off the wire."""
        frame = self.wire.pop(0)
        if isinstance(frame, CaughtUp):
            assert not self.synced, "synced twice"
            self.synced = True
            assert self.cursor is not None
            self.cursor = max(self.cursor, frame.sequence)
            return
        assert self.cursor is not None
        if frame.sequence > self.cursor:
            # The device need not guess whether it missed something: each push names the one before.
            last = max((each.sequence for each in self.received), default=None)
            assert last is None or frame.previous == last
            assert frame.replay is not self.synced
            self.cursor = frame.sequence
        else:
            assert frame.sequence in {each.sequence for each in self.received}
        self.received.append(frame)
        self.unread = frame.unread
        # Never an older change of a notification after a newer one.
        assert frame.sequence >= self.shown.get(frame.notification, (0, ""))[0]
        self.shown[frame.notification] = (frame.sequence, frame.change)

    def on_the_wire(self, notification: str) -> list[Sent]:
        return [
            frame
            for frame in self.wire
            if isinstance(frame, Sent) and frame.notification == notification
        ]
