"""Attendance: the leases that a node holds and takes back, and its answers about other nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.actors.clock_kit import pass_time
from tocsin.actors.delivery.attendance import (
    Attendance,
    PresenceActor,
    PresenceUnavailable,
    SharedAttendance,
)
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.world import World
from tocsin.persistence.bus import Connected
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.persistence.bus.memory_presence import Leases, MemoryPresence

LEASE = 30.0
WORLD = World(lambda: round(trio.current_time() * 1000), lambda: 0.5, bytes)


@asynccontextmanager
async def running(
    broker: MemoryBroker, node: str, *, crash: bool = False
) -> AsyncIterator[SharedAttendance]:
    """A node's presence, stopped in order at the end of the block unless it is to *crash*."""
    presence = broker.presence(node)
    attendance = SharedAttendance(node, WORLD, presence)
    with trio.CancelScope() as scope:
        async with open_supervisor("", lambda: 0.0) as tree:
            tree.spawn("presence", lambda: PresenceActor(attendance, presence, lease=LEASE))
            await pass_time(0.1)
            yield attendance
            if crash:
                scope.cancel()
            else:
                await tree.stop(5)


async def devices_of(presence: Attendance, user: str = "ada") -> list[str]:
    return [f"{each.device}@{each.node}" for each in await presence.of(user)]


async def test_a_node_alone_answers_for_itself():
    attendance = Attendance("one", World(lambda: 7, lambda: 0.5, bytes))
    attendance.arrived("ada", "phone", "1")
    attendance.arrived("ada", "laptop", "2")
    assert await attendance.of("ada") == (
        Connected("laptop", "one", 7),
        Connected("phone", "one", 7),
    )
    attendance.left("ada", "1")
    attendance.left("ada", "1")
    assert await devices_of(attendance) == ["laptop@one"]
    attendance.left("ada", "2")
    assert await attendance.of("ada") == ()
    assert len(attendance) == 0


async def test_a_user_is_here_while_a_device_is_connected():
    attendance = Attendance("one", World(lambda: 7, lambda: 0.5, bytes))
    attendance.arrived("ada", "phone", "1")
    attendance.arrived("bob", "phone", "2")
    attendance.left("bob", "2")
    assert attendance.is_here("ada")
    assert not attendance.is_here("bob")


async def test_a_device_that_replaces_itself_stays(autojump_clock):
    broker = MemoryBroker()
    async with running(broker, "one") as one, running(broker, "two") as two:
        one.arrived("ada", "phone", "1")
        await pass_time(1)
        one.arrived("ada", "phone", "2")
        one.left("ada", "1")
        await pass_time(1)
        assert await devices_of(one) == await devices_of(two) == ["phone@one"]


async def test_all_nodes_see_who_is_connected_anywhere(autojump_clock):
    broker = MemoryBroker()
    async with running(broker, "one") as one, running(broker, "two") as two:
        one.arrived("ada", "phone", "1")
        two.arrived("ada", "laptop", "1")
        await pass_time(1)
        assert await devices_of(one) == await devices_of(two) == ["laptop@two", "phone@one"]
        one.left("ada", "1")
        await pass_time(1)
        assert await devices_of(two) == ["laptop@two"]


async def test_leases_are_renewed_for_as_long_as_somebody_is_there(autojump_clock):
    broker = MemoryBroker()
    async with running(broker, "one") as one, running(broker, "two") as two:
        for number in range(2500):
            one.arrived(f"user-{number}", "phone", str(number))
        await pass_time(10 * LEASE)
        assert await devices_of(two, "user-2499") == ["phone@one"]


async def test_a_node_that_stops_takes_back_what_it_said(autojump_clock):
    broker = MemoryBroker()
    async with running(broker, "two") as two:
        async with running(broker, "one") as one:
            one.arrived("ada", "phone", "1")
            await pass_time(1)
            one.arrived("bob", "phone", "2")
        assert await devices_of(two) == await devices_of(two, "bob") == []


async def test_a_node_that_stops_takes_back_what_it_was_just_taking_back(autojump_clock):
    leases: Leases = {}

    async def reach_slowly() -> None:
        await pass_time(0.5)

    async with open_supervisor("", lambda: 0.0) as tree:
        presence = MemoryPresence(leases, reach_slowly)
        attendance = SharedAttendance("one", WORLD, presence)
        tree.spawn("presence", lambda: PresenceActor(attendance, presence))
        attendance.arrived("ada", "phone", "1")
        await pass_time(3)
        assert leases
        attendance.left("ada", "1")
        await pass_time(0.3)
        await tree.stop(5)

    assert not leases


async def test_leases_in_the_hands_of_a_failed_presence_actor_are_set_by_the_next(autojump_clock):
    leases: Leases = {}
    bugs: list[Exception] = []

    async def reach() -> None:
        if bugs:
            raise bugs.pop()

    async with open_supervisor("", lambda: 0.0) as tree:
        presence = MemoryPresence(leases, reach)
        attendance = SharedAttendance("one", WORLD, presence)
        tree.spawn("presence", lambda: PresenceActor(attendance, presence))
        attendance.arrived("ada", "phone", "1")
        attendance.arrived("bob", "phone", "2")
        await pass_time(1)
        assert len(leases) == 2

        bugs.append(ZeroDivisionError())
        attendance.left("ada", "1")
        await pass_time(3)
        assert bugs == []
        assert [each.user for each in leases] == ["bob"]

        bugs.append(ZeroDivisionError())
        attendance.arrived("cem", "phone", "3")
        await pass_time(3)
        assert bugs == []
        assert [each.user for each in leases] == ["bob", "cem"]
        await tree.stop(5)


async def test_a_node_that_crashes_is_forgotten_within_the_lease(autojump_clock):
    broker = MemoryBroker()
    async with running(broker, "two") as two:
        async with running(broker, "one", crash=True) as one:
            one.arrived("ada", "phone", "1")
            await pass_time(LEASE)
        assert await devices_of(two) == ["phone@one"]
        await pass_time(LEASE)
        assert await devices_of(two) == []


async def test_a_service_that_was_away_is_told_again(autojump_clock):
    broker = MemoryBroker()
    async with running(broker, "one") as one, running(broker, "two") as two:
        one.arrived("ada", "phone", "1")
        await pass_time(1)
        broker.stop()
        one.left("ada", "1")
        one.arrived("bob", "phone", "2")
        await pass_time(5)
        with pytest.raises(PresenceUnavailable):
            await two.of("ada")
        broker.start()
        await pass_time(2)
        assert await devices_of(two) == []
        assert await devices_of(two, "bob") == ["phone@one"]
        assert one.failures > 0


async def test_a_service_that_has_forgotten_everything_is_told_at_the_next_renewal(autojump_clock):
    broker = MemoryBroker()
    async with running(broker, "one") as one, running(broker, "two") as two:
        one.arrived("ada", "phone", "1")
        await pass_time(1)
        broker.wipe()
        assert await devices_of(one) == ["phone@one"]
        await pass_time(LEASE / 3)
        assert await devices_of(two) == ["phone@one"]
