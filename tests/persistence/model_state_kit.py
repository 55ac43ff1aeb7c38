"""The knowledge of the model of a store (`model_kit`), and how its logs grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tocsin.persistence.store.commands import Changed, Counters, FanOut
from tocsin.protocol.log.news import Position, RecipientState
from tocsin.protocol.notifications.notification import (
    EVERYONE,
    Change,
    Content,
)


@dataclass
class Row:
    """One notification in one user's inbox."""

    sequence: int
    created: int
    change: str = "created"
    state: str = "unseen"
    seen_at: int | None = None
    read_at: int | None = None
    delivered: bool = False
    expired: bool = False

    @property
    def counts(self) -> bool:
        return not self.expired and self.state != "withdrawn"


@dataclass
class Notification:
    content: Content
    standing: str = "active"
    addressed: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    users: tuple[str, ...] = ()
    deliver_at: int = 0

    def lives(self, at: int) -> bool:
        expires_at = self.content.expires_at
        return self.standing == "active" and (expires_at is None or expires_at > at)

    def owners(self) -> set[str]:
        return {user for user, row in self.rows.items() if row.counts}


@dataclass
class Line:
    """The line of one device for one notification."""

    sequence: int
    attempts: int
    first_sent_at: int
    acknowledged_at: int | None = None
    acknowledged: int = 0
    dead: str | None = None
    unanswered: int = 0


@dataclass
class TopicEntry:
    notification: str
    change: str
    at: int


@dataclass
class Membership:
    position: int
    active: bool = True


@dataclass
class ModelState:
    epoch: str
    notifications: dict[str, Notification] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)
    devices: dict[tuple[str, str], int] = field(default_factory=dict)
    forgotten: dict[tuple[str, str], int] = field(default_factory=dict)
    sessions: dict[tuple[str, str], str] = field(default_factory=dict)
    ended: dict[tuple[str, str], str] = field(default_factory=dict)
    doubtful: dict[tuple[str, str], int] = field(default_factory=dict)
    ledger: dict[tuple[str, str, str], Line] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    topics: dict[str, list[TopicEntry]] = field(default_factory=dict)
    members: dict[tuple[str, str], Membership] = field(default_factory=dict)
    muted: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    slots: dict[tuple[str, str, str], str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    brought: set[str] = field(default_factory=set)

    def changed(self, target: Notification, steps: Sequence[FanOut] = ()) -> Changed:
        return Changed(target.content, tuple(steps), target.standing, target.addressed)

    def move(
        self, target: Notification, user: str, change: str, state: str | None = None
    ) -> FanOut:
        """Give one user's row the next place of the log, and another state if one is given."""
        row = target.rows[user]
        row.sequence = self.heads[user] = self.heads.get(user, 0) + 1
        row.change = change
        row.state = state or row.state
        if state == "unseen":
            row.seen_at = row.read_at = None
            row.delivered = False
        count = self.counters(user)
        states = {}
        if row.state not in ("unseen", "withdrawn"):
            states[user] = RecipientState(row.state, row.seen_at, row.read_at)
        position = Position(user, row.sequence, count.unread, count.unseen)
        return FanOut(target.content, Change(change), (position,), states)

    def retold(self, fan_out: FanOut, older: Notification) -> FanOut:
        """The same with the content that *older* has now, if it is about that."""
        content = older.content if fan_out.content.id == older.content.id else fan_out.content
        return FanOut(content, fan_out.change, fan_out.positions, fan_out.states)

    def know(self, user: str) -> None:
        self.members.setdefault((user, EVERYONE), Membership(len(self.topics.get(EVERYONE, ()))))

    def subscribers(self, topic: str) -> int:
        return sum(each.active for (_, name), each in self.members.items() if name == topic)

    def append(self, topic: str, notification: str, change: str, at: int) -> None:
        self.topics.setdefault(topic, []).append(TopicEntry(notification, change, at))

    def set_times(self, before: dict[str, int]) -> None:
        """No entry is older than the one before it; those of a batch have one time."""
        for topic, log in self.topics.items():
            start = before.get(topic, 0)
            if len(log) > start:
                latest = max(each.at for each in log[max(start - 1, 0) :])
                for each in log[start:]:
                    each.at = latest

    def is_muted(self, user: str, content: Content) -> bool:
        muted = self.muted.get(user, set())
        return content.priority != "critical" and (
            ("category", content.category) in muted or ("topic", content.topic) in muted
        )

    def log(self, user: str) -> list[tuple[str, Row, Notification]]:
        """A user's rows in the order of the log."""
        rows = [
            (id_, each.rows[user], each)
            for id_, each in self.notifications.items()
            if user in each.rows
        ]
        return sorted(rows, key=lambda row: row[1].sequence)

    def counters(self, user: str) -> Counters:
        states = [row.state for _, row, _ in self.log(user) if row.counts]
        unseen = states.count("unseen")
        return Counters(unseen + states.count("seen"), unseen)
