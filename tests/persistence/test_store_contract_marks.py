"""The contract of stores for marks: states, sequences and counters, in step with each other."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.persistence.desk_kit import START_OF_TIME, Desk, limited, positions, publish
from tocsin.persistence.store.commands import Counters, Withdraw
from tocsin.persistence.store.queries import FindInboxItem, InboxItem
from tocsin.persistence.store.user_commands import BeyondHead, Marked, MarkInbox, Subscribe

EVERYTHING = ("unseen", "seen", "read", "archived", "withdrawn")


async def states(desk: Desk, user: str = "ann") -> list[str]:
    """The states of a user's notifications, the oldest first."""
    inbox = await desk.inbox(user, states=EVERYTHING)
    return [item.state for item in reversed(inbox.items)]


async def test_a_mark_is_a_change_in_the_log(desk):
    made = await desk.publish("ann")
    desk.now_ms = START_OF_TIME + 5

    marked = await desk.mark("ann", "seen", made)

    assert marked == Marked("ann", 1, 2, Counters(1, 0), more=False)
    [entry] = await desk.entries("ann", start=1)
    assert (entry.sequence, entry.change, entry.state) == (2, "state", "seen")
    assert (entry.seen_at, entry.read_at) == (START_OF_TIME + 5, None)
    assert (await desk.page("ann")).counters == Counters(1, 0)


async def test_a_mark_that_changes_nothing_is_no_change(desk):
    made = await desk.publish("ann")
    await desk.mark("ann", "read", made)

    again = await desk.mark("ann", "read", made)

    assert again == Marked("ann", 0, 2, Counters(0, 0), more=False)
    assert (await desk.mark("ann", "seen", made)).changed == 0


async def test_a_notification_goes_through_all_its_states(desk):
    made = await desk.publish("ann")
    find = FindInboxItem("ann", made.content.id, desk.now_ms)
    found = []
    for step, mark in enumerate(("read", "unread", "archived", "read", "archived", "unread"), 1):
        desk.now_ms = step
        marked = await desk.mark("ann", mark, made)
        item = await desk.ask(find, InboxItem)
        found.append((item.state, item.seen_at, item.read_at, marked.counters.unread))

    assert found == [
        ("read", 1, 1, 0),
        ("seen", 1, None, 1),
        ("archived", 1, None, 0),
        ("read", 1, 4, 0),
        ("archived", 1, 4, 0),
        ("seen", 1, None, 1),
    ]


async def test_only_ones_own_notifications_are_marked_and_others_passed_over(desk):
    mine, other = await desk.publish("ann"), await desk.publish("bob")

    marked = await desk.mark("ann", "read", other, "nothing", mine, mine)

    assert (marked.changed, marked.head) == (1, 2)
    assert await states(desk, "bob") == ["unseen"]
    assert (await desk.mark("nobody", "read", mine)) == Marked(
        "nobody", 0, 0, Counters(0, 0), more=False
    )


async def test_no_ids_are_none(desk):
    await desk.publish("ann")

    assert (await desk.one(MarkInbox("ann", "read", 5, ids=()), Marked)).changed == 0
    assert await states(desk) == ["unseen"]


async def test_through_marks_what_could_be_seen_at_a_cursor_even_if_it_changed_since(desk):
    made = [await desk.publish("ann") for _ in range(3)]
    await desk.update(made[0].content.id, title="New")

    marked = await desk.mark("ann", "read", through=2)

    assert (marked.changed, marked.head, marked.counters) == (2, 6, Counters(1, 1))
    assert await states(desk) == ["read", "read", "unseen"]


async def test_through_what_the_log_has_not_reached_is_refused(desk):
    await desk.publish("ann")

    assert await desk.one(MarkInbox("ann", "read", 5, through=2), BeyondHead) == BeyondHead(1)
    assert await desk.one(MarkInbox("nobody", "read", 5, through=1), BeyondHead) == BeyondHead(0)
    assert (await desk.mark("ann", "read", through=0)).changed == 0
    assert await states(desk) == ["unseen"]


async def test_all_leaves_the_archive_alone_and_an_id_does_not(desk):
    kept, archived = await desk.publish("ann"), await desk.publish("ann")
    await desk.mark("ann", "archived", archived)

    assert (await desk.mark("ann", "read")).changed == 1
    assert await states(desk) == ["read", "archived"]
    assert (await desk.mark("ann", "unread")).changed == 1
    assert (await desk.mark("ann", "unread", archived, kept)).changed == 1
    assert await states(desk) == ["seen", "seen"]


async def test_all_is_also_what_waits_in_the_topics_of_the_user(desk):
    await desk.write(Subscribe("news", ("ann",), 5))
    made = publish(topic="news")
    await desk.write(made)

    assert (await desk.mark("ann", "seen")) == Marked("ann", 1, 2, Counters(1, 0), more=False)
    assert (await desk.mark("ann", "read", made.content.id)).changed == 1
    assert await states(desk) == ["read"]


async def test_an_archived_notification_that_came_back_is_archived_anew(desk, database):
    made = await desk.publish("ann")
    desk.now_ms = 5
    await desk.mark("ann", "archived", made)
    await desk.mark("ann", "unread", made)
    await database.execute("UPDATE users SET horizon = (SELECT count(archived_at) FROM inbox)")
    assert (await desk.page("ann")).horizon == 0

    desk.now_ms = 7
    await desk.mark("ann", "archived", made)
    await database.execute("UPDATE users SET horizon = (SELECT max(archived_at) FROM inbox)")
    assert (await desk.page("ann")).horizon == 7


