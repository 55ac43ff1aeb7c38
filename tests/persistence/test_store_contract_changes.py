"""Updates, withdrawals, expiries, and batches of them, on each store."""

from __future__ import annotations

import json

import pytest

from tests.persistence.desk_kit import START_OF_TIME, Desk, limited, positions, publish
from tocsin.persistence.scripts.logs.publish_plain import FEW_MAX
from tocsin.persistence.store import StoreFailed
from tocsin.persistence.store.commands import (
    Changed,
    NotActive,
    NotFound,
    PatchRefused,
    Publish,
    RevisionMismatch,
    Update,
    Withdraw,
)
from tocsin.persistence.store.queries import FindInboxItem, FindNotification
from tocsin.persistence.store.upkeep_commands import Expire
from tocsin.protocol.log.news import Position
from tocsin.protocol.notifications.notification import Patch
from tocsin.protocol.refusal import Refused

# --- Update -------------------------------------------------------------------------------------


async def test_an_update_moves_the_notification_to_the_end_of_each_log(desk):
    first = await desk.publish("ann", "bob")
    await desk.publish("ann")

    updated = await desk.update(first.content.id, title="New")

    assert positions(updated) == (Position("ann", 3, 2, 2), Position("bob", 2, 1, 1))
    assert updated.content.revision == 2
    [second, entry] = await desk.entries("ann", start=1)
    assert (entry.sequence, entry.change, entry.notification) == (3, "updated", first.content.id)
    assert json.loads(entry.document)["title"] == "New"
    assert second.change == "created"


async def test_two_updates_in_one_batch_build_on_each_other(desk):
    made = publish("ann")

    results = await desk.write(
        made,
        Update(made.content.id, Patch(title="Two"), START_OF_TIME, expected_revisions=(1,)),
        Update(made.content.id, Patch(body="More"), START_OF_TIME, expected_revisions=(2,)),
        Update(made.content.id, Patch(body="Late"), START_OF_TIME, expected_revisions=(2,)),
    )

    assert [type(result) for result in results] == [Changed, Changed, Changed, RevisionMismatch]
    assert results[3] == RevisionMismatch(3)
    [entry] = await desk.entries("ann")
    document = json.loads(entry.document)
    assert (entry.sequence, document["title"], document["body"]) == (3, "Two", "More")
    assert (await desk.view(made.content.id)).content == results[2].content


async def test_an_update_of_one_of_several_revisions_is_made_where_it_is_one(desk):
    made = publish("ann")
    await desk.write(made)

    def change(title: str, *revisions: int) -> Update:
        return Update(
            made.content.id, Patch(title=title), START_OF_TIME, expected_revisions=revisions
        )

    results = await desk.write(
        change("Never"),
        change("Two", 7, 1),
        change("Late", 7, 1),
        change("Three", 2, 3),
        change("Four", 2, 3),
        change("Five", 2, 3),
    )

    assert [type(result) for result in results] == [
        *(RevisionMismatch, Changed, RevisionMismatch, Changed, Changed, RevisionMismatch)
    ]
    assert results[0] == RevisionMismatch(1)
    assert json.loads((await desk.view(made.content.id)).content.document)["title"] == "Four"


async def test_an_update_tells_who_has_seen_it(desk, database):
    made = await desk.publish("ann", "bob")
    await database.execute("UPDATE inbox SET state = 'read', seen_at = 7, read_at = 8 "
                           "WHERE user_id = 'bob'")  # fmt: skip

    updated = await desk.update(made.content.id, title="New")

    [(user, state)] = updated.fan_outs[0].states.items()
    assert (user, state.state, state.seen_at, state.read_at) == ("bob", "read", 7, 8)


