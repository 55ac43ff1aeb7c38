"""The contract of stores when devices acknowledge without a session, are listed and removed."""

from __future__ import annotations

from tests.persistence.desk_kit import START_OF_TIME
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.queries import DeviceInfo, Devices, ListDevices
from tocsin.persistence.store.user_commands import (
    Acknowledge,
    Attach,
    BeyondHead,
    Record,
    RemoveDevice,
)
from tocsin.protocol.log.cursor import Start
from tocsin.protocol.log.ledger import DeviceCursor
from tocsin.protocol.log.news import AckStored, DeviceForgotten

# --- Acknowledging without a session ------------------------------------------------------------


async def test_a_device_acknowledges_everything_through_a_sequence(desk):
    made = [await desk.publish("ann") for _ in range(3)]
    await desk.attach("ann", "phone")
    await desk.sent("ann", "phone", made[0].content.id, 1, at=3)

    await desk.one(Acknowledge("ann", "phone", 2, (), 9), AckStored)

    first = (await desk.ledger(made[0].content.id))["ann", "phone"]
    assert (first.outcome, first.first_sent_at, first.acknowledged_at) == ("acknowledged", 3, 9)
    assert (await desk.ledger(made[1].content.id))["ann", "phone"].outcome == "acknowledged"
    assert await desk.ledger(made[2].content.id) == {}
    assert (await desk.attach("ann", "phone")).start == Start(2, None, resumed=True)
    assert (await desk.view(made[1].content.id)).delivered == 1


async def test_a_device_acknowledges_by_id_the_change_that_was_last_sent(desk):
    made = await desk.publish("ann")
    await desk.attach("ann", "phone")
    await desk.sent("ann", "phone", made.content.id, 1, attempts=3)
    await desk.update(made.content.id, title="Not sent yet")
    acknowledge = Acknowledge("ann", "phone", None, (made.content.id, "nothing"), 9)

    stored = AckStored("ann", "phone", None, acknowledge.ids, "a/1")
    assert await desk.write(acknowledge, acknowledge) == [stored, stored]

    line = (await desk.ledger(made.content.id))["ann", "phone"]
    assert (line.outcome, line.attempts, line.acknowledged_at) == ("acknowledged", 3, 9)
    assert [entry.sequence for entry in await desk.entries("ann")] == [2]
    assert (await desk.attach("ann", "phone")).start == Start(0, None, resumed=True)


async def test_an_acknowledgment_by_id_that_may_have_crossed_a_later_change_answers_the_older(desk):
    made = await desk.publish("ann")
    id_ = made.content.id
    await desk.attach("ann", "phone")
    await desk.sent("ann", "phone", id_, 1)
    await desk.update(id_, title="Sent as well")
    await desk.sent("ann", "phone", id_, 2, unanswered=1)
    acknowledge = Acknowledge("ann", "phone", None, (id_,), 9)

    await desk.one(acknowledge, AckStored)
    assert [entry.sequence for entry in await desk.entries("ann")] == [2]
    assert (await desk.view(id_)).delivered == 1

    await desk.one(acknowledge, AckStored)
    assert await desk.entries("ann") == ()


async def test_an_ack_by_id_covers_an_update_sent_by_an_earlier_session(desk):
    made = await desk.publish("ann")
    id_ = made.content.id
    await desk.attach("ann", "phone")
    await desk.sent("ann", "phone", id_, 1)
    for sequence in (2, 3):
        await desk.update(id_, title=f"Change {sequence}")
    await desk.sent("ann", "phone", id_, 2, unanswered=1)
    await desk.attach("ann", "phone")
    await desk.sent("ann", "phone", id_, 3)

    await desk.one(Acknowledge("ann", "phone", None, (id_,), 9), AckStored)
    assert await desk.entries("ann") == ()


async def test_an_answer_leaves_nothing_that_an_acknowledgment_could_have_crossed(desk):
    made = await desk.publish("ann")
    id_ = made.content.id
    await desk.attach("ann", "phone")
    for sequence in (2, 3):
        await desk.update(id_, title=f"Change {sequence}")
    acknowledge = Acknowledge("ann", "phone", None, (id_,), 9)

    await desk.sent("ann", "phone", id_, 3, unanswered=2)
    await desk.sent("ann", "phone", id_, 1, acknowledged_at=5)
    await desk.one(acknowledge, AckStored)
    assert [entry.sequence for entry in await desk.entries("ann")] == [3]

    await desk.sent("ann", "phone", id_, 3, attempts=2, unanswered=2)
    await desk.sent("ann", "phone", id_, 2, acknowledged_at=5)
    await desk.one(acknowledge, AckStored)
    assert await desk.entries("ann") == ()


async def test_a_notification_that_was_not_sent_is_not_acknowledged_by_its_id(desk):
    made = await desk.publish("ann")
    await desk.attach("ann", "phone")

    await desk.one(Acknowledge("ann", "phone", None, (made.content.id,), 9), AckStored)

    assert len(await desk.entries("ann")) == 1


