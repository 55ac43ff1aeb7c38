"""The store's rules once more, in the plainest Python: one command at a time, everything in dicts.

`test_store_model` runs the same commands here and in a store. It knows nothing of batches, locks,
statements or indexes, and it is slow; it only has to be right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin.persistence.store import (
    Attach,
    Attached,
    Changed,
    Command,
    Counters,
    Delivery,
    DeliveryRecord,
    Done,
    Entry,
    Expire,
    Expired,
    InboxItem,
    KeyReused,
    NotActive,
    NotFound,
    Page,
    Position,
    ProducerView,
    Publish,
    ReadPage,
    Record,
    Replayed,
    Result,
    RevisionMismatch,
    Update,
    Withdraw,
)
from tocsin.protocol.cursor import LogState, choose_start
from tocsin.protocol.notification import Content, patched


@dataclass
class Row:
    """One notification in one user's inbox."""

    sequence: int
    created: int
    change: str = "created"
    state: str = "unseen"
    delivered: bool = False


@dataclass
class Notification:
    content: Content
    standing: str = "active"
    rows: dict[str, Row] = field(default_factory=dict)


@dataclass
class Line:
    """What was sent to one device of one notification."""

    sequence: int
    attempts: int
    first_sent_at: int
    acknowledged_at: int | None = None
    acknowledged: int = 0
    dead: str | None = None


@dataclass
class Model:
    epoch: str
    notifications: dict[str, Notification] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)
    devices: dict[tuple[str, str], int] = field(default_factory=dict)
    forgotten: dict[tuple[str, str], int] = field(default_factory=dict)
    ledger: dict[tuple[str, str, str], Line] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)

    # --- Commands -------------------------------------------------------------------------------

    def write(self, commands: list[Command]) -> list[Result]:
        return [self.run(command) for command in commands]

    def run(self, command: Command) -> Result:
        match command:
            case Publish():
                return self.publish(command)
            case Update():
                return self.update(command)
            case Withdraw():
                return self.withdraw(command)
            case Expire():
                return self.expire(command)
            case Attach():
                return self.attach(command)
            case Record():
                for line in command.deliveries:
                    self.record(line)
                for cursor in command.cursors:
                    key = (cursor.user, cursor.device)
                    self.devices[key] = max(self.devices.get(key, 0), cursor.sequence)
                return Done()
            case _:
                raise AssertionError(command)

    def publish(self, command: Publish) -> Result:
        if key := command.idempotency:
            mine = (key.fingerprint, command.answer)
            fingerprint, answer = self.keys.setdefault((key.credential, key.key), mine)
            if fingerprint != key.fingerprint:
                return KeyReused()
            if answer != command.answer:
                return Replayed(answer)
        if command.content.id in self.notifications:
            return Replayed(command.answer)
        made = self.notifications[command.content.id] = Notification(command.content)
        for user in command.users:
            made.rows[user] = Row(0, self.heads.get(user, 0) + 1)
        return self.changed(made, "created")

    def update(self, command: Update) -> Result:
        target = self.notifications.get(command.notification)
        if target is None:
            return NotFound()
        if target.standing != "active":
            return NotActive(target.standing)
        if command.expected_revision not in (None, target.content.revision):
            return RevisionMismatch(target.content.revision)
        target.content = patched(target.content, command.patch, command.now_ms)
        return self.changed(target, "updated")

    def withdraw(self, command: Withdraw) -> Result:
        target = self.notifications.get(command.notification)
        if target is None:
            return NotFound()
        if target.standing != "active":
            return Changed(target.content, (), {})
        target.standing = "withdrawn"
        for row in target.rows.values():
            row.state = "withdrawn"
        return self.changed(target, "withdrawn")

    def changed(self, target: Notification, change: str) -> Changed:
        positions = []
        for user, row in target.rows.items():
            row.sequence = self.heads[user] = self.heads.get(user, 0) + 1
            row.change = change
            count = self.unseen(user)
            positions.append(Position(user, row.sequence, count, count))
        return Changed(target.content, tuple(positions), {})

    def expire(self, command: Expire) -> Result:
        due = sorted(
            (expires_at, id_)
            for id_, each in self.notifications.items()
            if each.standing == "active"
            and (expires_at := each.content.expires_at) is not None
            and expires_at <= command.now_ms
        )
        for _, id_ in due[: command.limit]:
            self.notifications[id_].standing = "expired"
        return Expired(len(due[: command.limit]), None)

    def attach(self, command: Attach) -> Result:
        user, device = command.user, command.device
        waiting = [
            row.sequence for _, row, each in self.log(user)
            if not row.delivered and each.standing == "active"
        ]  # fmt: skip
        stored = self.devices.get((user, device))
        head = self.heads.get(user, 0)
        state = LogState(head, 0, stored, min(waiting, default=None))
        start = choose_start(command.requested, self.epoch, state)
        if stored is not None and start.resumed and start.sequence > stored:
            at = command.now_ms
            for id_, row, _ in self.log(user):
                line = self.ledger.get((user, device, id_), Line(0, 0, 0))
                if line.acknowledged < line.sequence <= start.sequence:
                    self.record(DeliveryRecord(user, device, id_, line.sequence, 0, at, at))
                if line.sequence < row.sequence and stored < row.sequence <= start.sequence:
                    self.record(DeliveryRecord(user, device, id_, row.sequence, 1, at, at))
        if stored is not None and (start.sequence < stored or not start.resumed):
            self.devices[user, device] = start.sequence
            self.forgotten[user, device] = head
        else:
            self.devices[user, device] = max(stored or 0, start.sequence)
        count = self.unseen(user)
        return Attached(start, head, Counters(count, count))

    def record(self, record: DeliveryRecord) -> None:
        known = self.notifications.get(record.notification)
        if known is None or record.user not in known.rows:
            return
        key = (record.user, record.device, record.notification)
        line = self.ledger.setdefault(
            key, Line(record.sequence, record.attempts, record.first_sent_at)
        )
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

    def unseen(self, user: str) -> int:
        """Also the number of the unread: nobody here marks anything."""
        return sum(each.standing == "active" for _, _, each in self.log(user))

    def page(self, query: ReadPage) -> Page:
        head, count = self.heads.get(query.user, 0), self.unseen(query.user)
        entries: list[Entry] = []
        through, size = head, 0
        for id_, row, each in self.log(query.user):
            line = self.ledger.get((query.user, query.device, id_), Line(0, 0, 0))
            if row.sequence <= query.after or each.standing == "expired":
                continue
            news = (
                row.created > query.start
                and (row.sequence <= query.began or row.created > query.after)
                and not (query.resumed and (query.user, query.device, id_) in self.ledger)
            )
            if news and row.state == "withdrawn":
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
            change = "created" if news else row.change
            tried = line.sequence == row.sequence and not acknowledged
            attempts = line.attempts if tried else 0
            document = each.content.document
            expires_at = each.content.expires_at
            entry = Entry(
                row.sequence, id_, change, document, row.state, None, None, attempts, expires_at
            )
            entries.append(entry)
        return Page(tuple(entries), through, head, 0, Counters(count, count))

    def inbox(self, user: str) -> list[InboxItem]:
        items = [
            InboxItem(row.created, each.content.document, row.state, None, None)
            for _, row, each in self.log(user)
            if each.standing == "active"
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
            recipients=len(each.rows),
            delivered=len(each.rows) - len(waiting),
            seen=0,
            read=0,
            expired=len(waiting - dead) if each.standing == "expired" else 0,
            dead=len(waiting & dead),
        )
