"""The contract of stores for devices: where they start, and the ledger of what was sent to them."""

from __future__ import annotations

import pytest

from tests.persistence.desk_kit import START_OF_TIME, limited, positions, publish
from tests.persistence.letters_kit import letters, replay
from tocsin.persistence.store.commands import Counters
from tocsin.persistence.store.queries import Letters, ListLetters
from tocsin.persistence.store.upkeep_commands import LetterReplayed, ReplayLetter
from tocsin.persistence.store.user_commands import Attach, Record, Subscribe, Unsubscribe
from tocsin.protocol.log.cursor import Cursor, ResetReason, Start
from tocsin.protocol.log.ledger import DeviceCursor

# --- Where a device starts ----------------------------------------------------------------------


async def test_a_new_device_of_a_user_without_a_log_starts_at_zero(desk):
    attached = await desk.attach("ann", "phone")

    assert attached.start == Start(0, None, resumed=False)
    assert (attached.head, attached.counters) == (0, Counters(0, 0))


async def test_a_device_that_returns_resumes_where_it_was_even_in_an_empty_log(desk):
    await desk.attach("ann", "phone")

    assert (await desk.attach("ann", "phone")).start == Start(0, None, resumed=True)


async def test_a_new_device_starts_before_the_first_that_no_device_acknowledged(desk):
    first = await desk.publish("ann")
    second = await desk.publish("ann")
    await desk.publish("ann")
    await desk.acknowledge("ann", "phone", first)

    attached = await desk.attach("ann", "tablet")

    assert attached.start == Start(positions(second)[0].sequence - 1, None, resumed=False)
    assert (attached.head, attached.counters) == (3, Counters(3, 3))


@limited(delivered_step_min=2)
async def test_a_notification_found_to_be_delivered_is_not_looked_for_again(desk, database):
    made = [await desk.publish("ann", collapse_key=f"k{number}") for number in range(4)]
    for each in made[:3]:
        await desk.acknowledge("ann", "phone", each)

    assert (await desk.attach("ann", "tablet")).start.sequence == 3
    assert await database.fetch("SELECT delivered FROM users") == [(3,)]

    # The undelivered entries lie behind all that was looked at again.
    await desk.acknowledge("ann", "phone", made[3])
    assert (await desk.attach("ann", "watch")).start.sequence == 4
    await desk.publish("ann", collapse_key="k1")
    assert (await desk.attach("ann", "laptop")).start.sequence == 4
    await desk.acknowledge("ann", "phone", await desk.publish("ann"))
    assert (await desk.attach("ann", "desktop")).start.sequence == 4


@limited(delivered_step_min=1)
async def test_an_expired_one_that_lives_again_is_undelivered_behind_what_was_looked_at(
    desk, database
):
    await desk.publish("ann", expires_at=START_OF_TIME + 1)
    for _ in range(3):
        await desk.acknowledge("ann", "phone", await desk.publish("ann"))
    await desk.expire(START_OF_TIME + 1)
    assert (await desk.attach("ann", "tablet")).start.sequence == 4
    assert await database.fetch("SELECT delivered FROM users") == [(4,)]

    [letter] = (await desk.ask(ListLetters(9), Letters)).letters
    await desk.one(ReplayLetter(letter.id, START_OF_TIME + 2), LetterReplayed)

    assert (await desk.attach("ann", "watch")).start.sequence == 4
    assert (await desk.page("ann", "watch", start=4)).through == 5


async def test_a_new_device_starts_now_when_all_is_acknowledged_withdrawn_or_expired(desk):
    first = await desk.publish("ann")
    second = await desk.publish("ann")
    await desk.publish("ann", expires_at=START_OF_TIME + 1)
    await desk.acknowledge("ann", "phone", first)
    await desk.withdraw(second.content.id)
    await desk.expire(START_OF_TIME + 1)

    assert (await desk.attach("ann", "tablet")).start == Start(4, None, resumed=False)


async def test_the_start_that_was_chosen_is_remembered(desk):
    await desk.publish("ann")
    await desk.publish("ann")

    assert (await desk.attach("ann", "phone")).start == Start(0, None, resumed=False)
    assert (await desk.attach("ann", "phone")).start == Start(0, None, resumed=True)
    assert (await desk.attach("ann", "phone", 2)).start == Start(2, None, resumed=True)
    assert (await desk.attach("ann", "phone")).start == Start(2, None, resumed=True)


async def test_a_device_that_comes_with_an_older_cursor_goes_back(desk):
    for _ in range(3):
        await desk.publish("ann")
    await desk.attach("ann", "phone", 3)

    assert (await desk.attach("ann", "phone", 1)).start == Start(1, None, resumed=True)
    assert (await desk.attach("ann", "phone")).start == Start(1, None, resumed=True)


