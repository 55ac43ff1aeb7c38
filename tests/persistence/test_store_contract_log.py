"""What every store does with the user log: publish, update, withdraw, expire."""

from __future__ import annotations

import json
from functools import partial

import pytest
import trio

from tests.persistence.desk import START_OF_TIME, Desk, answer, positions, publish
from tocsin.persistence.scripts.logs import locking as holding
from tocsin.persistence.store import (
    Changed,
    Expire,
    FindInboxItem,
    FindNotification,
    Idempotency,
    KeyReused,
    NotActive,
    NotFound,
    Overdue,
    PatchRefused,
    Position,
    Publish,
    Purge,
    Replayed,
    RevisionMismatch,
    StoreFailed,
    Update,
    Withdraw,
)
from tocsin.protocol.notification import Patch, answer_to_publish
from tocsin.protocol.refusal import Refused
from tocsin.protocol.values import to_rfc3339


async def test_a_users_first_notification_has_sequence_one(desk):
    changed = await desk.publish("ann", "bob")

    assert positions(changed) == (Position("ann", 1, 1, 1), Position("bob", 1, 1, 1))
    assert changed.fan_outs[0].states == {}


async def test_positions_follow_the_order_of_the_commands_and_count_exactly(desk):
    first, second = publish("ann", "bob"), publish("bob")
    withdraw = Withdraw(first.content.id, START_OF_TIME)
    third = publish("ann")

    results = await desk.write(first, second, withdraw, third)

    assert [positions(result) for result in results] == [
        (Position("ann", 1, 1, 1), Position("bob", 1, 1, 1)),
        (Position("bob", 2, 2, 2),),
        (Position("ann", 2, 0, 0), Position("bob", 3, 1, 1)),
        (Position("ann", 3, 1, 1),),
    ]


async def test_sequences_are_contiguous_however_many_write_at_once(desk):
    users = [f"user-{number}" for number in range(5)]
    seen: dict[str, list[int]] = {user: [] for user in users}

    async def write(offset: int) -> None:
        for turn in range(6):
            # Different orders, so that locks taken in the order given would deadlock.
            order = users[turn % 5 :] + users[: turn % 5]
            batch = [publish(*(order if offset % 2 else order[::-1])) for _ in range(4)]
            for result in await desk.write(*batch):
                for position in positions(result):
                    seen[position.user].append(position.sequence)

    async with trio.open_nursery() as nursery:
        for offset in range(4):
            nursery.start_soon(write, offset)

    assert all(sorted(sequences) == list(range(1, 97)) for sequences in seen.values())
    page = await desk.page("user-3", limit=1000)
    assert [entry.sequence for entry in page.entries] == list(range(1, 97))
    assert page.counters.unread == 96


async def test_one_notification_reaches_a_thousand_users(desk):
    users = [f"user-{number}" for number in range(1000)]

    changed = await desk.publish(*users)

    assert [position.user for position in positions(changed)] == users
    assert (await desk.view(changed.content.id)).recipients == 1000


# --- Idempotency --------------------------------------------------------------------------------


async def test_the_same_key_and_request_get_the_first_answer_again(desk):
    first = publish("ann", key="k")
    await desk.write(first)

    assert await desk.one(publish("ann", key="k"), Replayed) == Replayed(answer(first))
    assert (await desk.page("ann")).head == 1


async def test_the_same_key_with_another_request_is_refused(desk):
    await desk.publish("ann", key="k")

    assert await desk.one(publish("ann", key="k", fingerprint=b"other"), KeyReused)
    assert (await desk.page("ann")).head == 1


async def test_a_key_that_occurs_twice_in_one_batch_counts_once(desk):
    first = publish("ann", key="k")

    results = await desk.write(
        first,
        publish("ann", key="k"),
        publish("ann", key="k", fingerprint=b"other"),
        publish("ann"),
    )

    assert [type(result) for result in results] == [Changed, Replayed, KeyReused, Changed]
    assert results[1] == Replayed(answer(first))
    assert positions(results[3]) == (Position("ann", 2, 2, 2),)


async def test_keys_belong_to_their_credential(desk):
    command = publish("ann", key="k")
    other = publish("ann", key="k", fingerprint=b"other")
    theirs = Publish(
        other.content,
        other.users,
        "somebody",
        Idempotency("somebody", "k", b"other"),
    )

    results = await desk.write(command, theirs)

    assert [type(result) for result in results] == [Changed, Changed]


async def test_a_key_that_is_used_at_the_same_moment_counts_once(desk):
    results: list[object] = []

    async def one() -> None:
        results.extend(await desk.write(publish("ann", key="k"), publish("bob")))

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(one)

    kinds = [type(result) for result in results]
    assert kinds.count(Replayed) == 5
    assert (await desk.page("ann")).head == 1
    assert (await desk.page("bob")).head == 6


async def test_a_publish_that_is_repeated_because_its_answer_was_lost_counts_once(desk):
    command = publish("ann")
    await desk.write(command)

    results = await desk.write(command, publish("ann"), command)

    replayed = Replayed(answer(command))
    assert (results[0], results[2]) == (replayed, replayed)
    assert positions(results[1]) == (Position("ann", 2, 2, 2),)


