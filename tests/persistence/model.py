"""The store's rules once more, in the plainest Python: one command at a time, everything in dicts.

`test_store_model` runs the same commands here and in a store. It knows nothing of batches, locks,
statements or indexes, and it is slow; it only has to be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tocsin.persistence.store import (
    SUBSCRIPTIONS_MAX,
    Acknowledge,
    Attach,
    Attached,
    BeyondHead,
    Changed,
    Command,
    Counters,
    Delivery,
    DeliveryRecord,
    Done,
    Entry,
    Expire,
    Expired,
    FanOut,
    InboxItem,
    KeyReused,
    Marked,
    MarkInbox,
    Materialise,
    Materialised,
    NotActive,
    NotFound,
    Page,
    Position,
    PreferencesSet,
    ProducerView,
    Publish,
    ReadPage,
    RecipientState,
    Record,
    Release,
    Released,
    Replayed,
    Result,
    RevisionMismatch,
    SetPreferences,
    SetTopic,
    Subscribe,
    Subscribed,
    TopicClosed,
    TopicSet,
    Unsubscribe,
    Update,
    Withdraw,
)
from tocsin.protocol.cursor import LogState, choose_start
from tocsin.protocol.marking import marked, times
from tocsin.protocol.notification import (
    EVERYONE,
    Change,
    Content,
    State,
    answer_to_publish,
    patched,
    superseded,
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
    """What was sent to one device of one notification."""

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
class Model:
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

    # --- Commands -------------------------------------------------------------------------------

    def write(self, commands: Sequence[Command[Any]]) -> list[Result]:
        """Logs first, then those are brought up to date who are looked at, then the rest."""
        results: dict[int, Result] = {}
        self.ended = {}
        before = {topic: len(log) for topic, log in self.topics.items()}
        for index, command in enumerate(commands):
            if isinstance(command, Publish | Update | Withdraw | Expire | Release):
                results[index] = self.run(command)
        self.set_times(before)
        looking: list[Any] = [
            command
            for command in commands
            if isinstance(
                command,
                Attach | MarkInbox | Materialise | Subscribe | Unsubscribe | SetPreferences,
            )
        ]
        now_ms = max((command.now_ms for command in looking), default=0)
        users = {user for command in looking for user in getattr(command, "users", ())}
        users |= {command.user for command in looking if hasattr(command, "user")}
        fan_outs: list[FanOut] = []
        for user in sorted(users):
            self.know(user)
            fan_outs += self.bring(user, now_ms)
        self.brought = {each.positions[0].user for each in fan_outs}
        for index, command in enumerate(commands):
            if isinstance(command, Materialise):
                results[index] = Materialised(tuple(fan_outs))
                fan_outs = []
            elif index not in results:
                results[index] = self.run(command)
        return [results[index] for index in range(len(commands))]

    def run(self, command: Command[Any]) -> Result:
        match command:
            case Publish():
                return self.publish(command)
            case Update():
                return self.update(command)
            case Withdraw():
                return self.withdraw(command)
            case Expire():
                return self.expire(command)
            case Release():
                return self.release(command)
            case Attach():
                return self.attach(command)
            case Acknowledge():
                return self.acknowledge(command)
            case MarkInbox():
                return self.mark(command)
            case Subscribe() | Unsubscribe():
                return self.subscribe(command)
            case SetTopic(topic=topic, closed=closed):
                self.closed.discard(topic)
                if closed:
                    self.closed.add(topic)
                there = [each.active for (_, name), each in self.members.items() if name == topic]
                return TopicSet(topic, closed, sum(there))
            case SetPreferences(user=user):
                self.muted[user] = {
                    (kind, name)
                    for kind, named in (("category", command.categories), ("topic", command.topics))
                    for name, enabled in named.items()
                    if not enabled
                }
                return PreferencesSet(user, self.heads.get(user, 0))
            case Record():
                for line in command.deliveries:
                    self.record(line)
                for cursor in command.cursors:
                    key = (cursor.user, cursor.device)
                    self.devices[key] = max(self.devices.get(key, 0), cursor.sequence)
                for end in command.ends:
                    self.ended[end.user, end.device] = end.session
                    if self.sessions.get((end.user, end.device)) == end.session:
                        del self.sessions[end.user, end.device]
                return Done()
            case _:
                raise AssertionError(command)

    # --- Publishing -----------------------------------------------------------------------------

    def publish(self, command: Publish) -> Result:
        content, given = command.content, command.idempotency
        key = (given.credential, given.key) if given else ("", content.id)
        fingerprint = given.fingerprint if given else b""
        if key in self.keys:
            known, answer = self.keys[key]
            return Replayed(answer) if known == fingerprint else KeyReused()
        if content.id in self.answers:
            return Replayed(self.answers[content.id])
        new = Notification(content, users=command.users, addressed=len(command.users))
        if command.deliver_at is not None:
            new.standing, new.deliver_at = "scheduled", command.deliver_at
            new.addressed = self.subscribers(content.topic) if content.topic else new.addressed
            self.notifications[content.id] = new
            changed = self.changed(new)
        else:
            changed = self.deliver(new, content.created_at)
        answer = answer_to_publish(changed.content, changed.standing, changed.recipients)
        self.answers[content.id] = answer
        if given or content.collapse_key:
            self.keys[key] = (fingerprint, answer)
        return changed

    def deliver(self, new: Notification, at: int) -> Changed:
        content = new.content
        known = content.id in self.notifications
        self.notifications[content.id] = new
        if (topic := content.topic) is not None:
            older = self.occupant(content, "", at)
            target = older or new
            self.append(topic, target.content.id, "renewed" if older else "created", at)
            target.addressed = self.subscribers(topic)
            self.occupy(target, [""])
            steps: list[FanOut] = []
        else:
            older, steps = self.deliver_to_users(new, at)
            target = older or new
        if older is not None:
            older.content = superseded(older.content, content)
            steps = [self.retold(each, older) for each in steps]
            new.standing = "withdrawn"
            if not known:
                del self.notifications[content.id]
        else:
            new.standing = "active"
        return self.changed(target, steps)

    def deliver_to_users(
        self, new: Notification, at: int
    ) -> tuple[Notification | None, list[FanOut]]:
        content, users = new.content, new.users
        found = [self.occupant(content, user, at) for user in users]
        others = {each.content.id: each for each in found if each is not None}
        covered = [each for each in others.values() if each.owners() <= set(users)]
        target = max(
            covered, key=lambda each: (each.content.created_at, each.content.id), default=None
        )
        steps: list[FanOut] = []
        for other in others.values():
            if other is not target:
                steps += [
                    self.move(other, user, "withdrawn", "withdrawn")
                    for user in users
                    if user in other.owners()
                ]
                if not other.owners():
                    other.standing = "withdrawn"
        renewed = target or new
        had = renewed.owners()
        for user in sorted(had):
            heard = not self.is_muted(user, content)
            steps.append(self.move(renewed, user, "updated", "unseen" if heard else None))
        for user in users:
            if user not in had and not self.is_muted(user, content):
                self.know(user)
                renewed.rows[user] = Row(0, self.heads.get(user, 0) + 1)
                steps.append(self.move(renewed, user, "created"))
        renewed.addressed = len(users)
        self.occupy(renewed, list(renewed.owners()))
        return target, steps

    def occupant(self, content: Content, user: str, at: int) -> Notification | None:
        """Who has the collapse key of *content* now, for a user or ('') in its topic."""
        if content.collapse_key is None:
            return None
        id_ = self.slots.get((content.collapse_key, content.topic or "", user))
        found = self.notifications.get(id_ or "")
        if found is None or not found.lives(at):
            return None
        return found if content.topic or user in found.owners() else None

    def occupy(self, target: Notification, users: list[str]) -> None:
        if (key := target.content.collapse_key) is not None:
            for user in users:
                self.slots[key, target.content.topic or "", user] = target.content.id

    def release(self, command: Release) -> Result:
        due = sorted(
            (each.deliver_at, id_)
            for id_, each in self.notifications.items()
            if each.standing == "scheduled" and each.deliver_at <= command.now_ms
        )
        changes = []
        for _, id_ in due[: command.limit]:
            each = self.notifications[id_]
            expires_at = each.content.expires_at
            if expires_at is not None and expires_at <= command.now_ms:
                each.standing = "expired"
            else:
                changes.append(self.deliver(each, command.now_ms))
        return Released(tuple(changes), None)

    # --- Changes --------------------------------------------------------------------------------

    def update(self, command: Update) -> Result:
        target = self.notifications.get(command.notification)
        if target is None:
            return NotFound()
        if target.standing not in ("active", "scheduled"):
            return NotActive(target.standing)
        expected = command.expected_revisions
        if expected is not None and target.content.revision not in expected:
            return RevisionMismatch(target.content.revision)
        target.content = patched(target.content, command.patch, command.now_ms)
        return self.tell(target, "updated", command.now_ms)

    def withdraw(self, command: Withdraw) -> Result:
        target = self.notifications.get(command.notification)
        if target is None:
            return NotFound()
        if target.standing == "scheduled":
            target.standing = "withdrawn"
        if target.standing != "active":
            return self.changed(target)
        target.standing = "withdrawn"
        return self.tell(target, "withdrawn", command.now_ms)

    def tell(self, target: Notification, change: str, at: int) -> Changed:
        if target.standing == "scheduled":
            return self.changed(target)
        if (topic := target.content.topic) is not None:
            self.append(topic, target.content.id, change, at)
            return self.changed(target)
        state = "withdrawn" if change == "withdrawn" else None
        steps = [self.move(target, user, change, state) for user in sorted(target.owners())]
        return self.changed(target, steps)

    def expire(self, command: Expire) -> Result:
        due = sorted(
            (expires_at, id_)
            for id_, each in self.notifications.items()
            if each.standing == "active"
            and (expires_at := each.content.expires_at) is not None
            and expires_at <= command.now_ms
        )
        topics, users = set(), set()
        for _, id_ in due[: command.limit]:
            each = self.notifications[id_]
            each.standing = "expired"
            if (topic := each.content.topic) is not None:
                topics.add(topic)
                self.append(topic, id_, "expired", command.now_ms)
            else:
                for user in each.owners():
                    each.rows[user].expired = True
                    if each.rows[user].state in ("unseen", "seen"):
                        users.add(user)
        count = len(due[: command.limit])
        return Expired(count, None, tuple(sorted(topics)), tuple(sorted(users)))

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

    # --- Topics ---------------------------------------------------------------------------------

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

    def bring(self, user: str, now_ms: int) -> list[FanOut]:
        """What a user's topics have for it; several entries about a notification are one change."""
        pending = sorted(
            (entry.at, topic, place, entry.notification, entry.change, member.active)
            for (name, topic), member in self.members.items()
            if name == user
            for place, entry in enumerate(self.topics.get(topic, ()), 1)
            if place > member.position
        )
        fan_outs: list[FanOut] = []
        done = set()
        for _, topic, place, id_, change, active in pending:
            self.members[user, topic].position = max(self.members[user, topic].position, place)
            each = self.notifications[id_]
            changes = {entry[4] for entry in pending if entry[3] == id_}
            wanted = active and each.lives(now_ms) and not self.is_muted(user, each.content)
            if id_ in done:
                continue
            if user in each.owners():
                done.add(id_)
                fan_outs += self.bring_change(each, user, changes, wanted)
            elif wanted and change in ("created", "renewed"):
                done.add(id_)
                each.rows[user] = Row(0, self.heads.get(user, 0) + 1)
                fan_outs.append(self.move(each, user, "created"))
        return fan_outs

    def bring_change(
        self, each: Notification, user: str, changes: set[str], wanted: bool
    ) -> list[FanOut]:
        if "withdrawn" in changes:
            return [self.move(each, user, "withdrawn", "withdrawn")]
        if "expired" in changes:
            each.rows[user].expired = True
            return []
        anew = "renewed" in changes and wanted
        return [self.move(each, user, "updated", "unseen" if anew else None)]

    def subscribe(self, command: Subscribe | Unsubscribe) -> Result:
        topic, joined = command.topic, isinstance(command, Subscribe)
        if isinstance(command, Subscribe) and command.by_user and topic in self.closed:
            return TopicClosed(topic)
        changed, refused = [], []
        for user in command.users:
            member = self.members.get((user, topic))
            if joined == (member is not None and member.active):
                continue
            if joined and len(self.topics_of(user)) >= SUBSCRIPTIONS_MAX:
                refused.append(user)
                continue
            if joined:
                self.members[user, topic] = Membership(len(self.topics.get(topic, ())))
            elif member is not None and topic in self.topics:
                member.active = False
            else:
                self.members.pop((user, topic), None)
            changed.append(user)
        heads = {user: self.heads[user] for user in command.users if user in self.brought}
        members = tuple(user for user in command.users if joined and user not in refused)
        return Subscribed(topic, joined, tuple(changed), tuple(refused), heads, members)

    def topics_of(self, user: str, *, left_too: bool = False) -> tuple[str, ...]:
        return tuple(
            sorted(
                topic
                for (name, topic), member in self.members.items()
                if name == user and (member.active or left_too) and topic != EVERYONE
            )
        )

    # --- Users ----------------------------------------------------------------------------------

    def mark(self, command: MarkInbox) -> Result:
        changed = 0
        by_id = command.ids is not None
        for id_, row, each in sorted(self.log(command.user), key=lambda item: item[1].created):
            if row.counts and (command.ids is None or id_ in command.ids):
                following = marked(row.state, command.mark, by_id=by_id)
                if following is not None:
                    row.seen_at, row.read_at = times(
                        following, row.seen_at, row.read_at, command.now_ms
                    )
                    row.state = State(following).value
                    self.move(each, command.user, "state")
                    changed += 1
        user = command.user
        return Marked(user, changed, self.heads.get(user, 0), self.counters(user), more=False)

    def attach(self, command: Attach) -> Result:
        user, device = command.user, command.device
        waiting = [
            row.sequence for _, row, _ in self.log(user)
            if not row.delivered and row.counts
        ]  # fmt: skip
        stored = self.devices.get((user, device))
        head = self.heads.get(user, 0)
        state = LogState(head, 0, stored, min(waiting, default=None))
        start = choose_start(command.requested, self.epoch, state)
        if stored is not None and start.resumed and start.sequence > stored:
            self.acknowledge_through(user, device, stored, start.sequence, command.now_ms)
        if stored is not None and (start.sequence < stored or not start.resumed):
            self.devices[user, device] = start.sequence
            self.forgotten[user, device] = head
        else:
            self.devices[user, device] = max(stored or 0, start.sequence)
        earlier = self.sessions.get((user, device))
        # An attempt of this same session has doubted already what was before.
        other = None if earlier == command.session else earlier
        if other is not None:
            self.doubtful[user, device] = head
        if self.ended.pop((user, device), None) != command.session:
            self.sessions[user, device] = command.session
        topics = self.topics_of(user, left_too=True)
        counters = self.counters(user)
        return Attached(user, start, head, counters, 0, topics, open_session=other)

    def acknowledge(self, command: Acknowledge) -> Result:
        user, device, at = command.user, command.device, command.now_ms
        stored, through = self.devices.get((user, device)), command.through or 0
        if stored is None:
            return NotFound()
        if through > self.heads.get(user, 0):
            return BeyondHead(self.heads.get(user, 0))
        for id_ in command.ids:
            line = self.ledger.get((user, device, id_), Line(0, 0, 0))
            if line.acknowledged < line.sequence:
                sequence = line.unanswered or line.sequence
                self.record(DeliveryRecord(user, device, id_, sequence, 0, at, at))
        if through > stored:
            self.acknowledge_through(user, device, stored, through, at)
            self.devices[user, device] = through
        return Done()

    def acknowledge_through(
        self, user: str, device: str, stored: int, through: int, at: int
    ) -> None:
        for id_, row, known in self.log(user):
            line = self.ledger.get((user, device, id_), Line(0, 0, 0))
            expires_at = known.content.expires_at
            if line.acknowledged < line.sequence <= through:
                self.record(DeliveryRecord(user, device, id_, line.sequence, 0, at, at))
            is_over = expires_at is not None and expires_at <= at
            came_and_went = row.state == "withdrawn" and row.created > stored
            left_out = row.expired or is_over or (came_and_went and not line.sequence)
            if left_out:
                continue
            if line.sequence < row.sequence and stored < row.sequence <= through:
                self.record(DeliveryRecord(user, device, id_, row.sequence, 1, at, at))

    def record(self, record: DeliveryRecord) -> None:
        known = self.notifications.get(record.notification)
        if known is None or record.user not in known.rows:
            return
        key = (record.user, record.device, record.notification)
        line = self.ledger.setdefault(
            key, Line(record.sequence, record.attempts, record.first_sent_at)
        )
        is_answer = record.acknowledged_at is not None or record.dead_reason is not None
        if record.sequence > line.sequence or (record.sequence == line.sequence and not is_answer):
            line.unanswered = record.unanswered
        elif is_answer and record.sequence >= line.unanswered:
            line.unanswered = 0
        if record.sequence > line.sequence:
            line.sequence, line.attempts, line.dead = record.sequence, record.attempts, None
        if record.sequence == line.sequence:
            line.attempts = max(line.attempts, record.attempts)
            line.dead = record.dead_reason or line.dead
        line.first_sent_at = min(line.first_sent_at, record.first_sent_at)
        if record.acknowledged_at is not None:
            line.acknowledged_at = line.acknowledged_at or record.acknowledged_at
            line.acknowledged = max(line.acknowledged, record.sequence)
            known.rows[record.user].delivered = True

    # --- Questions ------------------------------------------------------------------------------

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

    def page(self, query: ReadPage) -> Page:
        head = self.heads.get(query.user, 0)
        entries: list[Entry] = []
        through, size = head, 0
        for id_, row, each in self.log(query.user):
            line = self.ledger.get((query.user, query.device, id_), Line(0, 0, 0))
            if row.sequence <= query.after or row.expired:
                continue
            news = (
                row.created > query.start
                and (row.sequence <= query.began or row.created > query.after)
                and not (query.resumed and (query.user, query.device, id_) in self.ledger)
            )
            counted = row.created <= query.counted < row.sequence
            # Whoever left a session open may have it, unknown to the ledger.
            is_doubtful = row.created <= self.doubtful.get((query.user, query.device), 0)
            told = counted or (query.resumed and is_doubtful)
            if news and row.state == "withdrawn" and not told:
                continue
            acknowledged = line.acknowledged >= row.sequence
            if acknowledged and row.sequence > self.forgotten.get((query.user, query.device), 0):
                continue
            if line.dead and line.sequence >= row.sequence:
                continue
            size += len(each.content.document.encode())
            if len(entries) == query.limit or (entries and size > query.bytes_max):
                through = entries[-1].sequence
                break
            change = "created" if news and row.state != "withdrawn" else row.change
            tried = line.sequence == row.sequence and not acknowledged
            attempts = line.attempts if tried else 0
            document = each.content.document
            expires_at = each.content.expires_at
            entry = Entry(
                row.sequence, id_, change, document, row.state, row.seen_at, row.read_at, attempts,
                expires_at,
            )  # fmt: skip
            entries.append(entry)
        return Page(tuple(entries), through, head, 0, self.counters(query.user))

    def inbox(self, user: str) -> list[InboxItem]:
        items = [
            InboxItem(row.created, each.content.document, row.state, row.seen_at, row.read_at)
            for _, row, each in self.log(user)
            if row.counts and row.state != "archived"
        ]
        return sorted(items, key=lambda item: -item.created_sequence)

    def deliveries(self, notification: str) -> list[Delivery]:
        standing = self.notifications[notification].standing
        lines = []
        for (user, device, id_), line in sorted(self.ledger.items()):
            if id_ == notification:
                outcome = "pending" if standing == "active" else standing
                if line.acknowledged >= line.sequence:
                    outcome = "acknowledged"
                elif line.dead:
                    outcome = "dead"
                times = (line.first_sent_at, line.acknowledged_at)
                lines.append(Delivery(user, device, line.attempts, *times, outcome, line.dead))
        return lines

    def view(self, notification: str) -> ProducerView:
        each = self.notifications[notification]
        dead = {user for (user, _, id_), line in self.ledger.items()
                if id_ == notification and line.dead}  # fmt: skip
        waiting = {user for user, row in each.rows.items() if not row.delivered}
        return ProducerView(
            content=each.content,
            standing=each.standing,
            recipients=each.addressed,
            delivered=len(each.rows) - len(waiting),
            seen=sum(row.seen_at is not None for row in each.rows.values()),
            read=sum(row.read_at is not None for row in each.rows.values()),
            expired=sum(each.rows[user].expired for user in waiting - dead),
            dead=len(waiting & dead),
        )
