"""Counters that fall because something has expired: every device of the user is told."""

from __future__ import annotations

from tests.actors.user_kit import a_house
from tocsin.actors.delivery.messages import BusChanged, CountersFound, HeadMoved, UserRecounted
from tocsin.persistence.store.commands import Counters
from tocsin.protocol.frames import frames


async def test_that_something_has_expired_is_told_to_every_device(autojump_clock):
    async with a_house() as house:
        outlets = [await house.arrive("phone"), await house.arrive("tablet")]
        for _ in outlets:
            await house.storage.answer_attach(counters=Counters(2, 2))

        await house.tell(UserRecounted())
        for _ in outlets:
            await house.storage.answer_page()

        assert [outlet.said[-1] for outlet in outlets] == [frames.Counters(1, 1)] * 2


async def test_an_expiry_while_a_device_attaches_is_looked_for_afterwards(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.tell(UserRecounted())
        await house.storage.answer_attach(counters=Counters(2, 2))
        await house.storage.answer_page()

        assert outlet.said[-1] == frames.Counters(1, 1)


async def test_an_expiry_that_an_arrival_shows_is_told_to_the_other_devices(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive("phone")
        await house.storage.answer_attach(counters=Counters(2, 2))
        await house.arrive("tablet")
        await house.storage.answer_attach(counters=Counters(1, 1))
        await house.storage.answer_page()

        assert outlet.said[-1] == frames.Counters(1, 1)
        assert house.storage.asked == []


async def test_counters_that_a_look_has_found_are_told_if_they_are_others(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(counters=Counters(2, 2))

        await house.tell(CountersFound(Counters(2, 2)))
        assert house.storage.asked == []
        await house.tell(CountersFound(Counters(1, 1)))
        await house.storage.answer_page()

        assert outlet.said[-1] == frames.Counters(1, 1)


async def test_a_user_who_had_no_room_to_hear_it_finds_out_later(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(counters=Counters(2, 2))
        house.users._miss("ann", 0)

        await house.tell(HeadMoved(0))
        await house.storage.answer_page()

        assert outlet.said[-1] == frames.Counters(1, 1)


async def test_an_expiry_while_the_bus_was_deaf_is_told_when_it_is_back(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(counters=Counters(2, 2))

        await house.tell(BusChanged(available=True))
        await house.storage.answer_page()

        assert outlet.said[-1] == frames.Counters(1, 1)
