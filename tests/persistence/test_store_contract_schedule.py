"""The contract of stores for notifications that wait for their time."""

from __future__ import annotations

import trio

from tests.persistence.desk_kit import START_OF_TIME, Desk, limited, positions, publish, told
from tocsin.persistence.store.commands import (
    Changed,
    NotActive,
    PatchRefused,
    Replayed,
    Update,
    Withdraw,
)
from tocsin.persistence.store.upkeep_commands import Release
from tocsin.protocol.log.news import Position
from tocsin.protocol.notifications.notification import Patch, answer_to_publish
from tocsin.protocol.values import to_rfc3339

SOON = START_OF_TIME + 1000


async def test_a_scheduled_notification_touches_no_log(desk):
    made = await desk.publish("ann", "bob", deliver_at=SOON)

    assert (made.fan_outs, made.standing, made.recipients) == ((), "scheduled", 2)
    assert (await desk.page("ann")).head == 0
    assert (await desk.view(made.content.id)).standing == "scheduled"


async def test_due_notifications_are_published_the_earliest_first(desk):
    late = await desk.publish("ann", deliver_at=SOON + 2)
    soon = await desk.publish("ann", "bob", deliver_at=SOON)
    last = await desk.publish("ann", deliver_at=SOON + 9)

    early = await desk.release(SOON - 1)
    released = await desk.release(SOON + 2)

    assert (early.changes, early.next_at) == ((), SOON)
    assert released.next_at == SOON + 9
    assert [each.content.id for each in released.changes] == [soon.content.id, late.content.id]
    assert [positions(each) for each in released.changes] == [
        (Position("ann", 1, 1, 1), Position("bob", 1, 1, 1)),
        (Position("ann", 2, 2, 2),),
    ]
    assert {each.standing for each in released.changes} == {"active"}
    assert (await desk.view(last.content.id)).standing == "scheduled"


@limited(recipients_max=4)
async def test_notifications_for_very_many_are_released_in_pieces(desk):
    for users in (("a", "b", "c", "d", "e"), ("a", "b"), ("c", "d"), ("e",)):
        await desk.publish(*users, deliver_at=SOON)
    await desk.publish(topic="news", deliver_at=SOON)

    pieces = [await desk.release(SOON) for _ in range(4)]

    assert [len(piece.changes) for piece in pieces] == [1, 2, 2, 0]
    assert [piece.next_at for piece in pieces] == [SOON, SOON, None, None]


async def test_a_released_notification_is_not_released_again(desk):
    await desk.publish("ann", deliver_at=SOON)
    await desk.release(SOON)

    again = await desk.release(SOON)

    assert (again.changes, again.next_at) == ((), None)
    assert (await desk.page("ann")).head == 1


async def test_a_limit_leaves_the_rest_for_the_next_time(desk):
    for _ in range(3):
        await desk.publish("ann", deliver_at=SOON)

    first = await desk.release(SOON, limit=2)

    assert (len(first.changes), first.next_at) == (2, SOON)
    assert len((await desk.release(SOON)).changes) == 1


async def test_a_topics_scheduled_notification_is_for_those_who_are_in_it_by_then(desk):
    await desk.subscribe("news", "ann")
    made = await desk.publish(topic="news", deliver_at=SOON)
    await desk.subscribe("news", "bob")

    [change] = (await desk.release(SOON)).changes

    assert (made.recipients, change.recipients, change.standing) == (1, 2, "active")
    assert told((await desk.bring("ann", "bob")).fan_outs) == [
        (made.content.id, "created", {"ann": 1, "bob": 1})
    ]


async def test_muting_is_looked_at_when_it_is_delivered(desk):
    await desk.publish("ann", "bob", category="ads", deliver_at=SOON)
    await desk.prefer("ann", categories={"ads": False})

    [change] = (await desk.release(SOON)).changes

    assert positions(change) == (Position("bob", 1, 1, 1),)
    assert change.recipients == 2