@pytest.mark.parametrize("cursor", [1, "0", "another.2", 99])
async def test_a_device_that_goes_back_is_sent_again_what_it_has_acknowledged(desk, cursor):
    await desk.publish("ann")
    await desk.attach("ann", "phone")
    changes = [await desk.publish("ann") for _ in range(2)]
    for changed in changes:
        await desk.acknowledge("ann", "phone", changed)

    start = (await desk.attach("ann", "phone", cursor)).start.sequence

    entries = (await desk.page("ann", start=start)).entries
    assert [entry.sequence for entry in entries][-2:] == [2, 3]
    assert [entry.attempts for entry in entries][-2:] == [0, 0]


@pytest.mark.parametrize("cursor", [1, "0", "another.2", 99])
async def test_a_device_that_was_forgotten_is_sent_again_what_it_has_acknowledged(desk, cursor):
    await desk.publish("ann")
    for sequence in (2, 3):
        made = await desk.publish("ann")
        await desk.sent("ann", "phone", made.content.id, sequence, acknowledged_at=5)

    start = (await desk.attach("ann", "phone", cursor)).start.sequence

    entries = (await desk.page("ann", start=start)).entries
    assert [entry.sequence for entry in entries][-2:] == [2, 3]


async def test_a_device_that_has_gone_back_may_break_off_and_go_on(desk):
    await desk.attach("ann", "phone")
    for _ in range(3):
        await desk.acknowledge("ann", "phone", await desk.publish("ann"))
    await desk.attach("ann", "phone", "0")
    await desk.write(Record((), (DeviceCursor("ann", "phone", 1, 5),)))

    start = (await desk.attach("ann", "phone")).start.sequence

    assert [entry.sequence for entry in (await desk.page("ann", start=start)).entries] == [2, 3]


@pytest.mark.parametrize("came_to", [0, 1])
async def test_a_device_that_began_anew_is_sent_what_is_replayed_for_another(desk, came_to):
    await desk.attach("ann", "tablet")
    made = await desk.publish("ann")
    await desk.acknowledge("ann", "tablet", made)
    await desk.sent("ann", "phone", made.content.id, 1, attempts=20, dead="unresponsive")
    await desk.attach("ann", "tablet", "0")
    await desk.write(Record((), (DeviceCursor("ann", "tablet", came_to, 5),)))
    [letter] = await letters(desk)

    await replay(desk, letter)

    # What it acknowledged before it began anew may be lost, and what it has come to since is not.
    entries = (await desk.page("ann", "tablet", after=came_to)).entries
    assert [each.sequence for each in entries] == [2] * (came_to == 0)


async def test_a_device_that_goes_on_is_not_sent_what_it_acknowledged_out_of_turn(desk):
    await desk.attach("ann", "phone")
    first, second = await desk.publish("ann"), await desk.publish("ann")
    await desk.sent("ann", "phone", first.content.id, 1)
    await desk.sent("ann", "phone", second.content.id, 2, acknowledged_at=5)

    start = (await desk.attach("ann", "phone")).start.sequence

    assert [entry.sequence for entry in (await desk.page("ann", start=start)).entries] == [1]


@pytest.mark.parametrize("cursor", ["another.2", 99])
async def test_a_cursor_into_another_log_starts_the_device_anew(desk, cursor):
    for _ in range(3):
        await desk.publish("ann")
    await desk.attach("ann", "phone", 3)

    attached = await desk.attach("ann", "phone", cursor)

    assert attached.start == Start(0, ResetReason.EPOCH, resumed=False)
    assert (await desk.attach("ann", "phone")).start == Start(0, None, resumed=True)


async def test_a_cursor_below_the_horizon_starts_the_device_anew_with_what_is_left(desk, database):
    for _ in range(3):
        await desk.publish("ann")
    await desk.attach("ann", "phone", 1)
    await desk.attach("ann", "tablet", 3)
    await database.execute("UPDATE users SET horizon = 2")

    lost = Start(0, ResetReason.HORIZON, resumed=False)
    attached = await desk.attach("ann", "phone")
    assert (attached.start, attached.horizon) == (lost, 2)
    assert (await desk.attach("ann", "tablet", 1)).start == lost
    assert (await desk.attach("ann", "tablet", 2)).start == Start(2, None, resumed=True)
    assert (await desk.attach("ann", "watch", "0")).start == Start(0, None, resumed=False)
    assert (await desk.page("ann")).horizon == 2


async def test_a_device_that_attaches_is_told_the_user_s_topics_without_everyone(desk):
    for topic in ("news", "alerts", "left"):
        await desk.write(Subscribe(topic, ("ann",), 5))
    await desk.write(Unsubscribe("left", ("ann",), 6), publish(topic="*"))

    attached = await desk.attach("ann", "phone")

    assert (attached.topics, attached.behind) == (("alerts", "news"), False)
    # And has what was published to the topics, that of everyone included.
    assert (attached.head, attached.start) == (1, Start(0, None, resumed=False))
    assert (await desk.attach("bob", "phone")).topics == ()


