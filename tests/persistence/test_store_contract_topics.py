"""The contract of stores for topics: publish once, bring it once into each subscriber's log."""

from __future__ import annotations

import json

from tests.persistence.desk_kit import START_OF_TIME, limited, publish, told
from tocsin.persistence.store.commands import Changed, Replayed, Update, Withdraw
from tocsin.persistence.store.upkeep_commands import Expire
from tocsin.protocol.log.news import Position
from tocsin.protocol.notifications.notification import EVERYONE, Patch, answer_to_publish

# --- Publishing ---------------------------------------------------------------------------------


async def test_a_topics_notification_reaches_its_subscribers_when_they_are_brought_up_to_date(desk):
    await desk.subscribe("news", "ann", "bob")

    made = await desk.publish(topic="news")

    assert (made.fan_outs, made.standing, made.recipients) == ((), "active", 2)
    brought = await desk.bring("ann", "bob", "cem")
    [fan_out] = brought.fan_outs
    assert fan_out.content == made.content
    assert fan_out.positions == (Position("ann", 1, 1, 1), Position("bob", 1, 1, 1))
    assert [entry.notification for entry in await desk.entries("ann")] == [made.content.id]
    assert await desk.entries("cem") == ()


async def test_no_user_is_brought_the_same_twice(desk):
    await desk.subscribe("news", "ann")
    await desk.publish(topic="news")
    await desk.bring("ann")

    assert (await desk.bring("ann")).fan_outs == ()
    assert (await desk.page("ann")).head == 1


async def test_publishing_to_a_topic_costs_the_same_whatever_the_number_of_its_subscribers(desk):
    await desk.subscribe("small", "ann")
    await desk.subscribe("large", *(f"user-{number}" for number in range(1000)))

    before = desk.store.statements_run
    small = await desk.publish(topic="small")
    between = desk.store.statements_run
    large = await desk.publish(topic="large")

    assert (small.recipients, large.recipients) == (1, 1000)
    assert desk.store.statements_run - between == between - before


async def test_news_for_a_thousand_users_is_brought_in_two_statements(desk):
    users = [f"user-{number:04}" for number in range(1000)]
    await desk.subscribe("news", *users)
    made = await desk.publish(topic="news")

    before = desk.store.statements_run
    brought = await desk.bring(*users)

    assert desk.store.statements_run - before == 2
    [(notification, change, sequences)] = told(brought.fan_outs)
    assert (notification, change) == (made.content.id, "created")
    assert sequences == dict.fromkeys(users, 1)


@limited(entries_of_user_max=4, entries_of_user_min=4)
async def test_much_in_many_topics_is_brought_piece_by_piece_in_the_order_of_all(desk):
    topics = [f"topic-{number:02}" for number in range(12)]
    for topic in topics:
        await desk.subscribe(topic, "ann", "bob")
    made = []
    # A topic with much, others with something now and then, and many with one at the same time.
    for topic in [*topics[:3] * 3, *topics[7:8] * 6, *topics[1:2], *reversed(topics)]:
        desk.now_ms += 0 if topic > "topic-08" else 1
        made.append((desk.now_ms, topic, await desk.publish(topic=topic)))
    expected = [each.content.id for _, _, each in sorted(made, key=lambda each: each[:2])]

    brought: list[str] = []
    for turn in range(1, 20):
        result = await desk.bring("ann", "bob")
        brought += [id_ for id_, _, at in told(result.fan_outs) if "ann" in at]
        assert len(brought) == min(4 * turn, len(made))
        assert result.behind == (() if len(brought) == len(made) else ("ann", "bob"))
        if not result.behind:
            break

    assert brought == expected
    assert [entry.notification for entry in await desk.entries("bob")] == expected


async def test_a_topic_without_subscribers_takes_notifications_for_nobody(desk):
    made = await desk.publish(topic="news")

    assert made.recipients == 0
    await desk.subscribe("news", "ann")
    assert (await desk.bring("ann")).fan_outs == ()


async def test_a_topic_publish_is_idempotent_by_key_and_by_id(desk):
    await desk.subscribe("news", "ann")
    keyed, plain = publish(topic="news", key="k"), publish(topic="news")
    again = publish(topic="news", key="k")

    first = await desk.write(keyed, plain, again, plain)
    await desk.subscribe("news", "bob")
    second = await desk.write(again, plain, keyed)

    by_key = Replayed(answer_to_publish(keyed.content, "active", 1))
    by_id = Replayed(answer_to_publish(plain.content, "active", 1))
    assert [type(each) for each in first[:2]] == [Changed, Changed]
    assert (first[2:], second) == ([by_key, by_id], [by_key, by_id, by_key])
    assert len((await desk.bring("ann")).fan_outs) == 2


