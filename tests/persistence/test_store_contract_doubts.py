"""The contract of stores for sessions whose end was not noted.

A node that dies takes along what it has not written of the ledger, and leaves its sessions open.
Devices that come back may have all that was created by then.
"""

from __future__ import annotations

import pytest

from tests.persistence.desk_kit import Desk, sent
from tocsin.persistence.store.queries import Devices, ListDevices
from tocsin.persistence.store.user_commands import Attach, Record, RemoveDevice
from tocsin.protocol.log.ledger import DeviceCursor, SessionEnd
from tocsin.protocol.log.news import DeviceForgotten

END = Record((), (), (SessionEnd("ann", "phone", "a/1"),))


async def told(desk: Desk, start: int = 0, *, resumed: bool = True) -> list[tuple[int, str]]:
    """The page of a phone that goes on behind *start*."""
    entries = await desk.entries("ann", start=start, resumed=resumed)
    return [(entry.sequence, entry.change) for entry in entries]


async def left_open(desk: Desk) -> None:
    """A session was opened, a notification made, and withdrawn before the device is back."""
    await desk.attach("ann", "phone", session="a/1")
    made = await desk.publish("ann")
    await desk.withdraw(made.content.id)


async def test_a_device_whose_session_was_left_open_is_told_what_was_withdrawn(desk):
    await left_open(desk)

    await desk.attach("ann", "phone", session="b/1")

    assert await told(desk) == [(2, "withdrawn")]


async def test_one_that_drops_what_it_has_is_not(desk):
    await left_open(desk)

    await desk.attach("ann", "phone", "0", session="b/1")

    assert await told(desk, resumed=False) == []


async def test_a_device_whose_session_has_ended_is_not(desk):
    await left_open(desk)
    await desk.leave("ann", "phone", "a/1")

    await desk.attach("ann", "phone", session="b/1")

    assert await told(desk) == []


async def test_the_end_of_a_session_is_known_to_who_comes_in_the_same_batch(desk):
    await left_open(desk)

    await desk.write(END, Attach("ann", "phone", None, 5, "b/1"))

    assert await told(desk) == []
    # And that one is open.
    await desk.attach("ann", "phone", session="a/2")
    assert await told(desk) == [(2, "withdrawn")]


async def test_the_end_of_another_session_ends_nothing(desk):
    await left_open(desk)
    await desk.leave("ann", "phone", "b/1")
    await desk.leave("ann", "tablet", "a/1")

    await desk.write(
        Record((), (), (SessionEnd("ann", "phone", "b/1"),)),
        Attach("ann", "phone", None, 5, "b/2"),
    )

    assert await told(desk) == [(2, "withdrawn")]


async def test_the_end_of_a_session_that_another_has_replaced_leaves_that_one_open(desk):
    await desk.attach("ann", "phone", session="a/1")
    await desk.attach("ann", "phone", session="b/1")
    made = await desk.publish("ann")
    await desk.withdraw(made.content.id)
    await desk.leave("ann", "phone", "a/1")

    await desk.attach("ann", "phone", session="b/2")

    assert await told(desk) == [(2, "withdrawn")]


async def test_a_notification_made_after_the_device_was_back_is_not_doubtful(desk):
    await desk.attach("ann", "phone", session="a/1")
    await desk.attach("ann", "phone", session="b/1")

    made = await desk.publish("ann")
    await desk.withdraw(made.content.id)

    assert await told(desk) == []


async def test_a_doubt_outlives_the_session_that_was_told_of_it(desk):
    await left_open(desk)
    await desk.attach("ann", "phone", session="b/1")
    await desk.leave("ann", "phone", "b/1")

    await desk.attach("ann", "phone", session="b/2")

    assert await told(desk) == [(2, "withdrawn")]
    assert await told(desk, start=2) == []


async def test_a_doubt_is_for_one_device(desk):
    await desk.attach("ann", "tablet", session="a/2")
    await desk.leave("ann", "tablet", "a/2")
    await left_open(desk)
    await desk.attach("ann", "phone", session="b/1")

    await desk.attach("ann", "tablet", session="b/2")

    assert await desk.entries("ann", "tablet", resumed=True) == ()


async def test_a_doubtful_notification_that_is_not_withdrawn_is_created(desk):
    await desk.attach("ann", "phone", session="a/1")
    made = await desk.publish("ann")
    await desk.update(made.content.id, title="New")

    await desk.attach("ann", "phone", session="b/1")

    assert await told(desk) == [(2, "created")]


@pytest.mark.parametrize("cursor", [1, "another.2"])
async def test_a_device_that_has_gone_back_is_in_doubt_from_then_on(desk, cursor):
    for _ in range(2):
        await desk.publish("ann")
    await desk.attach("ann", "phone", 2, session="a/1")
    made = await desk.publish("ann")

    await desk.attach("ann", "phone", cursor, session="b/1")
    await desk.withdraw(made.content.id)
    await desk.leave("ann", "phone", "b/1")

    assert (4, "withdrawn") in await told(desk, start=1)
    assert (await desk.attach("ann", "phone", session="b/2")).start.resumed


async def test_a_removed_device_that_returns_is_in_doubt(desk):
    await left_open(desk)
    await desk.one(RemoveDevice("ann", "phone"), DeviceForgotten)

    await desk.attach("ann", "phone", 0, session="b/1")

    assert await told(desk) == [(2, "withdrawn")]


async def test_a_session_that_ends_with_its_last_lines_is_closed_with_them(desk):
    await desk.attach("ann", "phone", session="a/1")
    first, second = await desk.publish("ann"), await desk.publish("ann")
    await desk.withdraw(second.content.id)
    lines = sent("ann", "phone", first.content.id, 1, acknowledged_at=5).deliveries
    await desk.write(Record(lines, (DeviceCursor("ann", "phone", 1, 5),)), END)

    attached = await desk.attach("ann", "phone", session="b/1")

    assert attached.start.sequence == 1
    assert (await desk.ledger(first.content.id))["ann", "phone"].outcome == "acknowledged"
    assert await told(desk, start=1) == []


async def test_a_session_may_end_before_it_has_begun(desk):
    await desk.write(END, Attach("ann", "phone", None, 5, "a/1"))
    made = await desk.publish("ann")
    await desk.withdraw(made.content.id)

    await desk.attach("ann", "phone", session="b/1")

    assert await told(desk) == []


async def test_a_device_that_was_forgotten_is_not_known_again_by_the_end_of_its_session(desk):
    await desk.leave("ann", "phone")

    assert await desk.ask(ListDevices("ann"), Devices) == Devices(())


async def test_a_device_that_leaves_and_comes_back_costs_no_statement_more(desk):
    async def cost(*commands: object) -> int:
        before: int = desk.store.statements_run
        await desk.write(*commands)
        after: int = desk.store.statements_run
        return after - before

    await desk.attach("ann", "phone")
    await desk.attach("ann", "tablet")

    again = await cost(Attach("ann", "phone", None, 5, "b/1"))
    other = Record((), (), (SessionEnd("ann", "tablet", "a/1"), SessionEnd("ann", "phone", "b/1")))
    assert await cost(other, Attach("ann", "phone", None, 5, "b/2")) == again
