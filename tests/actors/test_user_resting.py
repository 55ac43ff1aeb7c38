"""A user's actor keeps the session of a device that polls, from one poll to the next."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.actors.clock_kit import settle
from tests.actors.outlet_kit import FakeOutlet
from tests.actors.user_kit import House, a_change, a_house
from tocsin.actors.delivery.device import RESTING_MAX
from tocsin.actors.delivery.messages import Arrived, DeviceRemoved, Disconnect
from tocsin.actors.delivery.neighbours import Alone
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.resting import REST
from tocsin.protocol.delivery.terms import Acknowledging
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor

NUMBERS = iter(range(1_000_000))


class InCompany(Alone):
    """The neighbours of a node that is not the only one."""

    is_alone = False


async def poll(
    house: House, sequence: int | None = None, device: str = "phone", **fields: Any
) -> FakeOutlet:
    """A poll of *device* from *sequence* on has arrived."""
    outlet = FakeOutlet(f"poll {next(NUMBERS)}")
    outlet.transport, outlet.last_heard = fields.pop("transport", "poll"), float("inf")
    cursor = None if sequence is None else Cursor("e", sequence)
    window, expires_at = fields.pop("window", 2), fields.pop("expires_at", None)
    arrived = Arrived(outlet, device, cursor, window, expires_at, Acknowledging.RESUME)
    house.users.arrive("ann", arrived)
    await settle()
    return outlet


async def answer(house: House, outlet: FakeOutlet) -> None:
    """The poll is answered."""
    house.users.rest("ann", outlet.connection)
    await settle()


async def a_rest(house: House, start: int = 4, device: str = "phone") -> FakeOutlet:
    """A device with everything up to *start* has polled, and rests."""
    outlet = await poll(house, start, device)
    await house.storage.answer_attach(start)
    await answer(house, outlet)
    assert ("ann", device) in house.users.resting
    return outlet


async def test_the_next_poll_asks_the_store_nothing(autojump_clock):
    async with a_house() as house:
        first = await poll(house, 4)
        await house.storage.answer_attach(4)
        await house.tell(a_change(5))
        await answer(house, first)
        second = await poll(house, 5)

        assert house.storage.asked == []
        assert house.storage.confirmed == [5]
        assert second.began == [Cursor("e", 5)]
        assert second.said[-1] == frames.Synced(5)
        assert not house.users.resting


async def test_the_next_poll_is_pushed_what_comes(autojump_clock):
    async with a_house() as house:
        first = await a_rest(house)
        second = await poll(house, 4)
        await house.tell(a_change(5))

        assert (len(first.pushes), len(second.pushes)) == (0, 1)


async def test_no_device_is_said_to_be_connected_that_rests(autojump_clock):
    async with a_house() as house:
        await a_rest(house)
        assert not house.users._attendance.is_here("ann")

        await poll(house, 4)
        assert house.users._attendance.is_here("ann")


async def test_a_device_that_does_not_return_is_forgotten(autojump_clock):
    async with a_house() as house:
        await a_rest(house)
        await trio.sleep(REST - 0.1)  # waits for: nothing, on the virtual clock
        assert house.users.names() == ["ann"]

        await trio.sleep(0.2)  # waits for: the end of the rest, on the virtual clock
        await settle()
        assert house.users.names() == []
        assert not house.users.resting
        assert house.storage.ended == ["phone"]


@pytest.mark.parametrize(
    "other",
    [{"sequence": 3}, {"sequence": None}, {"window": 3}, {"transport": "sse"}],
    ids=["another cursor", "no cursor", "another limit", "another transport"],
)
async def test_another_request_begins_a_session_of_its_own(autojump_clock, other):
    async with a_house() as house:
        await a_rest(house)
        await poll(house, **{"sequence": 4, **other})

        assert house.storage.ended == ["phone"]
        await house.storage.answer_attach(4)
        assert not house.users.resting


async def test_a_change_that_came_while_a_device_rested_is_read_by_a_new_session(autojump_clock):
    async with a_house() as house:
        first = await a_rest(house)
        await house.tell(a_change(5))
        second = await poll(house, 4)
        await house.storage.answer_attach(4, head=5)
        await house.storage.answer_page(5)

        assert (len(first.pushes), len(second.pushes)) == (0, 1)


async def test_a_poll_while_another_waits_replaces_it(autojump_clock):
    async with a_house() as house:
        await a_rest(house)
        waits = await poll(house, 4)
        await poll(house, 4)

        assert waits.closing is Closing.REPLACED
        await house.storage.answer_attach(4)


async def test_a_poll_that_is_answered_without_having_begun_does_not_rest(autojump_clock):
    async with a_house() as house:
        outlet = await poll(house, 4)
        await answer(house, outlet)

        assert not house.users.resting
        assert house.storage.ended == ["phone"]


@pytest.mark.parametrize("message", [Disconnect(Closing.DISCONNECTED), DeviceRemoved("phone")])
async def test_an_end_of_the_device_ends_its_rest(autojump_clock, message):
    async with a_house() as house:
        await a_rest(house)
        await house.tell(message)
        assert not house.users.resting

        after = await poll(house, 4)
        await house.storage.answer_attach(4)
        assert after.closing is None


async def test_a_token_that_runs_out_ends_the_rest(autojump_clock):
    async with a_house() as house:
        outlet = await poll(house, 4, expires_at=house.wall_ms + 1000)
        await house.storage.answer_attach(4)
        await answer(house, outlet)
        house.wall_ms += 1000
        await trio.sleep(1.1)  # waits for: the token to end, on the virtual clock
        await settle()

        assert not house.users.resting


async def test_a_poll_asks_the_store_while_it_is_away(autojump_clock):
    async with a_house() as house:
        await a_rest(house)
        house.status.set_available(False)
        await poll(house, 4)

        await house.storage.answer_attach(4)


async def test_a_device_that_rests_makes_room_for_another(autojump_clock):
    async with a_house() as house:
        outlets = [await house.arrive(f"device {number}") for number in range(9)]
        for _ in outlets:
            await house.storage.answer_attach()
        await a_rest(house, 0)
        new = await house.arrive("new")
        await house.storage.answer_attach()

        assert new.closing is None
        assert not house.users.resting
        refused = await house.arrive("one too many")
        assert refused.closing is Closing.OVERLOADED


async def test_only_so_many_rest_at_a_time(autojump_clock):
    async with a_house() as house:
        house.users.resting |= {("bob", str(number)) for number in range(RESTING_MAX)}
        outlet = await poll(house, 4)
        await house.storage.answer_attach(4)
        await answer(house, outlet)

        assert ("ann", "phone") not in house.users.resting
        assert house.storage.ended == ["phone"]


async def test_a_node_with_neighbours_lets_the_store_decide_with_each_poll(autojump_clock):
    async with a_house(neighbours=InCompany()) as house:
        outlet = await poll(house, 4)
        await house.storage.answer_attach(4)
        await answer(house, outlet)
        assert not house.users.resting

        await poll(house, 4)
        await house.storage.answer_attach(4)


async def test_an_actor_that_stops_notes_the_ends_of_sessions_that_rest(autojump_clock):
    async with a_house() as house:
        await a_rest(house)
    assert house.storage.ended == ["phone"]
    assert not house.users.resting


async def test_an_actor_that_fails_lets_its_resting_devices_go(autojump_clock):
    async with a_house() as house:
        await a_rest(house)
        await house.tell("no message at all")  # type: ignore[arg-type]
        assert not house.users.resting

        after = await poll(house, 4)
        await house.storage.answer_attach(4)
        assert after.closing is None
