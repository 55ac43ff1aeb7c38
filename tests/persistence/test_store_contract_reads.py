"""The answers of every store: pages for devices, inboxes for people, views for producers."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from tests.persistence.desk_kit import ALL_BUT_ARCHIVED, START_OF_TIME, publish
from tocsin.persistence.store.commands import Counters, NotFound
from tocsin.persistence.store.queries import (
    FindHead,
    FindInboxItem,
    Head,
    Inbox,
    InboxItem,
    InboxPage,
    Page,
    ReadPage,
)
from tocsin.persistence.store.user_commands import Materialise, Subscribe, Unsubscribe

# --- Pages --------------------------------------------------------------------------------------


async def test_a_page_of_an_empty_log_is_complete(desk):
    assert await desk.page("nobody") == Page((), 0, 0, 0, Counters(0, 0))


async def test_a_page_holds_entries_in_order_up_to_its_limit(desk):
    made = [await desk.publish("ann") for _ in range(5)]

    first = await desk.page("ann", limit=3)
    assert [entry.sequence for entry in first.entries] == [1, 2, 3]
    assert (first.through, first.head, first.counters) == (3, 5, Counters(5, 5))
    second = await desk.page("ann", after=first.through, limit=3)
    assert [entry.notification for entry in second.entries] == [m.content.id for m in made[3:]]
    assert second.through == 5


async def test_a_page_that_ends_at_its_limit_and_the_log_is_complete(desk):
    for _ in range(3):
        await desk.publish("ann")

    page = await desk.page("ann", limit=3)

    assert (len(page.entries), page.through) == (3, 3)


async def test_a_page_is_bounded_in_bytes_but_never_empty_for_that(desk):
    made = [await desk.publish("ann", body="ü" * 500) for _ in range(3)]
    size = len(made[0].content.document.encode())

    async def fit(bytes_max: int) -> list[int]:
        page = await desk.page("ann", bytes_max=bytes_max)
        assert page.through == page.entries[-1].sequence
        return [entry.sequence for entry in page.entries]

    assert await fit(1) == [1]
    assert await fit(2 * size - 1) == [1]
    assert await fit(2 * size) == [1, 2]
    assert await fit(3 * size) == [1, 2, 3]


async def test_a_page_carries_what_the_device_needs_to_show(desk, database):
    made = await desk.publish("ann", title="Grüße")
    await database.execute("UPDATE inbox SET state = 'read', seen_at = 7, read_at = 8")

    [entry] = await desk.entries("ann")

    assert entry.document == made.content.document
    assert (entry.state, entry.seen_at, entry.read_at) == ("read", 7, 8)


async def test_a_notification_newer_than_the_start_is_created_though_it_was_updated(desk):
    old = await desk.publish("ann")
    new = await desk.publish("ann")
    for made in (old, new):
        await desk.update(made.content.id, title="New")

    changes = {e.notification: e.change for e in await desk.entries("ann", start=1)}
    assert changes == {old.content.id: "updated", new.content.id: "created"}


async def test_a_notification_withdrawn_before_the_device_had_it_is_left_out(desk):
    made = await desk.publish("ann")
    await desk.withdraw(made.content.id)

    page = await desk.page("ann", counted=0)

    assert (page.entries, page.through) == ((), 2)


async def test_a_withdrawal_after_the_device_was_told_its_count_corrects_it(desk):
    await desk.publish("ann")
    made = await desk.publish("ann")
    page = await desk.page("ann", limit=1)
    assert (page.through, page.counters, page.head) == (1, Counters(2, 2), 2)
    await desk.withdraw(made.content.id)

    page = await desk.page("ann", after=1, began=0, counted=page.head)

    assert [(entry.sequence, entry.change) for entry in page.entries] == [(3, "withdrawn")]
    assert page.counters == Counters(1, 1)
    # And once that was told, no more of it.
    assert (await desk.page("ann", after=1, began=0, counted=3)).entries == ()


async def test_start_and_position_within_the_session_are_two_things(desk):
    made = await desk.publish("ann")
    await desk.publish("ann")
    await desk.update(made.content.id, title="New")

    [entry] = await desk.entries("ann", start=0, after=2)
    assert (entry.sequence, entry.change) == (3, "created")


async def test_an_acknowledged_entry_is_left_out_and_covered(desk):
    made = [await desk.publish("ann") for _ in range(4)]
    for number in (2, 4):
        id_ = made[number - 1].content.id
        await desk.sent("ann", "phone", id_, number, acknowledged_at=5)

    page = await desk.page("ann", "phone")
    assert ([entry.sequence for entry in page.entries], page.through) == ([1, 3], 4)
    assert len(await desk.entries("ann", "tablet")) == 4


async def test_a_notification_dead_for_the_device_is_left_out_until_it_changes(desk):
    made = await desk.publish("ann")
    await desk.sent("ann", "phone", made.content.id, 1, dead="unresponsive")

    assert await desk.entries("ann", "phone") == ()
    assert len(await desk.entries("ann", "tablet")) == 1
    await desk.update(made.content.id, title="New")
    assert [entry.attempts for entry in await desk.entries("ann", "phone")] == [0]


async def test_attempts_count_for_the_present_change_only(desk):
    made = await desk.publish("ann")
    await desk.sent("ann", "phone", made.content.id, 1, attempts=4)

    assert [entry.attempts for entry in await desk.entries("ann", "phone")] == [4]
    assert [entry.attempts for entry in await desk.entries("ann", "tablet")] == [0]
    await desk.update(made.content.id, title="New")
    assert [entry.attempts for entry in await desk.entries("ann", "phone")] == [0]


async def test_pages_for_many_devices_come_in_order_and_in_few_statements(desk):
    users = [f"user-{number}" for number in range(200)]
    await desk.write(publish(*users), publish(*users[:100]))

    async def ask(count: int) -> int:
        before: int = desk.store.statements_run
        pages = await desk.read(
            *[ReadPage(u, "d", 0, 0, 9, 1 << 20, 9, False, 9) for u in users[:count]]
        )
        assert [len(page.entries) for page in pages] == ([2] * 100 + [1] * 100)[:count]
        after: int = desk.store.statements_run
        return after - before

    assert await ask(1) == await ask(200)


async def test_the_same_question_twice_in_one_read_has_two_answers(desk):
    await desk.publish("ann")
    query = ReadPage("ann", "phone", 0, 0, 10, 1000, 9, False, 9)

    first, second, other = await desk.read(
        query, query, ReadPage("ann", "phone", 0, 1, 10, 1000, 9, False, 9)
    )

    assert first == second
    assert (len(first.entries), len(other.entries)) == (1, 0)


# --- The inbox ----------------------------------------------------------------------------------


async def test_an_inbox_lists_the_newest_first(desk):
    made = [await desk.publish("ann", title=str(number)) for number in range(3)]
    await desk.publish("bob")
    await desk.update(made[0].content.id, body="changed, and still the oldest")

    inbox = await desk.inbox("ann")

    assert titles(inbox) == ["2", "1", "0"]
    assert (inbox.more, inbox.head, inbox.counters) == (False, 4, Counters(3, 3))
    assert [item.created_sequence for item in inbox.items] == [3, 2, 1]


@pytest.mark.parametrize(
    "states", [ALL_BUT_ARCHIVED, ("unseen",), ("archived",)], ids=["all", "unread", "archived"]
)
async def test_a_page_of_an_inbox_is_bounded_in_bytes_but_never_empty_for_that(desk, states):
    made = [await desk.publish("ann", body="x" * 1000) for _ in range(4)]
    if states == ("archived",):
        await desk.mark("ann", "archived", *made)
    size = len(made[0].content.document.encode())

    async def fit(bytes_max: int, limit: int = 4) -> tuple[int, bool]:
        page = await desk.inbox("ann", states=states, bytes_max=bytes_max, limit=limit)
        return len(page.items), page.more

    assert await fit(1) == (1, True)
    assert await fit(2 * size) == (2, True)
    assert await fit(3 * size + size // 2, limit=2) == (2, True)
    assert await fit(4 * size) == (4, False)
    assert await fit(4 * size - 1) == (3, True)
    last = await desk.inbox("ann", states=states, bytes_max=1, before=2)
    assert (len(last.items), last.more) == (1, False)


async def test_an_inbox_is_read_page_by_page_while_new_ones_arrive(desk):
    for number in range(5):
        await desk.publish("ann", title=str(number))

    first = await desk.inbox("ann", limit=2)
    await desk.publish("ann", title="new")
    second = await desk.inbox("ann", limit=2, before=first.items[-1].created_sequence)
    third = await desk.inbox("ann", limit=2, before=second.items[-1].created_sequence)

    assert titles(first) + titles(second) + titles(third) == ["4", "3", "2", "1", "0"]
    assert (first.more, second.more, third.more) == (True, True, False)


async def test_an_inbox_lists_the_states_and_the_category_that_were_asked_for(desk, database):
    for number, state in enumerate(("unseen", "seen", "read", "archived"), 1):
        await desk.publish("ann", title=state, category="odd" if number % 2 else "even")
        await database.execute(f"UPDATE inbox SET state = '{state}' WHERE sequence = {number}")
    gone = await desk.publish("ann", title="withdrawn", category="odd")
    await desk.withdraw(gone.content.id)

    assert titles(await desk.inbox("ann")) == ["read", "seen", "unseen"]
    assert titles(await desk.inbox("ann", states=("archived",))) == ["archived"]
    assert titles(await desk.inbox("ann", states=("seen", "unseen"))) == ["seen", "unseen"]
    assert titles(await desk.inbox("ann", category="odd")) == ["read", "unseen"]
    assert titles(await desk.inbox("ann", category="none")) == []
    assert titles(await desk.inbox("ann", states=())) == []


async def test_one_item_is_found_by_its_owner_alone(desk):
    made = await desk.publish("ann")

    item = await desk.ask(FindInboxItem("ann", made.content.id, desk.now_ms), InboxItem)
    assert item == InboxItem(1, made.content.document, "unseen", None, None)
    assert await desk.ask(FindInboxItem("bob", made.content.id, desk.now_ms), NotFound)
    assert await desk.ask(FindInboxItem("ann", "nothing", desk.now_ms), NotFound)


async def test_an_expired_notification_leaves_the_inbox_before_the_expiry_runs(desk):
    made = await desk.publish("ann", expires_at=START_OF_TIME + 10)
    find = FindInboxItem("ann", made.content.id, START_OF_TIME + 10)

    desk.now_ms = START_OF_TIME + 9
    assert len((await desk.inbox("ann")).items) == 1
    desk.now_ms = START_OF_TIME + 10
    assert (await desk.inbox("ann")).items == ()
    assert (await desk.inbox("ann", states=("unseen", "seen"))).items == ()
    assert await desk.ask(find, NotFound)


async def test_an_inbox_knows_whether_the_topics_of_its_user_have_gone_on(desk):
    await desk.write(Subscribe("news", ("ann", "left"), 5), Subscribe("sport", ("bob",), 5))
    await desk.write(publish(topic="news"))
    await desk.write(Unsubscribe("news", ("left",), 6))
    await desk.write(publish(topic="news"))

    behind = {}
    for user in ("ann", "left", "bob", "nobody"):
        behind[user] = (await desk.inbox(user)).behind
    # A user who has left may have something that is updated or withdrawn; one who was never seen
    # is not yet among everyone.
    assert behind == {"ann": True, "left": True, "bob": False, "nobody": True}
    assert await desk.read(FindHead("ann"), FindHead("bob"), FindHead("nobody")) == [
        Head(0, Counters(0, 0), True, topics=1),
        Head(0, Counters(0, 0), False, topics=1),
        Head(0, Counters(0, 0), True),
    ]

    await desk.write(Materialise(("ann",), 7))
    assert await desk.ask(FindHead("ann"), Head) == Head(2, Counters(2, 2), False, topics=1)


async def test_inboxes_of_all_kinds_and_heads_cost_few_statements(desk):
    await desk.publish("ann", "bob")
    kinds = (ALL_BUT_ARCHIVED, ("unseen", "seen"), ("archived",))

    async def cost(count: int) -> int:
        before: int = desk.store.statements_run
        await desk.read(
            *[InboxPage("ann", kind, None, 9, None, desk.now_ms) for kind in kinds] * count,
            *[FindHead("bob")] * count,
        )
        after: int = desk.store.statements_run
        return after - before

    assert await cost(1) == await cost(50) == 4


LONG = 10_000
PAGE = 100


@pytest.mark.alone
async def test_the_hundredth_page_of_an_inbox_costs_what_the_first_does(desk, database):
    await desk.write(*[publish("ann") for _ in range(LONG)])

    for state, states in (
        *(("archived", ("archived",)), ("unseen", ("unseen", "seen"))),
        ("read", ALL_BUT_ARCHIVED),
    ):
        await database.execute(f"UPDATE inbox SET state = '{state}'")
        # A purge in one stroke, as no node does it, leaves ten thousand dead entries in each index.
        await database.execute("VACUUM")
        page = partial(desk.inbox, "ann", states=states, limit=PAGE)
        assert len((await page()).items) == len((await page(before=PAGE + 1)).items) == PAGE
        first, hundredth = await fastest(page, partial(page, before=PAGE + 1))
        assert hundredth <= 1.5 * first, states

    # And a few unread ones behind all that was read are not searched for.
    await database.execute("UPDATE inbox SET state = 'seen' WHERE created_sequence <= 5")
    unread = partial(desk.inbox, "ann", states=("unseen", "seen"), limit=PAGE)
    assert [item.created_sequence for item in (await unread()).items] == [5, 4, 3, 2, 1]
    few, many = await fastest(unread, page)
    assert few <= many


async def fastest(*questions: Callable[[], Awaitable[object]]) -> list[float]:
    """The shortest time that each takes, in turns, so that what else happens falls on all."""
    times: list[list[float]] = [[] for _ in questions]
    for _ in range(15):
        for number, ask in enumerate(questions):
            began = time.perf_counter()
            await ask()
            times[number].append(time.perf_counter() - began)
    return [min(each) for each in times]


def titles(inbox: Inbox) -> list[str]:
    return [json.loads(item.document)["title"] for item in inbox.items]
