"""Locks, and then reads, the rows that a batch of log commands needs to be planned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from tocsin.persistence.scripts.logs.admission import PublishAdmission
from tocsin.persistence.scripts.logs.plan import Held, Numbered, Plan, Slot
from tocsin.persistence.scripts.rows import content_of_row
from tocsin.persistence.scripts.statements import Row, Rows, Script, run
from tocsin.persistence.store.commands import Publish, Update, Withdraw
from tocsin.persistence.store.upkeep_commands import Expire, Release
from tocsin.protocol.log.news import RecipientState
from tocsin.protocol.notifications.notification import Standing


def hold(
    commands: Sequence[Numbered],
    admission: PublishAdmission,
    looked_at: Collection[str],
    recipients_max: int,
) -> Script[tuple[Plan, dict[Slot, str]]]:
    """A plan with all rows that *commands* may need, and the notification that had each collapse
    key before. Of those that are due, up to *recipients_max* recipients; the rest comes later."""
    fresh = {each.content.id for each in admission.admitted.values()}
    due = yield from _due(commands, recipients_max)
    scheduled = yield from _scheduled(commands, fresh, recipients_max)
    published = [*admission.admitted.values(), *scheduled.values()]
    if not any(isinstance(each, Release) for _, each in commands):
        published = [each for each in published if each.deliver_at is None]
    slots = yield from _claim_slots(published)
    named = {each.notification for _, each in commands if isinstance(each, Update | Withdraw)}
    named |= set(slots.values())
    rows = yield from run("notifications_lock", id=sorted(named - fresh))
    held = {row.id: held_of_row(row) for row in [*due, *rows]}
    # An admitted notification is held only from its command on: the plan adds it then.
    held = {id_: each for id_, each in held.items() if id_ not in fresh} | scheduled
    yield from _read_recipients(held, published, looked_at)
    return Plan(held, dict(slots), (yield from muted(published))), slots


def held_of_row(row: Row) -> Held:
    """The notification in a row of `notifications_lock`, without its recipients."""
    content = content_of_row(row)
    return Held(content, row.standing, row.recipients, not_before=row.deliver_at)


def _due(commands: Sequence[Numbered], recipients_max: int) -> Script[Iterable[Row]]:
    """The notifications to expire, locked.

    Other commands of the batch may end or postpone some of them first, so there is one more for
    each command.
    """
    expiries = [each for _, each in commands if isinstance(each, Expire)]
    if not expiries:
        return ()
    latest = max(each.now_ms for each in expiries)
    rows_max = sum(each.limit for each in expiries) + len(commands)
    rows = yield from run("notifications_due", now=[latest], count=[rows_max])
    return _first_of(rows, recipients_max)


def _scheduled(
    commands: Sequence[Numbered], fresh: Collection[str], recipients_max: int
) -> Script[dict[str, Held]]:
    """The notifications to release, locked; with as many more as in `_due`."""
    releases = [each for _, each in commands if isinstance(each, Release)]
    if not releases:
        return {}
    latest = max(each.now_ms for each in releases)
    rows_max = sum(each.limit for each in releases) + len(commands)
    rows = yield from run("schedule_due", now=[latest], count=[rows_max])
    scheduled = {}
    for row in _first_of(rows, recipients_max):
        if row.id not in fresh:
            held = scheduled[row.id] = held_of_row(row)
            held.deliver_at, held.users = row.deliver_at, _users(row.users)
    return scheduled


def _first_of(rows: Rows, recipients_max: int) -> list[Row]:
    """The first *rows* with up to *recipients_max* recipients together; at least one row."""
    first: list[Row] = []
    recipients = 0
    for row in rows:
        # In a topic's log it is one entry, however many subscribers the topic has.
        recipients += 1 if row.topic is not None else row.recipients
        if first and recipients > recipients_max:
            break
        first.append(row)
    return first


def _users(text: str | None) -> tuple[str, ...]:
    return () if text is None else msgspec.json.decode(text, type=tuple[str, ...])


def _claim_slots(published: Iterable[Held]) -> Script[dict[Slot, str]]:
    """Lock the collapse keys of *published*; the notification that has each key now."""
    wanted: dict[Slot, str] = {}
    for each in published:
        if (key := each.content.collapse_key) is not None:
            topic = each.content.topic
            users = each.users if topic is None else ("",)
            for user in users:
                wanted.setdefault((key, topic or "", user), each.content.id)
    if not wanted:
        return {}
    slots = sorted(wanted)
    rows = yield from run(
        "collapsing_claim",
        collapse_key=[key for key, _, _ in slots],
        topic=[topic for _, topic, _ in slots],
        user_id=[user for _, _, user in slots],
        notification_id=[wanted[slot] for slot in slots],
    )
    return {(row.collapse_key, row.topic, row.user_id): row.notification_id for row in rows}


def _read_recipients(
    held: dict[str, Held], published: Iterable[Held], looked_at: Collection[str]
) -> Script[None]:
    """Lock all users whose logs this transaction changes or looks at, and read the recipients of
    the *held* notifications into them.
    """
    ids = sorted(
        id_
        for id_, each in held.items()
        if each.standing == Standing.ACTIVE and each.content.topic is None
    )
    if not ids and not looked_at:
        # No state has to be read, and advancing the heads locks the users.
        return
    rows = yield from run("recipients", notification_id=ids)
    users = {row.user_id for row in rows}.union(looked_at, *(each.users for each in published))
    if looked_at:
        # These users become known now, before topics are locked: a publish to an unknown user locks
        # the user first and then the topic of everyone, and the order has to be the same here.
        known = sorted(looked_at)
        yield from run("users_insert", user_id=known, changed_at=[0] * len(known))
    yield from run("users_lock", user_id=sorted(users))
    rows = yield from run("inbox_states", notification_id=ids)
    for row in rows:
        state = RecipientState(row.state, row.seen_at, row.read_at)
        held[row.notification_id].recipients[row.user_id] = state


def muted(published: Iterable[Held | Publish]) -> Script[set[tuple[str, str]]]:
    """The users of *published* who have muted its category, with the category."""
    pairs = {
        (user, each.content.category)
        for each in published
        if each.content.priority != "critical"
        for user in each.users
    }
    rows = yield from run(
        "categories_muted",
        user_id=[user for user, _ in pairs],
        category=[category for _, category in pairs],
    )
    return {(row.user_id, row.name) for row in rows}