async def test_acknowledging_less_than_before_moves_nothing_back(desk):
    for _ in range(3):
        await desk.publish("ann")
    await desk.attach("ann", "phone")

    results = await desk.write(*[Acknowledge("ann", "phone", n, (), 9) for n in (1, 3, 2)])

    assert results == [AckStored("ann", "phone", n, (), "a/1") for n in (1, 3, 2)]
    assert (await desk.attach("ann", "phone")).start.sequence == 3


async def test_unknown_devices_and_what_lies_ahead_are_not_acknowledged(desk):
    await desk.publish("ann")
    await desk.attach("ann", "phone")

    assert await desk.write(
        Acknowledge("ann", "tablet", 1, (), 9),
        Acknowledge("nobody", "phone", 0, (), 9),
        Acknowledge("ann", "phone", 2, (), 9),
    ) == [NotFound(), NotFound(), BeyondHead(1)]
    assert (await desk.attach("ann", "phone")).start.sequence == 0


async def test_an_acknowledgment_names_the_session_that_is_open_at_its_place_in_the_order(desk):
    await desk.publish("ann")
    acknowledge = Acknowledge("ann", "phone", None, ("nothing",), 9)
    first, second = (Attach("ann", "phone", None, 5, name) for name in ("a/1", "b/1"))

    _, early, _, late = await desk.write(first, acknowledge, second, acknowledge)
    await desk.leave("ann", "phone", "b/1")
    after = await desk.one(acknowledge, AckStored)

    assert [early.session, late.session, after.session] == ["a/1", "b/1", None]


async def test_many_devices_acknowledge_for_the_statements_of_one(desk):
    await desk.publish("ann")
    devices = [f"device-{number}" for number in range(100)]
    await desk.write(*[Attach("ann", device, None, 5, "a/1") for device in devices])

    async def cost(some: list[str]) -> int:
        before: int = desk.store.statements_run
        await desk.write(*[Acknowledge("ann", device, 1, (), 9) for device in some])
        after: int = desk.store.statements_run
        return after - before

    assert await cost(devices[:1]) == await cost(devices[1:])


# --- Devices listed and removed -----------------------------------------------------------------


async def test_devices_are_listed_by_name_with_where_they_stand(desk):
    for _ in range(2):
        await desk.publish("ann")
    await desk.attach("ann", "phone", 2)
    desk.now_ms = START_OF_TIME + 1
    await desk.attach("ann", "Laptop", 1)
    await desk.attach("bob", "watch")

    assert await desk.ask(ListDevices("ann"), Devices) == Devices(
        (
            DeviceInfo("Laptop", 1, START_OF_TIME + 1),
            DeviceInfo("phone", 2, START_OF_TIME),
        )
    )
    assert await desk.ask(ListDevices("nobody"), Devices) == Devices(())


async def test_a_device_is_removed_once(desk):
    await desk.attach("ann", "phone")

    remove = RemoveDevice("ann", "phone")
    assert await desk.write(remove, remove, RemoveDevice("ann", "tablet")) == [
        *(DeviceForgotten("ann", "phone"), NotFound(), NotFound())
    ]
    assert await desk.ask(ListDevices("ann"), Devices) == Devices(())
    assert await desk.one(Acknowledge("ann", "phone", 0, (), 9), NotFound)
    assert await desk.one(remove, NotFound)


async def test_a_late_ledger_line_does_not_bring_back_a_removed_device(desk):
    await desk.publish("ann")
    await desk.attach("ann", "phone")
    await desk.one(RemoveDevice("ann", "phone"), DeviceForgotten)

    await desk.write(Record((), (DeviceCursor("ann", "phone", 1, 5),)))

    assert await desk.ask(ListDevices("ann"), Devices) == Devices(())


async def test_a_removed_device_that_returns_is_a_new_one_that_has_nothing(desk):
    made = [await desk.publish("ann") for _ in range(2)]
    await desk.attach("ann", "phone")
    for each in made:
        await desk.acknowledge("ann", "phone", each)
    await desk.one(RemoveDevice("ann", "phone"), DeviceForgotten)

    attached = await desk.attach("ann", "phone", "0")

    assert attached.start == Start(0, None, resumed=False)
    assert [entry.sequence for entry in await desk.entries("ann")] == [1, 2]
    assert (await desk.ledger(made[0].content.id))["ann", "phone"].outcome == "acknowledged"
    assert len((await desk.ask(ListDevices("ann"), Devices)).devices) == 1


async def test_a_device_may_be_removed_and_attach_again_in_one_batch(desk):
    await desk.publish("ann")
    attach = Attach("ann", "phone", None, 5, "a/1")

    first, removed, second, third = await desk.write(
        attach, RemoveDevice("ann", "phone"), attach, attach
    )

    assert removed == DeviceForgotten("ann", "phone")
    assert [each.start.resumed for each in (first, second, third)] == [False, False, True]
