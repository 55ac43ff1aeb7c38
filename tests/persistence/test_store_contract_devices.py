"""What every store knows of devices: where they start, and the ledger of what was sent to them."""

from __future__ import annotations

import pytest

from tests.persistence.desk import START_OF_TIME, positions, publish, sent
from tocsin.persistence.scripts import devices as device_scripts
from tocsin.persistence.store import (
    Attach,
    Counters,
    Deliveries,
    DeliveryRecord,
    DeviceCursor,
    Done,
    LetterReplayed,
    Letters,
    ListLetters,
    NotFound,
    ReadDeliveries,
    Record,
    ReplayLetter,
    Subscribe,
    Unsubscribe,
)
from tocsin.protocol.cursor import Cursor, ResetReason, Start

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


async def test_what_was_found_to_be_delivered_is_not_looked_for_again(desk, database, monkeypatch):
    monkeypatch.setattr(device_scripts, "_WORTH_NOTING", 2)
    made = [await desk.publish("ann", collapse_key=f"k{number}") for number in range(4)]
    for each in made[:3]:
        await desk.acknowledge("ann", "phone", each)

    assert (await desk.attach("ann", "tablet")).start.sequence == 3
    assert await database.fetch("SELECT delivered FROM users") == [(3,)]

    # What is undelivered again is that behind all that was looked at.
    await desk.acknowledge("ann", "phone", made[3])
    assert (await desk.attach("ann", "watch")).start.sequence == 4
    await desk.publish("ann", collapse_key="k1")
    assert (await desk.attach("ann", "laptop")).start.sequence == 4
    await desk.acknowledge("ann", "phone", await desk.publish("ann"))
    assert (await desk.attach("ann", "desktop")).start.sequence == 4


async def test_an_expired_one_that_lives_again_is_undelivered_behind_what_was_looked_at(
    desk, database, monkeypatch
):
    monkeypatch.setattr(device_scripts, "_WORTH_NOTING", 1)
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


async def test_a_device_that_has_gone_back_may_break_off_and_go_on(desk):
    await desk.attach("ann", "phone")
    for _ in range(3):
        await desk.acknowledge("ann", "phone", await desk.publish("ann"))
    await desk.attach("ann", "phone", "0")
    await desk.write(Record((), (DeviceCursor("ann", "phone", 1, 5),)))

    start = (await desk.attach("ann", "phone")).start.sequence

    assert [entry.sequence for entry in (await desk.page("ann", start=start)).entries] == [2, 3]


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


async def test_who_attaches_is_told_the_topics_of_the_user_but_not_that_of_everyone(desk):
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


async def test_what_happens_to_one_device_in_one_batch_happens_in_order(desk):
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
    # Nobody noted that the second was sent, but who has the cursor has it; the third waits.
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


async def test_a_device_never_seen_before_acknowledges_nothing_by_its_cursor(desk):
    made = await desk.publish("ann")

    await desk.attach("ann", "phone", 1)

    assert await desk.ledger(made.content.id) == {}


# --- The ledger ---------------------------------------------------------------------------------


async def test_a_record_is_done_and_the_ledger_shows_it(desk):
    made = await desk.publish("ann")

    assert await desk.write(sent("ann", "phone", made.content.id, 1, attempts=2, at=9)) == [Done()]

    [line] = (await desk.ledger(made.content.id)).values()
    assert (line.attempts, line.first_sent_at, line.acknowledged_at) == (2, 9, None)
    assert (line.outcome, line.reason) == ("pending", None)


async def test_a_record_that_is_repeated_or_late_changes_nothing(desk):
    made = await desk.publish("ann")
    await desk.update(made.content.id, title="New")
    newest = sent("ann", "phone", made.content.id, 2, attempts=3, at=9, acknowledged_at=10)
    await desk.write(newest)
    before = await desk.ledger(made.content.id)

    await desk.write(newest)
    await desk.sent("ann", "phone", made.content.id, 2, attempts=1, at=11)
    await desk.sent("ann", "phone", made.content.id, 1, attempts=7, at=12, dead="too_late")

    assert await desk.ledger(made.content.id) == before


async def test_a_change_starts_the_count_of_attempts_anew(desk):
    made = await desk.publish("ann")
    await desk.sent("ann", "phone", made.content.id, 1, attempts=7, at=9, dead="unresponsive")
    assert (await desk.ledger(made.content.id))["ann", "phone"].outcome == "dead"
    await desk.update(made.content.id, title="New")

    await desk.sent("ann", "phone", made.content.id, 2, attempts=1, at=12)

    line = (await desk.ledger(made.content.id))["ann", "phone"]
    assert (line.attempts, line.first_sent_at, line.outcome) == (1, 9, "pending")
    assert line.reason is None