async def test_neither_the_expired_nor_the_withdrawn_are_marked(desk):
    late = await desk.publish("ann", expires_at=START_OF_TIME + 1)
    gone = await desk.publish("ann")
    await desk.withdraw(gone.content.id)
    await desk.expire(START_OF_TIME + 1)

    assert (await desk.mark("ann", "archived")).changed == 0
    assert (await desk.mark("ann", "read", late, gone)).changed == 0
    assert (await desk.page("ann")).counters == Counters(0, 0)


@pytest.mark.parametrize("mark", ["seen", "read", "archived"])
async def test_a_long_inbox_is_marked_the_oldest_first_and_in_pieces(desk, mark):
    for _ in range(5):
        await desk.publish("ann")

    pieces = [await desk.mark("ann", mark, limit=2) for _ in range(3)]

    assert [(piece.changed, piece.more) for piece in pieces] == [(2, True), (2, True), (1, False)]
    log = await desk.entries("ann")
    assert [entry.sequence for entry in log] == [6, 7, 8, 9, 10]
    assert [entry.notification for entry in log] == sorted(entry.notification for entry in log)


@limited(marks_max=6, marks_of_command_min=1)
async def test_users_who_mark_all_in_one_transaction_share_its_budget(desk):
    for _ in range(4):
        await desk.publish("ann", "bob", "cy")
    marks = [MarkInbox(user, "read", desk.now_ms) for user in ("ann", "bob", "cy")]

    results = [each for _ in range(2) for each in await desk.write(*marks)]

    assert [each.changed for each in results if isinstance(each, Marked)] == [2] * 6
    assert [each.more for each in results if isinstance(each, Marked)] == [True] * 3 + [False] * 3
    assert (await desk.page("cy")).counters == Counters(0, 0)


async def test_ids_are_limited_like_everything_and_go_on_where_they_were(desk):
    made = [await desk.publish("ann") for _ in range(3)]

    first = await desk.mark("ann", "read", *reversed(made), limit=2)
    assert (first.changed, first.more) == (2, True)
    assert await states(desk) == ["read", "read", "unseen"]
    second = await desk.mark("ann", "read", *made, limit=2)
    assert (second.changed, second.more) == (1, False)


async def test_marks_of_one_batch_act_one_after_the_other(desk):
    one, two = await desk.publish("ann"), await desk.publish("ann")
    ids = (one.content.id, two.content.id)

    results = await desk.write(
        MarkInbox("ann", "read", 5, ids=ids[:1]),
        MarkInbox("ann", "unread", 6, ids=ids),
        MarkInbox("ann", "read", 7),
        MarkInbox("ann", "unread", 8, through=1),
        MarkInbox("ann", "archived", 9, ids=ids[1:]),
        MarkInbox("ann", "read", 9, through=99),
    )

    assert [result.changed for result in results[:-1]] == [1, 1, 2, 1, 1]
    assert [result.head for result in results] == [3, 4, 6, 7, 8, 8]
    assert [result.counters.unread for result in results[:-1]] == [1, 2, 0, 1, 1]
    assert isinstance(results[-1], BeyondHead)
    assert await states(desk) == ["seen", "archived"]
    assert (await desk.page("ann")).counters == Counters(1, 0)


async def test_marks_of_many_users_cost_the_statements_of_one(desk):
    users = [f"user-{number}" for number in range(100)]
    made = await desk.publish(*users)

    async def cost(mark: str, some: list[str], **more: Any) -> int:
        before: int = desk.store.statements_run
        results = await desk.write(*[MarkInbox(user, mark, 5, **more) for user in some])
        assert {result.changed for result in results} == {1}
        after: int = desk.store.statements_run
        return after - before

    ids = (made.content.id,)
    assert await cost("seen", users[:1]) == await cost("seen", users[1:])
    assert await cost("read", users[:1], ids=ids) == await cost("read", users[1:], ids=ids)
    assert await cost("archived", users[:1]) == await cost("archived", users[1:])


async def test_a_mark_and_a_withdrawal_at_the_same_time_count_once(desk):
    made = [await desk.publish("ann", "bob") for _ in range(10)]

    async with trio.open_nursery() as nursery:
        for each in made:
            nursery.start_soon(desk.write, Withdraw(each.content.id, 5))
            nursery.start_soon(desk.write, MarkInbox("ann", "read", 5))
            nursery.start_soon(desk.write, MarkInbox("bob", "seen", 5, ids=(each.content.id,)))

    for user in ("ann", "bob"):
        page = await desk.page(user)
        assert page.counters == Counters(0, 0)
        assert await states(desk, user) == ["withdrawn"] * 10


async def test_a_mark_stays_when_the_producer_updates_the_notification(desk):
    made = await desk.publish("ann")
    await desk.mark("ann", "read", made)

    changed = await desk.update(made.content.id, title="New")

    [position] = positions(changed)
    assert (position.unread, position.unseen) == (0, 0)
    assert await states(desk) == ["read"]