async def test_the_order_of_topics_in_a_log_is_that_of_their_times(desk):
    await desk.subscribe("a", "ann")
    await desk.subscribe("b", "ann", "bob")
    made = []
    for number, topic in enumerate(["b", "a", "b"]):
        desk.now_ms = START_OF_TIME + number
        made.append((await desk.publish(topic=topic)).content.id)

    brought = await desk.bring("bob", "ann")

    assert told(brought.fan_outs) == [
        (made[0], "created", {"ann": 1, "bob": 1}),
        (made[1], "created", {"ann": 2}),
        (made[2], "created", {"ann": 3, "bob": 2}),
    ]


async def test_a_clock_that_goes_back_does_not_change_the_order_within_a_topic(desk):
    await desk.subscribe("news", "ann")
    desk.now_ms = START_OF_TIME + 1000
    first = await desk.publish(topic="news")
    desk.now_ms = START_OF_TIME
    second = await desk.publish(topic="news")

    brought = await desk.bring("ann")

    assert [fan_out.content.id for fan_out in brought.fan_outs] == [
        first.content.id,
        second.content.id,
    ]


async def test_a_device_that_attaches_brings_its_user_up_to_date(desk):
    await desk.subscribe("news", "ann")

    await desk.write(publish(topic="news"))
    attached = await desk.attach("ann", "phone")

    assert (attached.head, attached.counters.unread, attached.behind) == (1, 1, False)


async def test_a_backlog_that_is_long_is_brought_in_pieces(desk):
    await desk.subscribe("news", "ann", "bob")
    made = [publish(topic="news") for _ in range(1500)]
    await desk.write(*made)

    first = await desk.bring("ann")
    second = await desk.bring("ann")

    assert (len(first.fan_outs), first.behind) == (1000, ("ann",))
    assert (len(second.fan_outs), second.behind) == (500, ())
    seen = [each.content.id for each in (*first.fan_outs, *second.fan_outs)]
    assert seen == [each.content.id for each in made]
    assert (await desk.page("ann")).counters.unread == 1500


# --- Updates, withdrawals, expiries ---------------------------------------------------------------


async def test_an_update_of_a_topics_notification_reaches_those_who_have_it(desk):
    await desk.subscribe("news", "ann", "bob")
    made = await desk.publish(topic="news")
    await desk.bring("ann")

    updated = await desk.update(made.content.id, title="New")

    assert (updated.fan_outs, updated.content.revision, updated.recipients) == ((), 2, 2)
    brought = await desk.bring("ann", "bob")
    assert told(brought.fan_outs) == [
        (made.content.id, "created", {"bob": 1}),
        (made.content.id, "updated", {"ann": 2}),
    ]
    assert {json.loads(each.content.document)["title"] for each in brought.fan_outs} == {"New"}


async def test_a_withdrawal_of_a_topics_notification_takes_it_back(desk):
    await desk.subscribe("news", "ann", "bob")
    made = await desk.publish(topic="news")
    await desk.bring("ann")

    withdrawn = await desk.withdraw(made.content.id)

    assert (withdrawn.standing, withdrawn.fan_outs) == ("withdrawn", ())
    brought = await desk.bring("ann", "bob")
    [fan_out] = brought.fan_outs
    assert (fan_out.change, fan_out.positions) == ("withdrawn", (Position("ann", 2, 0, 0),))
    assert (await desk.page("bob")).head == 0


async def test_a_notification_that_came_and_went_leaves_no_trace(desk):
    await desk.subscribe("news", "ann")
    gone = await desk.publish(topic="news")
    await desk.update(gone.content.id, title="New")
    await desk.withdraw(gone.content.id)
    stays = await desk.publish(topic="news")

    brought = await desk.bring("ann")

    assert told(brought.fan_outs) == [(stays.content.id, "created", {"ann": 1})]


async def test_several_updates_of_a_topics_notification_are_one_entry(desk):
    await desk.subscribe("news", "ann")
    made = await desk.publish(topic="news")
    await desk.bring("ann")
    for title in ("Two", "Three"):
        await desk.update(made.content.id, title=title)

    [fan_out] = (await desk.bring("ann")).fan_outs

    assert (fan_out.change, fan_out.content.revision) == ("updated", 3)
    assert fan_out.positions == (Position("ann", 2, 1, 1),)


