"""Attendance: the leases that a node holds and takes back, and its answers about other nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

from tests.actors.clock_kit import pass_time
from tocsin.actors.delivery.attendance import (
    REPAIR,
    Attendance,
    PresenceActor,
    PresenceUnavailable,
    SharedAttendance,
)
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.world import World
from tocsin.persistence.bus import Connected, Lease
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.persistence.bus.memory_presence import Leases, MemoryPresence, Runs

LEASE = 30.0
WORLD = World(lambda: round(trio.current_time() * 1000), lambda: 0.5, bytes)


@asynccontextmanager
async def running(
    broker: MemoryBroker, node: str, *, crash: bool = False, world: World = WORLD
) -> AsyncIterator[SharedAttendance]:
    """A node's presence, stopped in order at the end of the block unless it is to *crash*."""
    presence = broker.presence(node)
    attendance = SharedAttendance(node, world, presence)
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
    return [f"{each.device}@{each.node}" for each in await presence.devices_of(user)]


async def test_a_node_alone_answers_for_itself():
    attendance = Attendance("one", World(lambda: 7, lambda: 0.5, bytes))
    attendance.arrived("ada", "phone", "1")
    attendance.arrived("ada", "laptop", "2")
    assert await attendance.devices_of("ada") == (
        Connected("laptop", "one", 7),
        Connected("phone", "one", 7),
    )
    attendance.left("ada", "1")
    attendance.left("ada", "1")
    assert await devices_of(attendance) == ["laptop@one"]
    attendance.left("ada", "2")
    assert await attendance.devices_of("ada") == ()
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
        presence = MemoryPresence(leases, {}, reach_slowly)
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
        presence = MemoryPresence(leases, {}, reach)
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
            await two.devices_of("ada")
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


async def test_a_node_that_comes_back_does_not_vouch_for_the_devices_it_had(autojump_clock):
    broker, chance = MemoryBroker(), iter(range(9))
    world = World(WORLD.now_ms, WORLD.random, lambda count: bytes([next(chance)] * count))

    async with running(broker, "two") as two:
        async with running(broker, "one", crash=True, world=world) as one:
            one.arrived("ada", "phone", "1")
            await pass_time(1)
        async with running(broker, "one", world=world) as again:
            again.arrived("bob", "phone", "1")
            await pass_time(2 * LEASE)
            assert await devices_of(two) == []
            assert await devices_of(two, "bob") == ["phone@one"]


# --- What is told, and how often ------------------------------------------------------------------


class Counted(MemoryPresence):
    """Counts calls, and the leases that they renew."""

    def __init__(self) -> None:
        self.told: Leases = {}
        self.runs: Runs = {}
        self.calls = self.held = 0
        super().__init__(self.told, self.runs, trio.lowlevel.checkpoint)

    async def renew(self, run: str, count: int, seconds: float) -> int:
        self.calls += 1
        return await super().renew(run, count, seconds)

    async def hold(self, leases: Sequence[Lease], seconds: float) -> None:
        self.calls += 1
        self.held += len(leases)
        await super().hold(leases, seconds)


@asynccontextmanager
async def told_to(presence: Counted, users: int) -> AsyncIterator[SharedAttendance]:
    """The attendance of a node with *users*, whose arrivals have been told."""
    attendance = SharedAttendance("one", WORLD, presence)
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("presence", lambda: PresenceActor(attendance, presence, lease=LEASE))
        for number in range(users):
            attendance.arrived(f"user-{number}", "phone", str(number))
        await pass_time(1)
        assert len(presence.told) == users
        presence.calls = presence.held = 0
        yield attendance
        await tree.stop(5)


@pytest.mark.parametrize("users", [10, 100, 5000])
async def test_quiet_users_cost_the_same_calls_however_many_they_are(autojump_clock, users):
    presence = Counted()
    async with told_to(presence, users):
        await pass_time(REPAIR - LEASE)
        assert presence.calls == (REPAIR - LEASE) / (LEASE / 3)
        assert presence.held == 0

        # Then each lease is renewed once, a few at a time: one call more for each look.
        await pass_time(REPAIR / 2 + 2 * LEASE)
        assert presence.held == users
        assert presence.calls <= 2 * (1.5 * REPAIR + LEASE) / (LEASE / 3)


async def test_one_device_that_the_service_has_lost_is_told_again(autojump_clock):
    presence = Counted()
    async with told_to(presence, 100) as attendance:
        presence.told.pop(next(iter(presence.told)))
        await pass_time(1.5 * REPAIR)
        assert len(presence.told) == 100
        assert len(attendance) == 100


async def test_a_service_without_the_last_arrivals_is_told_all_anew_at_the_next_renewal(
    autojump_clock,
):
    """A replica that took over before it had heard the last writes."""
    presence = Counted()
    async with told_to(presence, 100) as attendance:
        told, runs = dict(presence.told), dict(presence.runs)
        attendance.arrived("bob", "phone", "new")
        await pass_time(1)
        assert len(presence.told) == 101

        presence.told.clear()
        presence.told.update(told)
        presence.runs.update(runs)
        await pass_time(LEASE / 3)
        assert len(presence.told) == 101


async def test_a_device_that_left_is_not_told_again(autojump_clock):
    presence = Counted()
    async with told_to(presence, 3) as attendance:
        attendance.left("user-1", "1")
        await pass_time(2 * REPAIR)
        assert {each.user for each in presence.told} == {"user-0", "user-2"}