async def test_a_notification_withdrawn_before_its_time_is_never_delivered(desk):
    made = await desk.publish("ann", deliver_at=SOON)

    withdrawn = await desk.withdraw(made.content.id)

    assert (withdrawn.standing, withdrawn.fan_outs) == ("withdrawn", ())
    released = await desk.release(SOON)
    assert (released.changes, released.next_at) == ((), None)
    patch = Update(made.content.id, Patch(title="New"), START_OF_TIME)
    assert await desk.one(patch, NotActive) == NotActive("withdrawn")


async def test_a_scheduled_notification_cannot_be_made_to_expire_before_its_time(desk):
    made = await desk.publish("ann", deliver_at=SOON)

    patch = Update(made.content.id, Patch(expires_at=to_rfc3339(SOON)), START_OF_TIME)
    await desk.one(patch, PatchRefused)

    patch = Update(made.content.id, Patch(expires_at=to_rfc3339(SOON + 1)), START_OF_TIME)
    assert (await desk.one(patch, Changed)).content.expires_at == SOON + 1
    assert len((await desk.release(SOON)).changes) == 1


async def test_an_update_before_its_time_is_what_is_delivered(desk):
    made = await desk.publish("ann", deliver_at=SOON)

    updated = await desk.update(made.content.id, title="New")
    [change] = (await desk.release(SOON)).changes

    assert (updated.standing, updated.fan_outs) == ("scheduled", ())
    assert (change.content, change.content.revision) == (updated.content, 2)
    assert change.fan_outs[0].change == "created"


async def test_a_scheduled_notification_that_expired_is_not_released(desk):
    made = await desk.publish("ann", deliver_at=SOON, expires_at=SOON + 5)

    assert (await desk.expire(SOON + 5)).count == 0
    released = await desk.release(SOON + 5)

    assert (released.changes, released.next_at) == ((), None)
    assert (await desk.view(made.content.id)).standing == "expired"
    assert (await desk.page("ann")).head == 0


async def test_a_batch_that_schedules_changes_and_releases_keeps_its_order(desk):
    first, second = publish("ann", deliver_at=SOON), publish("ann", deliver_at=SOON)

    results = await desk.write(
        Release(SOON, 9),
        first,
        second,
        Withdraw(first.content.id, SOON),
        Update(second.content.id, Patch(title="New"), SOON),
        Release(SOON, 9),
        publish("ann"),
    )

    assert results[0].changes == ()
    [change] = results[5].changes
    assert (change.content.id, change.content.revision) == (second.content.id, 2)
    assert positions(results[6]) == (Position("ann", 2, 2, 2),)


async def test_scheduling_is_idempotent_by_key_and_by_id_also_after_delivery(desk):
    keyed, plain = publish("ann", key="k", deliver_at=SOON), publish("ann", deliver_at=SOON)
    again = publish("ann", key="k", deliver_at=SOON)
    assert [type(each) for each in await desk.write(keyed, plain)] == [Changed, Changed]

    before = await desk.write(again, plain)
    await desk.release(SOON)

    answers = [Replayed(answer_to_publish(each.content, "scheduled", 1)) for each in (keyed, plain)]
    assert before == await desk.write(again, plain) == answers
    assert (await desk.page("ann")).head == 2


async def test_nodes_that_release_at_the_same_time_publish_each_once(desk, database):
    other = Desk(database.store())
    await other.store.open()
    await desk.write(*(publish("ann", "bob", deliver_at=SOON) for _ in range(60)))
    released: list[str] = []

    async def release(node: Desk) -> None:
        for _ in range(8):
            done = await node.release(SOON, limit=10)
            released.extend(each.content.id for each in done.changes)

    async with trio.open_nursery() as nursery:
        for node in (desk, other, desk, other):
            nursery.start_soon(release, node)
    while (rest := await desk.release(SOON)).changes:
        released.extend(each.content.id for each in rest.changes)

    assert len(set(released)) == len(released) == 60
    assert [entry.sequence for entry in await desk.entries("ann")] == list(range(1, 61))
    await other.store.aclose()
