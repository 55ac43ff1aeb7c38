"""The effects of the model of a store (`model_kit`) on the logs of users and topics."""

from __future__ import annotations

from tests.persistence.model_state_kit import (
    Membership,
    ModelState,
    Notification,
    Row,
)
from tocsin.persistence.store.commands import (
    Changed,
    FanOut,
    KeyReused,
    NotActive,
    NotFound,
    Publish,
    Replayed,
    RevisionMismatch,
    Update,
    Withdraw,
)
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Expire, Expired, Release, Released
from tocsin.persistence.store.user_commands import (
    SUBSCRIPTIONS_MAX,
    Subscribe,
    Subscribed,
    TopicClosed,
    Unsubscribe,
)
from tocsin.protocol.notifications.notification import (
    EVERYONE,
    Content,
    answer_to_publish,
    patched,
    superseded,
)


class ModelOfLogs(ModelState):
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
        """The holder of the collapse key of *content* now, for a user or ('') in its topic."""
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
        before, target.standing = target.standing, "withdrawn"
        if before != "active":
            return self.changed(target)
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

    def bring(self, user: str, now_ms: int) -> list[FanOut]:
        """A user's entries of topics; several entries about a notification are one change."""
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