async def test_an_update_tells_what_each_has_done_with_it(desk, database):
    await desk.subscribe("news", "ann", "bob")
    made = await desk.publish(topic="news")
    await desk.bring("ann", "bob")
    await database.execute("UPDATE inbox SET state = 'read', seen_at = 7, read_at = 8 "
                           "WHERE user_id = 'bob'")  # fmt: skip
    await desk.update(made.content.id, title="New")

    [fan_out] = (await desk.bring("ann", "bob")).fan_outs

    [(user, state)] = fan_out.states.items()
    assert (user, state.state, state.seen_at, state.read_at) == ("bob", "read", 7, 8)


async def test_an_expiry_of_a_topics_notification_takes_no_sequence(desk):
    await desk.subscribe("news", "ann", "bob")
    made = await desk.publish(topic="news", expires_at=START_OF_TIME + 1000)
    await desk.bring("ann")

    expired = await desk.expire(START_OF_TIME + 1000)

    assert (expired.count, expired.topics, expired.users) == (1, ("news",), ())
    brought = await desk.bring("ann", "bob")
    assert (brought.fan_outs, brought.recounted) == ((), ("ann",))
    assert (await desk.bring("ann", "bob")).recounted == ()
    page = await desk.page("ann")
    assert (page.entries, page.head, page.counters.unread) == ((), 1, 0)
    assert (await desk.page("bob")).head == 0
    assert (await desk.view(made.content.id)).standing == "expired"


async def test_a_notification_past_its_time_is_not_brought_even_before_it_expires(desk):
    await desk.subscribe("news", "ann")
    await desk.publish(topic="news", expires_at=START_OF_TIME + 1000)
    desk.now_ms = START_OF_TIME + 1000

    assert (await desk.bring("ann")).fan_outs == ()


async def test_commands_about_a_topics_notification_in_one_batch_build_on_each_other(desk):
    await desk.subscribe("news", "ann")
    made, other = publish(topic="news"), publish(topic="news", expires_at=START_OF_TIME + 5)

    results = await desk.write(
        Update(made.content.id, Patch(title="Early"), START_OF_TIME),
        made,
        Update(made.content.id, Patch(title="New"), START_OF_TIME),
        other,
        Expire(START_OF_TIME + 5, 10),
        Withdraw(made.content.id, START_OF_TIME),
    )

    assert results[2].content.revision == 2
    assert (results[4].count, results[4].topics) == (1, ("news",))
    assert (results[5].standing, results[5].recipients) == ("withdrawn", 1)
    assert (await desk.bring("ann")).fan_outs == ()


# --- Everyone -------------------------------------------------------------------------------------


async def test_everyone_is_who_was_seen_before(desk):
    await desk.publish("ann")
    await desk.attach("bob", "phone")

    made = await desk.publish(topic=EVERYONE)
    await desk.attach("late", "phone")

    assert made.recipients == 2
    assert json.loads(made.content.document)["topic"] is None
    brought = await desk.bring("ann", "bob", "late")
    assert told(brought.fan_outs) == [(made.content.id, "created", {"ann": 2, "bob": 1})]


async def test_a_user_first_named_in_a_batch_gets_the_later_broadcasts(desk):
    early, late = publish(topic=EVERYONE), publish(topic=EVERYONE)

    results = await desk.write(early, publish("ann", "bob"), late)

    assert [each.recipients for each in results] == [0, 2, 2]
    brought = await desk.bring("ann", "bob")
    assert told(brought.fan_outs) == [(late.content.id, "created", {"ann": 2, "bob": 2})]


async def test_naming_users_who_are_known_costs_no_statement_more(desk):
    async def cost() -> int:
        before: int = desk.store.statements_run
        await desk.publish("ann")
        after: int = desk.store.statements_run
        return after - before

    first = await cost()
    assert await cost() < first


async def test_a_user_that_is_scheduled_for_is_known_when_it_is_delivered(desk):
    await desk.write(publish("ann", deliver_at=START_OF_TIME + 10))

    before = await desk.publish(topic=EVERYONE)
    await desk.release(START_OF_TIME + 10)
    after = await desk.publish(topic=EVERYONE)

    assert (before.recipients, after.recipients) == (0, 1)