async def test_keys_are_forgotten_when_purged(desk):
    await desk.publish("ann", key="k")

    await desk.write(Purge(idempotency_before=START_OF_TIME, tickets_before=0))
    assert await desk.one(publish("ann", key="k"), Replayed)

    await desk.write(Purge(idempotency_before=START_OF_TIME + 1, tickets_before=0))
    assert await desk.one(publish("ann", key="k"), Changed)


# --- Once -----------------------------------------------------------------------------------------


async def test_a_change_that_has_a_name_is_made_once(desk):
    first = await desk.publish("ann")
    update = Update(first.content.id, Patch(title="once"), START_OF_TIME + 1, once="u")
    later = Update(first.content.id, Patch(title="later"), START_OF_TIME + 2, once="v")
    withdraw = Withdraw(first.content.id, START_OF_TIME + 3, once="w")

    made = await desk.write(update, update)
    assert isinstance(made[0], Changed)
    assert made[1] == Replayed(f'{{"id":"{first.content.id}"}}')
    await desk.write(later)
    assert [type(each) for each in await desk.write(update, later)] == [Replayed, Replayed]

    changed = await desk.one(withdraw, Changed)
    assert changed.content.revision == 3
    assert '"title":"later"' in changed.content.document
    assert (await desk.page("ann")).head == 4
    again = await desk.write(update, later, withdraw, withdraw)
    assert [type(each) for each in again] == [Replayed] * 4


async def test_what_is_posted_too_late_is_known_by_its_key_or_not_stored(desk):
    first = publish("ann", key="k", expires_at=START_OF_TIME + 5)
    await desk.write(first)
    late = partial(publish, "ann", expires_at=START_OF_TIME + 5, overdue=True)

    again, other, new = await desk.write(
        late(key="k"), late(key="k", fingerprint=b"other"), late(key="new")
    )

    assert again == Replayed(answer(first))
    assert (other, new) == (KeyReused(), Overdue())
    # The key was not used by what was refused.
    await desk.one(publish("ann", key="new", fingerprint=b"in time"), Changed)
    assert len(await desk.entries("ann")) == 2


async def test_what_is_posted_too_late_finds_its_first_in_the_same_transaction(desk):
    first = publish(topic="news", key="k", collapse_key="c")
    late = publish(topic="news", key="k", collapse_key="c", overdue=True)

    before, changed, after = await desk.write(late, first, late)

    assert isinstance(changed, Changed)
    assert before == after == Replayed(answer_to_publish(first.content, "active", 0))


async def test_a_change_that_did_nothing_the_first_time_does_nothing_ever(desk):
    first = await desk.publish("ann", expires_at=START_OF_TIME + 10)
    gone = to_rfc3339(START_OF_TIME - 1000)
    refused = Update(first.content.id, Patch(expires_at=gone), START_OF_TIME + 5, once="u")
    unknown = Update("nothing", Patch(title="x"), START_OF_TIME, once="v")

    results = await desk.write(refused, unknown)

    assert [type(each) for each in results] == [PatchRefused, NotFound]
    results = await desk.write(refused, unknown)
    assert [type(each) for each in results] == [Replayed, Replayed]


async def test_a_change_that_many_make_at_the_same_moment_is_made_once(desk):
    first = await desk.publish("ann")
    names = [f"{number:02}" for number in range(20)]
    results: list[object] = []

    async def one() -> None:
        updates = [
            Update(first.content.id, Patch(title=name), START_OF_TIME, once=name) for name in names
        ]
        results.extend(await desk.write(publish("bob", key="k"), *updates))

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(one)

    assert [type(each) for each in results].count(Replayed) == 5 * (1 + len(names))
    assert (await desk.page("ann")).head == 1 + len(names)


async def test_the_names_of_changes_are_forgotten_when_purged(desk):
    first = await desk.publish("ann")
    update = Update(first.content.id, Patch(title="once"), START_OF_TIME, once="u")
    await desk.write(update)

    await desk.write(Purge(idempotency_before=START_OF_TIME + 1, tickets_before=0))

    assert await desk.one(update, Changed)


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


async def test_what_cannot_be_updated_says_why(desk):
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


async def test_what_is_due_expires_the_earliest_first(desk):
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


async def test_whose_counters_an_expiry_leaves_alone_is_not_named(desk):
    await desk.publish("ann", "bob", expires_at=START_OF_TIME + 5)
    await desk.mark("bob", "read")

    assert (await desk.expire(START_OF_TIME + 5)).users == ("ann",)


async def test_what_is_for_very_many_expires_in_pieces(desk, monkeypatch):
    monkeypatch.setattr(holding, "RECIPIENTS_AT_A_TIME", 4)
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


async def test_what_has_expired_is_not_changed_any_more(desk):
    made = await desk.publish("ann", expires_at=START_OF_TIME + 1000)
    await desk.expire(START_OF_TIME + 1000)

    assert (await desk.withdraw(made.content.id)).fan_outs == ()
    update = Update(made.content.id, Patch(title="New"), START_OF_TIME)
    assert await desk.one(update, NotActive) == NotActive("expired")


# --- Batches ------------------------------------------------------------------------------------


async def test_a_batch_costs_the_same_statements_whatever_its_size(desk):
    async def cost(batch: list[Publish]) -> int:
        before: int = desk.store.statements_run
        await desk.write(*batch)
        after: int = desk.store.statements_run
        return after - before

    many = [publish(f"user-{number}", key=f"key-{number}") for number in range(500)]
    assert await cost([publish("ann", key="k")]) == await cost(many)


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
