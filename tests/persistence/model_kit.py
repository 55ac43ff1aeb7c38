"""The store's rules once more, in the plainest Python: one command at a time, everything in dicts.

`test_store_model` runs the same commands here and in a store. It knows nothing of batches, locks,
statements or indexes, and it is slow; it only has to be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.persistence.model_logs_kit import ModelOfLogs
from tests.persistence.model_state_kit import Line
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Done, FanOut, NotFound, Publish, Update, Withdraw
from tocsin.persistence.store.queries import (
    Delivery,
    Entry,
    InboxItem,
    Page,
    ProducerView,
    ReadPage,
)
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Expire, Release
from tocsin.persistence.store.user_commands import (
    Acknowledge,
    Attach,
    Attached,
    BeyondHead,
    Marked,
    MarkInbox,
    Materialise,
    Materialised,
    PreferencesSet,
    Record,
    SetPreferences,
    SetTopic,
    Subscribe,
    TopicSet,
    Unsubscribe,
)
from tocsin.protocol.log.cursor import LogState, choose_start
from tocsin.protocol.log.ledger import DeliveryRecord
from tocsin.protocol.log.news import AckStored
from tocsin.protocol.notifications.marking import marked, times
from tocsin.protocol.notifications.notification import State


class Model(ModelOfLogs):
    def write(self, commands: Sequence[Command[Any]]) -> list[Result]:
        """Logs first, then the users that are looked at are brought up to date, then the rest."""
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
        steps: dict[type[Command[Any]], Callable[[Any], Result]] = {
            Publish: self.publish,
            Update: self.update,
            Withdraw: self.withdraw,
            Expire: self.expire,
            Release: self.release,
            Attach: self.attach,
            Acknowledge: self.acknowledge,
            MarkInbox: self.mark,
            Subscribe: self.subscribe,
            Unsubscribe: self.subscribe,
            SetTopic: self.set_topic,
            SetPreferences: self.set_preferences,
            Record: self.record_all,
        }
        return steps[type(command)](command)

    def set_topic(self, command: SetTopic) -> Result:
        topic, closed = command.topic, command.closed
        self.closed.discard(topic)
        if closed:
            self.closed.add(topic)
        there = [each.active for (_, name), each in self.members.items() if name == topic]
        return TopicSet(topic, closed, sum(there))

    def set_preferences(self, command: SetPreferences) -> Result:
        user = command.user
        self.muted[user] = {
            (kind, name)
            for kind, named in (("category", command.categories), ("topic", command.topics))
            for name, enabled in named.items()
            if not enabled
        }
        return PreferencesSet(user, self.heads.get(user, 0))

    def record_all(self, command: Record) -> Result:
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
        if stored is None:
            # It has a cursor, so it is not new: it was forgotten, and may have acknowledged since.
            goes_back = command.requested is not None
        else:
            goes_back = start.sequence < stored or not start.resumed
        if goes_back:
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
        session = self.sessions.get((user, device))
        return AckStored(user, device, command.through, command.ids, session)

    def acknowledge_through(
        self, user: str, device: str, stored: int, through: int, at: int
    ) -> None:
        for id_, row, known in self.log(user):
            line = self.ledger.get((user, device, id_), Line(0, 0, 0))
            expires_at = known.content.expires_at
            if line.acknowledged < line.sequence <= through and not line.dead:
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
            # A device that left a session open may have it, unknown to the ledger.
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
