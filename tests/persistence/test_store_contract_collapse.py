"""The contract of stores for a collapse key: one notification of a kind at a time."""

from __future__ import annotations

import json

import trio

from tests.persistence.desk_kit import START_OF_TIME, Desk, positions, publish, told
from tocsin.persistence.store.commands import Changed, NotFound, Replayed, Update, Withdraw
from tocsin.persistence.store.queries import FindNotification
from tocsin.persistence.store.upkeep_commands import Purge
from tocsin.protocol.log.news import Position
from tocsin.protocol.notifications.notification import Patch, answer_to_publish

SOON = START_OF_TIME + 1000


async def test_a_second_one_with_the_key_becomes_the_next_revision_of_the_first(desk):
    first = await desk.publish("ann", title="One", collapse_key="k")
    second = publish("ann", title="Two", collapse_key="k")

    collapsed = await desk.one(second, Changed)

    assert collapsed.content.id == first.content.id
    assert (collapsed.content.revision, collapsed.standing, collapsed.recipients) == (
        2,
        "active",
        1,
    )
    [fan_out] = collapsed.fan_outs
    assert (fan_out.change, fan_out.positions) == ("updated", (Position("ann", 2, 1, 1),))
    [entry] = await desk.entries("ann")
    assert json.loads(entry.document)["title"] == "Two"
    assert await desk.ask(FindNotification(second.content.id), NotFound)


async def test_a_read_notification_is_unseen_again(desk, database):
    await desk.publish("ann", "bob", collapse_key="k")
    await database.execute("UPDATE inbox SET state = 'read', seen_at = 7, read_at = 8, "
                           "delivered_at = 5 WHERE user_id = 'bob'")  # fmt: skip
    await database.execute("UPDATE users SET unread = 0, unseen = 0 WHERE user_id = 'bob'")

    collapsed = await desk.publish("ann", "bob", collapse_key="k")

    assert positions(collapsed) == (Position("ann", 2, 1, 1), Position("bob", 2, 1, 1))
    assert collapsed.fan_outs[0].states == {}
    [item] = (await desk.inbox("bob")).items
    assert (item.state, item.seen_at, item.read_at) == ("unseen", None, None)
    assert (await desk.view(collapsed.content.id)).delivered == 0


async def test_new_recipients_join_the_first(desk):
    first = await desk.publish("ann", collapse_key="k")

    collapsed = await desk.publish("bob", "ann", collapse_key="k")

    assert collapsed.recipients == 2
    assert told(collapsed.fan_outs) == [
        (first.content.id, "updated", {"ann": 2}),
        (first.content.id, "created", {"bob": 1}),
    ]


async def test_one_that_others_have_too_is_withdrawn_from_the_recipients_of_the_new_one(desk):
    first = await desk.publish("ann", "bob", collapse_key="k")

    second = await desk.publish("ann", collapse_key="k")

    assert told(second.fan_outs) == [
        (first.content.id, "withdrawn", {"ann": 2}),
        (second.content.id, "created", {"ann": 3}),
    ]
    assert second.fan_outs[1].positions == (Position("ann", 3, 1, 1),)
    assert (await desk.view(first.content.id)).standing == "active"
    updated = await desk.update(first.content.id, title="Only bob's")
    assert [position.user for position in positions(updated)] == ["bob"]


async def test_of_several_the_newest_goes_on_and_the_others_end(desk):
    first = await desk.publish("ann", collapse_key="k")
    second = await desk.publish("bob", collapse_key="k")

    third = await desk.publish("ann", "bob", collapse_key="k")

    assert third.content.id == second.content.id
    assert told(third.fan_outs) == [
        (first.content.id, "withdrawn", {"ann": 2}),
        (second.content.id, "updated", {"bob": 2}),
        (second.content.id, "created", {"ann": 3}),
    ]
    assert (await desk.view(first.content.id)).standing == "withdrawn"
    assert (await desk.inbox("ann")).counters.unread == 1


async def test_keys_hold_for_each_recipient_alone(desk):
    first = await desk.publish("ann", collapse_key="k")
    second = await desk.publish("bob", collapse_key="k")

    assert first.content.id != second.content.id
    assert (await desk.publish("ann", collapse_key="l")).content.id != first.content.id


async def test_a_notification_that_has_ended_is_not_renewed(desk):
    withdrawn = await desk.publish("ann", collapse_key="k")
    await desk.withdraw(withdrawn.content.id)
    expired = await desk.publish("ann", collapse_key="k", expires_at=START_OF_TIME + 5)
    desk.now_ms = START_OF_TIME + 5

    last = await desk.publish("ann", collapse_key="k")

    ids = [withdrawn.content.id, expired.content.id, last.content.id]
    assert len(set(ids)) == 3
    assert last.fan_outs[0].change == "created"


