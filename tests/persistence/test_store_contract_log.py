"""The contract of stores for the user log: publish, update, withdraw, expire."""

from __future__ import annotations

from functools import partial

import trio

from tests.persistence.desk_kit import START_OF_TIME, answer, positions, publish
from tocsin.persistence.store.commands import (
    Changed,
    Idempotency,
    KeyReused,
    NotFound,
    Overdue,
    PatchRefused,
    Publish,
    Replayed,
    Update,
    Withdraw,
)
from tocsin.persistence.store.upkeep_commands import Purge
from tocsin.protocol.log.news import Position
from tocsin.protocol.notifications.notification import Patch, answer_to_publish
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


async def test_a_post_that_comes_too_late_is_known_by_its_key_or_not_stored(desk):
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


async def test_a_post_that_comes_too_late_finds_its_first_in_the_same_transaction(desk):
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
