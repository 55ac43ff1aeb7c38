"""The pushes of one session that are in flight: pushed, and not answered yet.

A later change of a notification supersedes the one in flight, which is then never sent again: it
would take the device back. It stays in flight all the same, because the device has it to answer; a
device that answers nothing would otherwise be sent a busy notification's every change.

The first deadline may be early, never late: keeping it exact would cost a search per
acknowledgment, an early wake-up costs one look.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tocsin.protocol.log.push import Push


class Flight:
    """See the module. *bytes* counts the content, *first_deadline* is in Trio seconds."""

    __slots__ = ("_by_sequence", "_latest", "bytes", "first_deadline")

    def __init__(self) -> None:
        # By sequence, ascending; and by notification, without the superseded.
        self._by_sequence: dict[int, Push] = {}
        self._latest: dict[str, Push] = {}
        self.bytes = 0
        self.first_deadline = math.inf

    def __len__(self) -> int:
        return len(self._by_sequence)

    def __iter__(self) -> Iterator[Push]:
        """A snapshot, so that what is looked at may be dropped."""
        return iter(list(self._by_sequence.values()))

    def has_room(self, pushes_max: int, bytes_max: int) -> bool:
        """Whether there are fewer than so many pushes, and fewer bytes of content."""
        return len(self._by_sequence) < pushes_max and self.bytes < bytes_max

    @property
    def first(self) -> Push | None:
        """The one with the smallest sequence."""
        # Sequences enter in ascending order, so the first is the smallest.
        for push in self._by_sequence.values():
            return push
        return None

    def latest(self, notification_id: str) -> Push | None:
        """The last change of the notification that is in flight."""
        return self._latest.get(notification_id)

    def answered(self, notification_id: str) -> Push | None:
        """The device has answered the notification: take what that means out of flight.

        Returns the change that it has answered for certain: the last one, or, while earlier ones
        are unanswered too, the first of these, since the answer may have crossed the others.
        """
        push = self.latest(notification_id)
        if push is None:
            return None
        older = self.older(push)
        if not older:
            self.drop(push)
            return push
        # Also where the later one was sent again: it may be waiting on a device that does not read,
        # and whose words still come.
        push.unanswered = 0
        for earlier in older:
            self.drop(earlier)
        return older[0]

    def older(self, push: Push) -> list[Push]:
        """The pushes that *push* superseded and that are unanswered."""
        flying = self._by_sequence
        return [flying[sequence] for sequence in push.older if sequence in flying]

    def oldest(self, push: Push) -> int:
        """The first sequence of `older`; 0 for none."""
        return next((older.sequence for older in self.older(push)), 0)

    def through(self, sequence: int) -> list[Push]:
        """Those up to *sequence*, ascending."""
        covered = []
        for push in self._by_sequence.values():
            if push.sequence > sequence:
                break
            covered.append(push)
        return covered

    def add(self, push: Push) -> None:
        """A new push, with a greater sequence than any before; it supersedes earlier changes."""
        earlier = self._latest.get(push.notification_id)
        if earlier is not None:
            earlier.superseded = True
            earlier.deadline = math.inf
            push.older = (*(each.sequence for each in self.older(earlier)), earlier.sequence)
        self._by_sequence[push.sequence] = push
        self._latest[push.notification_id] = push
        self.bytes += len(push.notification)
        if push.deadline < self.first_deadline:
            self.first_deadline = push.deadline

    def drop(self, push: Push) -> None:
        """Take *push* out of flight, and what it superseded with it."""
        del self._by_sequence[push.sequence]
        self.bytes -= len(push.notification)
        if not push.superseded:
            del self._latest[push.notification_id]
            for earlier in self.older(push) if push.older else ():
                self.drop(earlier)
        if not self._by_sequence:
            self.first_deadline = math.inf

    def set_deadline(self, push: Push, deadline: float) -> None:
        """*push* wants to be looked at by *deadline* (Trio seconds)."""
        push.deadline = deadline
        self.first_deadline = min(self.first_deadline, deadline)