async def test_collapsing_within_a_batch_follows_its_order(desk):
    first, second = publish("ann", collapse_key="k"), publish("ann", collapse_key="k")
    third = publish("ann", "bob", collapse_key="k")

    results = await desk.write(
        first,
        second,
        Update(first.content.id, Patch(body="More"), START_OF_TIME),
        third,
        Withdraw(first.content.id, START_OF_TIME),
        Withdraw(second.content.id, START_OF_TIME),
    )

    assert [result.content.id for result in results[:5]] == [first.content.id] * 5
    assert [result.content.revision for result in results[:5]] == [1, 2, 3, 4, 4]
    assert results[5] == NotFound()
    page = await desk.page("ann")
    assert (page.head, page.counters.unread) == (5, 0)


async def test_the_answer_to_a_collapsed_publish_names_the_older_one_also_when_repeated(desk):
    first = await desk.publish("ann", collapse_key="k")
    keyed = publish("ann", collapse_key="k", key="i")
    again = publish("ann", collapse_key="k", key="i")
    plain = publish("ann", collapse_key="k")

    results = await desk.write(keyed, plain, again, plain)
    later = await desk.write(again, plain, keyed)

    replayed = Replayed(answer_to_publish(first.content, "active", 1))
    assert [type(each) for each in results[:2]] == [Changed, Changed]
    assert [*results[2:], *later] == [replayed] * 5
    assert (await desk.view(first.content.id)).content.revision == 3


async def test_in_a_topic_the_older_one_is_renewed_for_all(desk, database):
    await desk.subscribe("news", "ann", "bob", "cem")
    first = await desk.publish(topic="news", collapse_key="k")
    await desk.bring("ann", "cem")
    await desk.unsubscribe("news", "cem")
    await database.execute("UPDATE inbox SET state = 'seen', seen_at = 7 WHERE user_id = 'ann'")
    await database.execute("UPDATE users SET unseen = 0 WHERE user_id = 'ann'")

    collapsed = await desk.publish(topic="news", title="New", collapse_key="k")

    assert (collapsed.content.id, collapsed.content.revision) == (first.content.id, 2)
    assert collapsed.recipients == 2
    brought = await desk.bring("ann", "bob", "cem")
    assert told(brought.fan_outs) == [
        (first.content.id, "created", {"bob": 1}),
        (first.content.id, "updated", {"ann": 2, "cem": 2}),
    ]
    [item] = (await desk.inbox("ann")).items
    assert (item.state, item.seen_at) == ("unseen", None)
    assert (await desk.inbox("ann")).counters.unseen == 1


async def test_a_topics_key_is_its_own(desk):
    await desk.subscribe("news", "ann")
    ids = {
        (await desk.publish(topic="news", collapse_key="k")).content.id,
        (await desk.publish(topic="blog", collapse_key="k")).content.id,
        (await desk.publish("ann", collapse_key="k")).content.id,
    }

    assert len(ids) == 3


async def test_a_scheduled_notification_collapses_when_it_is_delivered(desk):
    waiting = await desk.publish("ann", title="Later", collapse_key="k", deliver_at=SOON)
    first = await desk.publish("ann", collapse_key="k")

    [change] = (await desk.release(SOON)).changes

    assert (change.content.id, change.content.revision) == (first.content.id, 2)
    assert json.loads(change.content.document)["title"] == "Later"
    assert (await desk.view(waiting.content.id)).standing == "withdrawn"
    assert (await desk.release(SOON)).next_at is None


async def test_publishes_with_a_key_at_the_same_time_make_one_notification(desk, database):
    other = Desk(database.store())
    await other.store.open()
    ids: list[str] = []

    async def produce(node: Desk) -> None:
        for _ in range(6):
            made = await node.publish("ann", "bob", collapse_key="k")
            ids.append(made.content.id)

    async with trio.open_nursery() as nursery:
        for node in (desk, other, desk, other):
            nursery.start_soon(produce, node)

    assert len(ids) == 24
    assert len(set(ids)) == 1
    page = await desk.page("ann")
    assert (page.head, page.counters.unread) == (24, 1)
    await other.store.aclose()


async def test_a_user_who_loses_it_and_gets_it_back_in_one_batch_has_it_once(desk):
    first = publish("bob", "cem", collapse_key="k")
    second = publish("ann", "bob", collapse_key="k")
    third = publish("bob", "cem", collapse_key="k")

    results = await desk.write(first, second, third)

    assert told(results[2].fan_outs) == [
        (second.content.id, "withdrawn", {"bob": 4}),
        (first.content.id, "updated", {"cem": 2}),
        (first.content.id, "created", {"bob": 5}),
    ]
    [entry] = await desk.entries("bob")
    assert (entry.notification, entry.sequence) == (first.content.id, 5)
    assert (await desk.inbox("bob")).counters.unread == 1


async def test_the_key_of_who_has_muted_it_stands_for_nothing_that_is_not_there(desk, database):
    await desk.publish("ann", collapse_key="k")
    await desk.prefer("bob", categories={"default": False})
    await desk.publish("ann", "bob", collapse_key="k")
    purge = Purge(0, 0, created_before=SOON)

    for _ in range(2):
        await desk.write(purge)

    # No key could be changed like this; so there is none left.
    await database.execute("UPDATE collapsing SET notification_id = NULL")
