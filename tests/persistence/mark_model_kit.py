"""Inboxes as they are promised: states, sequences and counters, without a database.

The counters are not kept but counted, and every rule is said in the simplest way, however slow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin.persistence.store.commands import Counters
from tocsin.persistence.store.upkeep_commands import Purged
from tocsin.persistence.store.user_commands import BeyondHead, Marked, MarkInbox
from tocsin.protocol.notifications.marking import marked, times
from tocsin.protocol.notifications.notification import State


@dataclass
class Item:
    """A user's row of a notification."""

    notification: str
    created: int
    sequence: int
    expires_at: int | None
    state: State = State.UNSEEN
    seen_at: int | None = None
    read_at: int | None = None
    archived_at: int | None = None
    expired_at: int | None = None

    @property
    def is_open(self) -> bool:
        return self.expired_at is None and self.state != State.WITHDRAWN


@dataclass
class UserModel:
    head: int = 0
    horizon: int = 0
    items: list[Item] = field(default_factory=list)

    @property
    def counters(self) -> Counters:
        states = [item.state for item in self.items if item.is_open]
        unseen = states.count(State.UNSEEN)
        return Counters(unseen + states.count(State.SEEN), unseen)

    def next(self) -> int:
        self.head += 1
        return self.head

    def publish(self, notification: str, expires_at: int | None) -> None:
        sequence = self.next()
        self.items.append(Item(notification, sequence, sequence, expires_at))

    def touch(self, notification: str, *, withdraw: bool) -> None:
        """The producer changes it or takes it back."""
        for item in self.items:
            if item.notification == notification and item.is_open:
                item.sequence = self.next()
                if withdraw:
                    item.state = State.WITHDRAWN

    def expire(self, now_ms: int) -> None:
        for item in self.items:
            if item.is_open and item.expires_at is not None and item.expires_at <= now_ms:
                item.expired_at = now_ms

    def mark(self, command: MarkInbox) -> Marked | BeyondHead:
        if command.through is not None and command.through > self.head:
            return BeyondHead(self.head)
        by_id = command.ids is not None
        chosen = [
            (item, state)
            for item in sorted(self.items, key=lambda item: item.created)
            if item.is_open
            and (command.ids is None or item.notification in command.ids)
            and (command.through is None or item.created <= command.through)
            and (state := marked(item.state, command.mark, by_id=by_id)) is not None
        ]
        for item, state in chosen[: command.limit]:
            item.state, item.sequence = state, self.next()
            item.seen_at, item.read_at = times(state, item.seen_at, item.read_at, command.now_ms)
            item.archived_at = command.now_ms if state == State.ARCHIVED else None
        changed = min(len(chosen), command.limit)
        more = len(chosen) > command.limit
        return Marked(command.user, changed, self.head, self.counters, more)

    def purge(self, before: int) -> Purged:
        """Forget what was archived or expired before a time."""
        gone = [
            item
            for item in self.items
            if (item.archived_at is not None and item.archived_at < before)
            or (item.expired_at is not None and item.expired_at < before)
        ]
        heard = [item.sequence for item in gone if item.expired_at is None]
        self.horizon = max([self.horizon, *heard])
        self.items = [item for item in self.items if item not in gone]
        return Purged(len(gone), more=False)
