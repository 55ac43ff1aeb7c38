"""What a batch of log commands has to see before it is planned: locked, then read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from tocsin.persistence.scripts.logs.admission import Admission
from tocsin.persistence.scripts.logs.plan import Held, Numbered, Plan, Slot
from tocsin.persistence.scripts.statements import Row, Rows, Script, run
from tocsin.persistence.store import Expire, RecipientState, Release, Update, Withdraw
from tocsin.protocol.notification import Content, Standing

RECIPIENTS_AT_A_TIME = 1000
"""Of what one transaction expires or releases, about: their users wait for it."""


def hold(
    commands: Sequence[Numbered], admission: Admission, looked_at: Collection[str]
) -> Script[tuple[Plan, dict[Slot, str]]]:
    """A plan that knows all that *commands* may need, and who had the collapse keys before it."""
    fresh = {each.content.id for each in admission.admitted.values()}
    due = yield from _due(commands)
    scheduled = yield from _scheduled(commands, fresh)
    published = [*admission.admitted.values(), *scheduled.values()]
    if not any(isinstance(each, Release) for _, each in commands):
        published = [each for each in published if each.deliver_at is None]
    slots = yield from _claim_slots(published)
    named = {each.notification for _, each in commands if isinstance(each, Update | Withdraw)}
    named |= set(slots.values())
    rows = yield from run("notifications_lock", sorted(named - fresh))
    held = {row[0]: held_of_row(row) for row in [*due, *rows]}
    # What is admitted is held, but only from its command on.
    held = {id_: each for id_, each in held.items() if id_ not in fresh} | scheduled
    yield from _read_recipients(held, published, looked_at)
    muted = yield from _muted(published)
    return Plan(held, dict(slots), muted), slots


def content_of_row(row: Row) -> Content:
    """The content in *row*, whose first eleven columns are those of `notifications_lock`."""
    return Content(
        id=row[0],
        revision=row[1],
        category=row[2],
        created_at=row[3],
        updated_at=row[4],
        expires_at=row[5],
        document=row[6],
        priority=row[8],
        topic=row[9],
        collapse_key=row[10],
    )


def held_of_row(row: Row) -> Held:
    """The notification in a row of `notifications_lock`, without its recipients."""
    return Held(content_of_row(row), row[7], row[11], not_before=row[12])


def _due(commands: Sequence[Numbered]) -> Script[Iterable[Row]]:
    """What expires: as many more as other commands may end or postpone first, or make later."""
    expiries = [each for _, each in commands if isinstance(each, Expire)]
    if not expiries:
        return ()
    latest = max(each.now_ms for each in expiries)
    most = sum(each.limit for each in expiries) + len(commands)
    return _first_of((yield from run("notifications_due", [latest], [most])))


def _scheduled(commands: Sequence[Numbered], fresh: Collection[str]) -> Script[dict[str, Held]]:
    """What is to be released, with as many more as in `_due`."""
    releases = [each for _, each in commands if isinstance(each, Release)]
    if not releases:
        return {}
    latest = max(each.now_ms for each in releases)
    most = sum(each.limit for each in releases) + len(commands)
    rows = yield from run("schedule_due", [latest], [most])
    scheduled = {}
    for row in _first_of(rows):
        if row[0] not in fresh:
            held = scheduled[row[0]] = held_of_row(row)
            held.deliver_at, held.users = row[12], _users(row[13])
    return scheduled


def _first_of(rows: Rows) -> list[Row]:
    """As many of the first *rows* as have not too many recipients together; one at least."""
    first: list[Row] = []
    recipients = 0
    for row in rows:
        # In a topic it is one entry, however many are in it.
        recipients += 1 if row[9] is not None else row[11]
        if first and recipients > RECIPIENTS_AT_A_TIME:
            break
        first.append(row)
    return first


def _users(text: str | None) -> tuple[str, ...]:
    return () if text is None else msgspec.json.decode(text, type=tuple[str, ...])


def _claim_slots(published: Iterable[Held]) -> Script[dict[Slot, str]]:
    """Lock the collapse keys of *published*; the notification that each holds for now."""
    wanted: dict[Slot, str] = {}
    for each in published:
        if (key := each.content.collapse_key) is not None:
            topic = each.content.topic
            users = each.users if topic is None else ("",)
            for user in users:
                wanted.setdefault((key, topic or "", user), each.content.id)
    slots = sorted(wanted)
    rows = yield from run(
        "collapsing_claim",
        [key for key, _, _ in slots],
        [topic for _, topic, _ in slots],
        [user for _, _, user in slots],
        [wanted[slot] for slot in slots],
    )
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def _read_recipients(
    held: dict[str, Held], published: Iterable[Held], looked_at: Collection[str]
) -> Script[None]:
    """Lock everybody whose log this transaction changes or looks at; who has what is *held*."""
    ids = sorted(
        id_
        for id_, each in held.items()
        if each.standing == Standing.ACTIVE and each.content.topic is None
    )
    if not ids and not looked_at:
        # Giving out sequences will be lock enough.
        return
    rows = yield from run("recipients", ids)
    users = {row[0] for row in rows}.union(looked_at, *(each.users for each in published))
    if looked_at:
        # They become known now, not under the locks of topics: who publishes to one that nobody
        # knew has the user first, and then the topic of everyone.
        known = sorted(looked_at)
        yield from run("users_insert", known, [0] * len(known))
    yield from run("users_lock", sorted(users))
    rows = yield from run("inbox_states", ids)
    for notification, user, state, seen_at, read_at in rows:
        held[notification].recipients[user] = RecipientState(state, seen_at, read_at)


def _muted(published: Iterable[Held]) -> Script[set[tuple[str, str]]]:
    """The users of *published* who have muted its category, with the category."""
    pairs = {
        (user, each.content.category)
        for each in published
        if each.content.priority != "critical"
        for user in each.users
    }
    rows = yield from run(
        "categories_muted", [user for user, _ in pairs], [category for _, category in pairs]
    )
    return {(row[0], row[1]) for row in rows}