async def test_many_devices_attach_in_one_batch_for_the_same_statements(desk):
    await desk.publish("ann", "bob")

    async def cost(count: int) -> int:
        before: int = desk.store.statements_run
        names = [f"device-{count}-{number}" for number in range(count)]
        results = await desk.write(*[Attach("ann", name, None, 5, "a/1") for name in names])
        assert {result.start for result in results} == {Start(0, None, resumed=False)}
        after: int = desk.store.statements_run
        return after - before

    assert await cost(1) == await cost(500)


async def test_commands_for_one_device_in_one_batch_happen_in_order(desk):
    await desk.publish("ann")
    await desk.publish("ann")
    moved = Record((), (DeviceCursor("ann", "phone", 2, 5),))
    attach = Attach("ann", "phone", None, 5, "a/1")

    before, _, after, reset, again = await desk.write(
        attach, moved, attach, Attach("ann", "phone", Cursor("another", 1), 5, "a/2"), attach
    )

    assert before.start == Start(0, None, resumed=False)
    assert after.start == Start(2, None, resumed=True)
    assert reset.start == Start(0, ResetReason.EPOCH, resumed=False)
    assert again.start == Start(0, None, resumed=True)


async def test_a_cursor_acknowledges_what_was_sent_up_to_it(desk):
    made = [await desk.publish("ann") for _ in range(3)]
    await desk.attach("ann", "phone")
    for number in (0, 2):
        await desk.sent("ann", "phone", made[number].content.id, number + 1, at=50)
    await desk.sent("ann", "tablet", made[0].content.id, 1)
    desk.now_ms = 77

    await desk.attach("ann", "phone", 2)

    first = (await desk.ledger(made[0].content.id))["ann", "phone"]
    assert (first.outcome, first.acknowledged_at, first.attempts) == ("acknowledged", 77, 1)
    assert first.first_sent_at == 50
    assert (await desk.ledger(made[0].content.id))["ann", "tablet"].outcome == "pending"
    # No line says that the second was sent, but a device with the cursor has it; the third waits.
    second = (await desk.ledger(made[1].content.id))["ann", "phone"]
    assert (second.outcome, second.acknowledged_at, second.attempts) == ("acknowledged", 77, 1)
    assert (await desk.ledger(made[2].content.id))["ann", "phone"].outcome == "pending"
    assert (await desk.view(made[0].content.id)).delivered == 1


async def test_a_cursor_acknowledges_the_change_that_was_sent_not_the_one_since(desk):
    made = await desk.publish("ann")
    await desk.attach("ann", "phone")
    await desk.sent("ann", "phone", made.content.id, 1)
    await desk.publish("ann")
    await desk.update(made.content.id, title="New")

    await desk.attach("ann", "phone", 2)

    assert (await desk.ledger(made.content.id))["ann", "phone"].outcome == "acknowledged"
    assert [entry.sequence for entry in await desk.entries("ann", start=2)] == [3]


async def test_a_cursor_acknowledges_nothing_that_was_left_out_on_the_way(desk):
    await desk.attach("ann", "phone")
    withdrawn = await desk.publish("ann")
    expired = await desk.publish("ann", expires_at=START_OF_TIME + 1)
    await desk.withdraw(withdrawn.content.id)
    await desk.expire(START_OF_TIME + 1)
    over = await desk.publish("ann", expires_at=START_OF_TIME + 2)
    desk.now_ms = START_OF_TIME + 2

    await desk.attach("ann", "phone", 4)

    for each in (withdrawn, expired, over):
        assert await desk.ledger(each.content.id) == {}
        assert (await desk.view(each.content.id)).delivered == 0


async def test_a_cursor_acknowledges_nothing_that_is_dead_for_the_device(desk):
    dead, sent = await desk.publish("ann"), await desk.publish("ann")
    await desk.attach("ann", "phone")
    await desk.sent("ann", "phone", dead.content.id, 1, dead="attempts exhausted")
    await desk.sent("ann", "phone", sent.content.id, 2)

    await desk.attach("ann", "phone", 2)

    assert (await desk.ledger(dead.content.id))["ann", "phone"].outcome == "dead"
    assert (await desk.view(dead.content.id)).delivered == 0
    assert (await desk.ledger(sent.content.id))["ann", "phone"].outcome == "acknowledged"


async def test_a_device_never_seen_before_acknowledges_nothing_by_its_cursor(desk):
    made = await desk.publish("ann")

    await desk.attach("ann", "phone", 1)

    assert await desk.ledger(made.content.id) == {}
