"""The pushes of a session that the device has not answered, kept in the plainest way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tocsin.protocol.log.push import Push


@dataclass
class FlightModel:
    """By sequence: all that was *pushed*, what is *unanswered* of it, and how often it was sent.

    *tries* counts all times in this session, *silent* those since the device last refused it.
    """

    pushed: dict[int, Push] = field(default_factory=dict)
    unanswered: dict[int, Push] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    silent: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.unanswered)

    @property
    def size(self) -> int:
        return sum(len(push.notification) for push in self.unanswered.values())

    @property
    def last(self) -> int:
        """The greatest sequence pushed; 0 for none."""
        return max(self.pushed, default=0)

    # --- By notification -------------------------------------------------------------------------

    def latest(self, notification: str) -> Push | None:
        return max(self._changes(notification), key=lambda push: push.sequence, default=None)

    def older(self, notification: str) -> list[Push]:
        latest = self.latest(notification)
        return [push for push in self._changes(notification) if push is not latest]

    def is_latest(self, push: Push) -> bool:
        return self.latest(push.notification_id) is push

    def due(self, now: float) -> set[int]:
        return {
            sequence
            for sequence, push in self.unanswered.items()
            if self.is_latest(push) and push.deadline <= now
        }

    def _changes(self, notification: str) -> list[Push]:
        return [push for push in self.unanswered.values() if push.notification_id == notification]

    # --- Events ----------------------------------------------------------------------------------

    def push(self, push: Push) -> None:
        sequence = push.sequence
        self.pushed[sequence] = self.unanswered[sequence] = push
        self.tries[sequence] = self.tries.get(sequence, 0) + 1
        self.silent[sequence] = self.silent.get(sequence, 0) + 1

    def acknowledge_through(self, sequence: int) -> set[int]:
        """The sequences that are now known to have arrived: the last one of each notification."""
        covered = [push for push in self.unanswered.values() if push.sequence <= sequence]
        confirmed = {push.notification_id: push.sequence for push in covered}
        for push in covered:
            self.forget(push)
        return set(confirmed.values())

    def acknowledge_ids(self, ids: Iterable[str]) -> set[int]:
        """An ack by id answers the earlier changes first."""
        confirmed = set()
        for notification in dict.fromkeys(ids):
            push = self.latest(notification)
            older = self.older(notification)
            if push is not None and older:
                self.silent[push.sequence] = 0
                for earlier in older:
                    self.forget(earlier)
                confirmed.add(older[0].sequence)
            elif push is not None:
                self.forget(push)
                confirmed.add(push.sequence)
        return confirmed

    def forget(self, push: Push) -> None:
        """Where the last change of a notification is spared, the earlier ones are as well."""
        if self.is_latest(push):
            for older in self.older(push.notification_id):
                del self.unanswered[older.sequence]
        self.unanswered.pop(push.sequence, None)
