"""The script of `Escalate`: steps that are due become sends.

A step goes over its recipients by name, some in each transaction. The recipients that it concerns
are read from the inbox here and now, so an acknowledgment that was committed before is seen. A send
has an id that is made of what it is about, so going over a page twice makes nothing twice.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tocsin.persistence.scripts.preferring import Preferring, read_preferring
from tocsin.persistence.scripts.statements import Row, Script, pick, run
from tocsin.persistence.store.escalation_commands import Escalate, Escalated
from tocsin.persistence.store.results import Result
from tocsin.protocol.channels.escalation import (
    EscalationPlan,
    EscalationStep,
    decode_plan,
    due_after,
    is_satisfied,
)
from tocsin.protocol.channels.preferences import Subject
from tocsin.protocol.notifications.notification import Standing

_PLANS_MAX: Final = 100
"""Plans of one transaction."""
_PAGE_MIN: Final = 10
"""Recipients of one plan in one transaction at least, however many plans are due."""

_INSERT: Final = pick(
    "id",
    "channel",
    "address",
    "step",
    "until",
    "digest",
    "state",
    "next_at",
    "reason",
    notification_id="notification",
    user_id="user",
)


class _Due(msgspec.Struct):
    """A plan that is due, with the page of its recipients."""

    row: Row
    plan: EscalationPlan
    recipients: list[Row]
    full: bool = False

    @property
    def id(self) -> str:
        return str(self.row.notification_id)

    @property
    def step(self) -> EscalationStep:
        step: EscalationStep = self.plan[self.row.step]
        return step


class _Candidate(msgspec.Struct, frozen=True):
    """A recipient whom a step concerns."""

    due: _Due
    user: str
    subject: Subject


class _Send(msgspec.Struct, frozen=True):
    id: str
    notification: str
    user: str
    channel: str
    address: str
    step: int
    until: str
    digest: int
    state: str
    next_at: int
    reason: str | None


def escalate(commands: Sequence[tuple[int, Escalate]], results: list[Result]) -> Script[None]:
    """Run *commands*; of several in one transaction each takes what is left by the one before."""
    for index, command in commands:
        results[index] = yield from _escalate(command)


def send_id(notification: str, revision: int, step: int, address: Iterable[str]) -> str:
    """The id of the send of a step of a notification to an *address*: user, channel and name."""
    digest = hashlib.blake2b("\0".join(address).encode(), digest_size=12).hexdigest()
    return f"{notification}.{revision}.{step}.{digest}"


def _escalate(command: Escalate) -> Script[Escalated]:
    now_ms = command.now_ms
    rows = yield from run("escalations_due", now=[now_ms], count=[_PLANS_MAX])
    living = [row for row in rows if _lives(row, now_ms)]
    waiting = [row for row in rows if row.standing == Standing.SCHEDULED]
    page = max(_PAGE_MIN, command.limit // max(1, len(living)))
    dues, behind = yield from _pages(living, page)
    sends = yield from _sends(dues, now_ms)
    made = yield from run("sends_insert", **_INSERT(sends))
    ended = [row.notification_id for row in rows if row not in living and row not in waiting]
    yield from _advance(dues, waiting, ended, now_ms)
    following = yield from run("escalations_next")
    late = max((now_ms - row.due_at for row in living), default=0)
    next_at = following[0].due_at if following else None
    return Escalated(len(made), len(rows), behind, next_at, late)


def _lives(row: Row, now_ms: int) -> bool:
    has_expired = row.expires_at is not None and row.expires_at <= now_ms
    return row.standing == Standing.ACTIVE and not has_expired


def _pages(living: Sequence[Row], page: int) -> Script[tuple[list[_Due], tuple[str, ...]]]:
    """The plans with their next recipients; and subscribers who have to be brought up to date
    first. A plan that has such is left out."""
    users = [row for row in living if row.topic is None]
    topics = [row for row in living if row.topic is not None]
    found: dict[str, list[Row]] = defaultdict(list)
    of_users = yield from run(
        "escalation_recipients",
        notification_id=[row.notification_id for row in users],
        after_user=[row.after_user for row in users],
        users_max=[page] * len(users),
    )
    of_topics = yield from run(
        "escalation_subscribers",
        notification_id=[row.notification_id for row in topics],
        topic=[row.topic for row in topics],
        after_user=[row.after_user for row in topics],
        users_max=[page] * len(topics),
    )
    behind: dict[str, set[str]] = defaultdict(set)
    for row in (*of_users, *of_topics):
        found[row.notification_id].append(row)
    for row in of_topics:
        if row.behind:
            behind[row.notification_id].add(row.user_id)
    dues = []
    for row in living:
        if row.notification_id not in behind:
            recipients = found[row.notification_id]
            plan = decode_plan(row.steps)
            dues.append(_Due(row, plan, recipients, len(recipients) >= page))
    return dues, tuple(sorted(set[str]().union(*behind.values())))


def _sends(dues: Sequence[_Due], now_ms: int) -> Script[list[_Send]]:
    candidates = [
        _Candidate(due, each.user_id, Subject(due.row.category, due.row.priority, due.step.channel))
        for due in dues
        for each in due.recipients
        if each.state is not None and each.expired_at is None
        if not is_satisfied(due.step.unless, each.state, each.delivered_at)
    ]
    if not candidates:
        return []
    places = sorted({(each.user, each.subject.channel) for each in candidates})
    rows = yield from run(
        "addresses_alive",
        user_id=[user for user, _ in places],
        channel=[channel for _, channel in places],
    )
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        names[row.user_id, row.channel].append(row.name)
    reached = [each for each in candidates if (each.user, each.subject.channel) in names]
    preferring = yield from read_preferring((each.user, each.subject) for each in reached)
    sends = [
        _send(each, name, preferring, now_ms)
        for each in reached
        for name in names[each.user, each.subject.channel]
    ]
    return (yield from _gather(sends))


def _send(each: _Candidate, name: str, preferring: Preferring, now_ms: int) -> _Send:
    due, step = each.due, each.due.step
    verdict = preferring.judge(each.user, each.subject, now_ms)
    state, next_at = ("off", now_ms) if verdict is None else ("waiting", verdict)
    place = (each.user, step.channel, name)
    return _Send(
        id=send_id(due.id, due.row.revision, due.row.step, place),
        notification=due.id,
        user=each.user,
        channel=step.channel,
        address=name,
        step=due.row.step,
        until=step.unless,
        digest=round(step.digest),
        state=state,
        next_at=max(next_at, now_ms + round(step.digest * 1000)),
        reason="the person's preferences" if verdict is None else None,
    )


def _gather(sends: list[_Send]) -> Script[list[_Send]]:
    """*sends*, those of a digest at the time at which the digest of their address goes out."""
    gathered = [each for each in sends if each.digest and each.state == "waiting"]
    if not gathered:
        return sends
    places = sorted({(each.user, each.channel, each.address) for each in gathered})
    rows = yield from run(
        "sends_gathering",
        user_id=[user for user, _, _ in places],
        channel=[channel for _, channel, _ in places],
        address=[address for _, _, address in places],
    )
    known = {(row.user_id, row.channel, row.address): row.next_at for row in rows}
    for each in gathered:
        place = (each.user, each.channel, each.address)
        known[place] = min(known.get(place, each.next_at), each.next_at)
    return [
        msgspec.structs.replace(each, next_at=known[each.user, each.channel, each.address])
        if each in gathered
        else each
        for each in sends
    ]


def _advance(
    dues: Sequence[_Due], waiting: Sequence[Row], ended: list[str], now_ms: int
) -> Script[None]:
    """Move each plan on: to its next recipients, to its next step, or to its end."""
    moved: list[tuple[str, int, int, str]] = []
    for due in dues:
        row = due.row
        if due.full:
            moved.append((due.id, row.step, row.due_at, due.recipients[-1].user_id))
        elif (following := due_after(due.plan, row.step, row.due_at)) is not None:
            moved.append((due.id, row.step + 1, following, ""))
        else:
            ended.append(due.id)
    for row in waiting:
        # The release is late, after an outage: the plan begins with the delivery.
        after = decode_plan(row.steps)[0].after
        moved.append((row.notification_id, 0, now_ms + round(after * 1000) + 1000, ""))
    yield from run(
        "escalations_advance",
        notification_id=[id_ for id_, _, _, _ in moved],
        step=[step for _, step, _, _ in moved],
        due_at=[due_at for _, _, due_at, _ in moved],
        after_user=[user for _, _, _, user in moved],
    )
    yield from run("escalations_delete", notification_id=sorted(ended))