async def test_the_first_acknowledgment_keeps_its_time(desk):
    made = await desk.publish("ann")
    await desk.sent("ann", "phone", made.content.id, 1, acknowledged_at=10)
    await desk.sent("ann", "phone", made.content.id, 1, acknowledged_at=20)
    await desk.update(made.content.id, title="New")
    await desk.sent("ann", "phone", made.content.id, 2, acknowledged_at=30)

    line = (await desk.ledger(made.content.id))["ann", "phone"]
    assert (line.acknowledged_at, line.outcome) == (10, "acknowledged")


async def test_an_acknowledgment_overtaken_by_a_change_does_not_count_for_it(desk):
    made = await desk.publish("ann")
    await desk.update(made.content.id, title="New")

    await desk.write(
        sent("ann", "phone", made.content.id, 2),
        sent("ann", "phone", made.content.id, 1, acknowledged_at=10),
    )

    line = (await desk.ledger(made.content.id))["ann", "phone"]
    assert (line.outcome, line.acknowledged_at) == ("pending", 10)
    assert len(await desk.entries("ann")) == 1
    assert (await desk.view(made.content.id)).delivered == 1


async def test_what_was_sent_and_acknowledged_in_one_batch_is_one_line(desk):
    made = await desk.publish("ann")

    await desk.write(
        sent("ann", "phone", made.content.id, 1, at=9),
        sent("ann", "phone", made.content.id, 1, attempts=2, at=9),
        sent("ann", "phone", made.content.id, 1, attempts=2, at=9, acknowledged_at=10),
    )

    line = (await desk.ledger(made.content.id))["ann", "phone"]
    assert (line.attempts, line.acknowledged_at) == (2, 10)


async def test_what_became_of_the_notification_shows_where_nobody_acknowledged(desk):
    withdrawn = await desk.publish("ann")
    expired = await desk.publish("ann", expires_at=START_OF_TIME + 1)
    for number, made in enumerate((withdrawn, expired), 1):
        await desk.sent("ann", "phone", made.content.id, number)
        await desk.sent("ann", "tablet", made.content.id, number, acknowledged_at=9)
        await desk.sent("ann", "watch", made.content.id, number, dead="unresponsive")
    await desk.withdraw(withdrawn.content.id)
    await desk.expire(START_OF_TIME + 1)

    for made, outcome in ((withdrawn, "withdrawn"), (expired, "expired")):
        lines = await desk.ledger(made.content.id)
        assert lines["ann", "phone"].outcome == outcome
        assert lines["ann", "tablet"].outcome == "acknowledged"
        assert lines["ann", "watch"].outcome == "dead"
        assert lines["ann", "watch"].reason == "unresponsive"


async def test_a_line_for_an_unknown_notification_is_passed_over(desk):
    made = await desk.publish("ann")

    await desk.write(
        Record(
            (
                DeliveryRecord("ann", "phone", "nothing", 1, 1, 9),
                DeliveryRecord("bob", "phone", made.content.id, 1, 1, 9),
                DeliveryRecord("ann", "phone", made.content.id, 1, 1, 9),
            ),
            (DeviceCursor("ann", "phone", 1, 9),),
        )
    )

    assert list(await desk.ledger(made.content.id)) == [("ann", "phone")]
    assert await desk.ask(ReadDeliveries("nothing", 10, None), NotFound)


async def test_a_device_cursor_only_moves_forward(desk):
    for _ in range(5):
        await desk.publish("ann")

    await desk.write(
        Record((), (DeviceCursor("ann", "phone", 3, 9), DeviceCursor("ann", "phone", 2, 8))),
        Record((), (DeviceCursor("ann", "tablet", 4, 9),)),
    )
    await desk.write(Record((), (DeviceCursor("ann", "phone", 1, 9),)))

    assert (await desk.attach("ann", "phone")).start.sequence == 3
    assert (await desk.attach("ann", "tablet")).start.sequence == 4


async def test_the_ledger_is_paged_by_user_and_device(desk):
    made = await desk.publish("ann", "bob")
    pairs = [(user, device) for user in ("ann", "bob") for device in ("a", "B", "c-1", "c.1")]
    lines = [DeliveryRecord(user, device, made.content.id, 1, 1, 9) for user, device in pairs]
    await desk.write(Record(tuple(lines), ()))

    seen = []
    after, more = None, True
    while more:
        page = await desk.ask(ReadDeliveries(made.content.id, 3, after), Deliveries)
        assert len(page.lines) <= 3
        seen += [(line.user, line.device) for line in page.lines]
        after, more = seen[-1], page.more

    assert seen == sorted(pairs)


async def test_many_records_cost_the_same_statements_as_one(desk):
    async def cost(count: int) -> int:
        made = await desk.write(*[publish(f"user-{number}") for number in range(count)])
        records = [
            Record(
                sent(f"user-{number}", "phone", each.content.id, 1, acknowledged_at=5).deliveries,
                (DeviceCursor(f"user-{number}", "phone", 1, 5),),
            )
            for number, each in enumerate(made)
        ]
        before: int = desk.store.statements_run
        await desk.write(*records)
        after: int = desk.store.statements_run
        return after - before

    assert await cost(1) == await cost(500)
