"""The ledger of what devices were sent, on each store."""

from __future__ import annotations

from tests.persistence.desk_kit import START_OF_TIME, publish, sent
from tocsin.persistence.store.commands import Done, NotFound
from tocsin.persistence.store.queries import Deliveries, ReadDeliveries
from tocsin.persistence.store.user_commands import Record
from tocsin.protocol.log.ledger import DeliveryRecord, DeviceCursor

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


async def test_a_push_sent_and_acknowledged_in_one_batch_is_one_line(desk):
    made = await desk.publish("ann")

    await desk.write(
        sent("ann", "phone", made.content.id, 1, at=9),
        sent("ann", "phone", made.content.id, 1, attempts=2, at=9),
        sent("ann", "phone", made.content.id, 1, attempts=2, at=9, acknowledged_at=10),
    )

    line = (await desk.ledger(made.content.id))["ann", "phone"]
    assert (line.attempts, line.acknowledged_at) == (2, 10)


async def test_the_notification_s_end_shows_on_lines_without_an_ack(desk):
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