async def test_an_update_that_cannot_be_done_says_why(desk):
    made = await desk.publish("ann")
    gone = await desk.publish("ann")
    await desk.withdraw(gone.content.id)
    patch = Patch(title="New")

    results = await desk.write(
        Update("nothing", patch, START_OF_TIME),
        Update(gone.content.id, patch, START_OF_TIME),
        Update(made.content.id, patch, START_OF_TIME, expected_revisions=(7,)),
        Update(made.content.id, Patch(), START_OF_TIME),
    )

    assert results[:3] == [NotFound(), NotActive("withdrawn"), RevisionMismatch(1)]
    assert isinstance(results[3], PatchRefused)
    assert isinstance(results[3].error, Refused)
    assert (await desk.page("ann")).head == 3


# --- Withdraw -----------------------------------------------------------------------------------


async def test_a_withdrawal_takes_back_what_each_recipient_counts(desk, database):
    made = await desk.publish("unseen", "seen", "read")
    for state, unread in (("seen", 1), ("read", 0)):
        await database.execute(f"UPDATE inbox SET state = '{state}' WHERE user_id = '{state}'")
        await database.execute(
            f"UPDATE users SET unseen = 0, unread = {unread} WHERE user_id = '{state}'"
        )

    withdrawn = await desk.withdraw(made.content.id)

    assert {
        (each.user, each.sequence, each.unread, each.unseen) for each in positions(withdrawn)
    } == {
        ("unseen", 2, 0, 0),
        ("seen", 2, 0, 0),
        ("read", 2, 0, 0),
    }


async def test_withdrawing_again_succeeds_and_changes_nothing(desk):
    made = await desk.publish("ann")
    await desk.withdraw(made.content.id)

    assert await desk.withdraw(made.content.id) == Changed(made.content, (), "withdrawn", 1)
    assert (await desk.page("ann")).head == 2
    assert await desk.one(Withdraw("nothing", 0), NotFound)


async def test_a_withdrawn_notification_is_told_only_to_those_who_may_know_it(desk):
    made = await desk.publish("ann")
    await desk.withdraw(made.content.id)

    [entry] = await desk.entries("ann", start=1)
    assert (entry.change, entry.state, entry.sequence) == ("withdrawn", "withdrawn", 2)
    page = await desk.page("ann", start=0)
    assert (page.entries, page.through) == ((), 2)


# --- Expire -------------------------------------------------------------------------------------


async def test_due_notifications_expire_the_earliest_first(desk):
    late = await desk.publish("ann", expires_at=START_OF_TIME + 2000)
    soon = await desk.publish("ann", "bob", expires_at=START_OF_TIME + 1000)
    await desk.publish("ann")

    expired = await desk.expire(START_OF_TIME + 5000, limit=1)

    assert (expired.count, expired.next_at) == (1, START_OF_TIME + 2000)
    assert (await desk.view(soon.content.id)).standing == "expired"
    assert (await desk.view(late.content.id)).standing == "active"
    rest = await desk.expire(START_OF_TIME + 5000)
    assert (rest.count, rest.next_at) == (1, None)
    assert (expired.users, rest.users) == (("ann", "bob"), ("ann",))


async def test_a_user_whose_counters_an_expiry_leaves_alone_is_not_named(desk):
    await desk.publish("ann", "bob", expires_at=START_OF_TIME + 5)
    await desk.mark("bob", "read")

    assert (await desk.expire(START_OF_TIME + 5)).users == ("ann",)


@limited(recipients_max=4)
async def test_notifications_for_very_many_expire_in_pieces(desk):
    due = START_OF_TIME + 1000
    for users in (("a", "b", "c", "d", "e"), ("a", "b"), ("c", "d"), ("e",)):
        await desk.publish(*users, expires_at=due)

    pieces = [await desk.expire(due) for _ in range(4)]

    assert [piece.count for piece in pieces] == [1, 2, 1, 0]
    assert [piece.next_at for piece in pieces] == [due, due, None, None]


