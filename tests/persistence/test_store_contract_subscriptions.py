"""Subscriptions and preferences, on each store."""

from __future__ import annotations

import pytest

from tests.persistence.desk_kit import START_OF_TIME, positions, publish, told
from tocsin.persistence.scripts.logs.publish_plain import FEW_MAX
from tocsin.persistence.store.queries import ListSubscriptions, SubscribedTopics
from tocsin.persistence.store.user_commands import (
    SUBSCRIPTIONS_MAX,
    Materialise,
    Subscribe,
    Unsubscribe,
)
from tocsin.protocol.log.news import Position

# --- Subscribing ----------------------------------------------------------------------------------


async def test_a_user_who_joins_gets_nothing_from_before(desk):
    await desk.publish(topic="news")

    joined = await desk.subscribe("news", "ann")
    made = await desk.publish(topic="news")

    assert (joined.topic, joined.joined, joined.changed) == ("news", True, ("ann",))
    assert (joined.refused, joined.heads) == ((), {})
    assert told((await desk.bring("ann")).fan_outs) == [(made.content.id, "created", {"ann": 1})]


async def test_joining_again_changes_nothing(desk):
    await desk.subscribe("news", "ann")
    await desk.publish(topic="news")

    again = await desk.subscribe("news", "ann", "bob")

    assert (again.changed, again.heads) == (("bob",), {"ann": 1})
    assert (await desk.publish(topic="news")).recipients == 2


async def test_a_user_who_leaves_keeps_what_there_is_and_hears_of_its_changes(desk):
    await desk.subscribe("news", "ann")
    made, gone = await desk.publish(topic="news"), await desk.publish(topic="news")

    left = await desk.unsubscribe("news", "ann", "stranger")
    missed = await desk.publish(topic="news")

    assert (left.joined, left.changed, left.heads) == (False, ("ann",), {"ann": 2})
    assert missed.recipients == 0
    await desk.update(made.content.id, title="New")
    await desk.update(missed.content.id, title="New")
    await desk.withdraw(gone.content.id)
    assert told((await desk.bring("ann")).fan_outs) == [
        (made.content.id, "updated", {"ann": 3}),
        (gone.content.id, "withdrawn", {"ann": 4}),
    ]


async def test_a_user_who_comes_back_gets_only_the_ends_from_in_between(desk):
    await desk.subscribe("news", "ann")
    made = await desk.publish(topic="news")
    await desk.unsubscribe("news", "ann")
    await desk.publish(topic="news")
    await desk.withdraw(made.content.id)

    back = await desk.subscribe("news", "ann")
    after = await desk.publish(topic="news")

    assert (back.changed, back.heads) == (("ann",), {"ann": 2})
    assert told((await desk.bring("ann")).fan_outs) == [(after.content.id, "created", {"ann": 3})]
    assert (await desk.page("ann")).counters.unread == 1


async def test_comings_and_goings_in_one_batch_count_in_their_order(desk):
    join = Subscribe("news", ("ann", "bob"), START_OF_TIME)
    leave = Unsubscribe("news", ("ann",), START_OF_TIME)

    results = await desk.write(join, leave, join, leave)

    assert [each.changed for each in results] == [("ann", "bob"), ("ann",), ("ann",), ("ann",)]
    assert (await desk.publish(topic="news")).recipients == 1
    assert (await desk.bring("ann")).fan_outs == ()


async def test_a_backlog_is_brought_in_full_before_its_owner_leaves(desk):
    await desk.subscribe("news", "ann")
    await desk.write(*(publish(topic="news") for _ in range(1200)))

    left = await desk.unsubscribe("news", "ann")

    assert left.heads == {"ann": 1200}
    assert (await desk.page("ann")).counters.unread == 1200


async def test_a_user_is_in_so_many_topics_and_no_more(desk):
    topics = [f"topic-{number}" for number in range(SUBSCRIPTIONS_MAX)]
    await desk.write(*(Subscribe(topic, ("ann",), START_OF_TIME) for topic in topics))

    over = await desk.subscribe("one-more", "ann", "bob")

    assert (over.changed, over.refused) == (("bob",), ("ann",))
    assert (await desk.subscribe(topics[0], "ann")).refused == ()
    await desk.unsubscribe(topics[0], "ann")
    assert (await desk.subscribe("one-more", "ann")).changed == ("ann",)