async def test_the_expired_leave_pages_inbox_and_counters_but_take_no_sequence(desk):
    made = await desk.publish("ann", expires_at=START_OF_TIME + 1000)
    other = await desk.publish("ann")

    assert (await desk.expire(START_OF_TIME + 999)).count == 0
    await desk.expire(START_OF_TIME + 1000)

    page = await desk.page("ann")
    assert [entry.notification for entry in page.entries] == [other.content.id]
    assert (page.head, page.counters.unread, page.counters.unseen) == (2, 1, 1)
    assert len((await desk.inbox("ann")).items) == 1
    assert await desk.ask(FindInboxItem("ann", made.content.id, desk.now_ms), NotFound)


async def test_an_expiry_within_a_batch_counts_from_its_place_on(desk):
    made = publish("ann", expires_at=START_OF_TIME + 1000)
    await desk.write(made)

    results = await desk.write(
        publish("ann"), Expire(START_OF_TIME + 1000, 10), publish("ann"), Expire(0, 10)
    )

    assert positions(results[0]) == (Position("ann", 2, 2, 2),)
    assert (results[1].count, results[3].count) == (1, 0)
    assert positions(results[2]) == (Position("ann", 3, 2, 2),)


async def test_an_update_that_postpones_the_expiry_comes_before_it(desk):
    made = await desk.publish("ann", expires_at=START_OF_TIME + 1000)
    postpone = Update(made.content.id, Patch(expires_at=None), START_OF_TIME)

    results = await desk.write(postpone, Expire(START_OF_TIME + 1000, 10))

    assert results[1].count == 0
    assert (await desk.view(made.content.id)).standing == "active"


async def test_an_expired_notification_is_not_changed_any_more(desk):
    made = await desk.publish("ann", expires_at=START_OF_TIME + 1000)
    await desk.expire(START_OF_TIME + 1000)

    update = Update(made.content.id, Patch(title="New"), START_OF_TIME)
    assert await desk.one(update, NotActive) == NotActive("expired")


async def test_an_expired_notification_that_is_withdrawn_tells_nobody_and_is_withdrawn(desk):
    made = await desk.publish("ann", expires_at=START_OF_TIME + 1000)
    await desk.expire(START_OF_TIME + 1000)

    assert (await desk.withdraw(made.content.id)).fan_outs == ()
    assert (await desk.view(made.content.id)).standing == "withdrawn"
    assert (await desk.withdraw(made.content.id)).fan_outs == ()


# --- Batches ------------------------------------------------------------------------------------


async def test_a_batch_costs_the_same_statements_whatever_its_size(desk):
    async def cost(batch: list[Publish]) -> int:
        before: int = desk.store.statements_run
        await desk.write(*batch)
        after: int = desk.store.statements_run
        return after - before

    def batch(size: int) -> list[Publish]:
        return [publish(f"user-{number}", key=f"key-{size}-{number}") for number in range(size)]

    # A few may take fewer statements.
    assert await cost(batch(1)) <= await cost(batch(FEW_MAX + 1)) == await cost(batch(500))


async def test_a_command_that_cannot_be_stored_fails_its_batch_and_leaves_nothing(desk):
    bad = publish("bob")
    broken = Withdraw(bad.content.id, 2**70)
    await desk.publish("ann")

    with pytest.raises(StoreFailed):
        await desk.write(publish("ann"), bad, broken)

    assert (await desk.page("ann")).head == 1
    assert await desk.ask(FindNotification(bad.content.id), NotFound)
    assert positions(await desk.publish("ann")) == (Position("ann", 2, 2, 2),)


async def test_text_that_is_no_text_fails_its_batch(desk):
    with pytest.raises(StoreFailed):
        await desk.write(publish("ann"), publish("lone \ud800 surrogate"))

    assert (await desk.page("ann")).head == 0


async def test_an_empty_batch_is_no_work(desk):
    assert await desk.write() == []
    assert await desk.read() == []


async def test_two_stores_on_one_database_share_its_logs(desk, database):
    other = Desk(database.store())
    await other.store.open()

    await desk.publish("ann")
    assert positions(await other.publish("ann")) == (Position("ann", 2, 2, 2),)
    assert other.store.epoch == desk.store.epoch
    await other.store.aclose()