# --- Muting ---------------------------------------------------------------------------------------


async def test_a_muted_category_stays_out_of_the_log(desk):
    await desk.prefer("ann", categories={"ads": False, "work": True})

    made = await desk.publish("ann", "bob", category="ads")

    assert positions(made) == (Position("bob", 1, 1, 1),)
    assert made.recipients == 2
    assert positions(await desk.publish("ann", category="work"))[0].sequence == 1


@pytest.mark.parametrize("topic", [None, "news"])
async def test_a_critical_notification_cannot_be_muted(desk, topic):
    await desk.subscribe("news", "ann")
    await desk.prefer("ann", categories={"ads": False}, news=False)
    users = () if topic else ("ann",)

    await desk.publish(*users, topic=topic, category="ads", priority="critical")
    await desk.bring("ann")

    assert (await desk.page("ann")).counters.unread == 1


async def test_a_muted_topic_or_category_is_not_brought_and_still_counts(desk):
    await desk.subscribe("news", "ann", "bob")
    await desk.prefer("ann", news=False)
    await desk.prefer("bob", categories={"ads": False})

    made = await desk.publish(topic="news", category="ads")

    assert made.recipients == 2
    assert (await desk.bring("ann", "bob")).fan_outs == ()
    await desk.prefer("ann")
    await desk.prefer("bob")
    assert (await desk.bring("ann", "bob")).fan_outs == ()


async def test_preferences_hold_for_what_is_published_from_then_on(desk):
    await desk.subscribe("news", "ann")
    await desk.publish(topic="news")

    muted = await desk.prefer("ann", news=False)
    await desk.publish(topic="news")
    await desk.bring("ann")

    assert muted.head == 1
    assert (await desk.page("ann")).head == 1


async def test_a_publish_that_cannot_be_muted_does_not_look(desk):
    async def cost(priority: str) -> int:
        before: int = desk.store.statements_run
        # Of a few, the look is no statement of its own.
        await desk.write(*[publish("ann", priority=priority) for _ in range(FEW_MAX + 1)])
        after: int = desk.store.statements_run
        return after - before

    await desk.publish("ann")
    usual = await cost("normal")
    assert await cost("critical") == usual - 1


async def test_bringing_is_answered_once_for_all_who_ask_in_a_batch(desk):
    await desk.subscribe("news", "ann", "bob")
    await desk.publish(topic="news")

    results = await desk.write(
        Materialise(("ann",), START_OF_TIME), Materialise(("bob", "ann"), START_OF_TIME)
    )

    [fan_out] = results[0].fan_outs
    assert [each.user for each in fan_out.positions] == ["ann", "bob"]
    assert results[1].fan_outs == ()


async def test_a_user_who_has_left_a_topic_is_still_told_of_its_notifications(desk):
    await desk.subscribe("news", "ann")
    await desk.publish(topic="news")
    await desk.bring("ann")
    await desk.unsubscribe("news", "ann")

    assert (await desk.attach("ann", "phone")).topics == ("news",)
    assert (await desk.ask(ListSubscriptions("ann"), SubscribedTopics)).topics == ()


async def test_a_user_in_and_out_of_a_topic_without_news_leaves_nothing_behind(desk, database):
    await desk.subscribe("news", "ann", "bob")
    await desk.unsubscribe("news", "ann")
    await desk.write(Subscribe("other", ("cem",), 5), Unsubscribe("other", ("cem",), 6))
    assert (await desk.attach("ann", "phone")).topics == ()
    assert (await desk.publish(topic="news")).recipients == 1

    await desk.subscribe("quiet", "ann")
    await desk.unsubscribe("quiet", "ann")
    await desk.subscribe("quiet", "cem")
    assert (await desk.publish(topic="quiet")).recipients == 1
    # No topic could be changed like this; so there is none left of whom nobody knows anything.
    await database.execute("UPDATE topics SET topic = NULL WHERE head = 0 AND subscribers = 0")
    await database.execute("UPDATE subscriptions SET topic = NULL WHERE NOT active")
