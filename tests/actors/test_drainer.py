"""The drainer: goodbye to everybody, spread out, and nobody forgotten."""

import math
import random
from contextlib import asynccontextmanager

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.outlet_kit import FakeOutlet
from tocsin.actors.delivery.connections import Connections, current_connection
from tocsin.actors.delivery.drainer import Drainer
from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.world import World
from tocsin.protocol.closing import Closing


class Crowd:
    """Connections that end a moment after goodbye was said to them."""

    def __init__(self, connections, tree):
        self.connections = connections
        self.tree = tree
        self.outlets = []

    def come(self, count, *, hello_after=0.0, deaf=False):
        async def serve():
            await pass_time(hello_after)
            outlet = FakeOutlet(current_connection.get())
            self.outlets.append(outlet)
            self.connections.opened(outlet)
            await outlet.ended.wait()
            await pass_time(math.inf if deaf else 0.01)

        for _ in range(count):
            self.connections.start(serve)


@asynccontextmanager
async def crowd(*, drain_time=10.0):
    connections = Connections()
    world = World(lambda: 0, random.Random(1).random, bytes)
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn("connections", lambda: DirectoryKeeper(connections, lambda: 0.0, grace=0.2))
        tree.spawn("drainer", lambda: Drainer(connections, world, drain_time=drain_time))
        await settle()
        yield Crowd(connections, tree)
        await tree.stop(drain_time)


async def test_with_nobody_there_it_ends_at_once(autojump_clock):
    async with crowd() as people:
        await people.tree.stop_child("drainer", 10)
        assert trio.current_time() == 0


async def test_it_does_nothing_until_it_is_stopped(autojump_clock):
    async with crowd() as people:
        people.come(3)
        await pass_time(100)
        assert [outlet.ends for outlet in people.outlets] == [[], [], []]


async def test_it_says_goodbye_once_to_everybody_and_waits_until_they_have_gone(autojump_clock):
    async with crowd(drain_time=10) as people:
        people.come(250)
        await settle()
        await people.tree.stop_child("drainer", 10)

        assert people.connections.session_count == 0
        assert {len(outlet.ends) for outlet in people.outlets} == {1}
        closings, delays, times = zip(*(outlet.ends[0] for outlet in people.outlets), strict=True)
        assert set(closings) == {Closing.DRAINING}
        # Spread over the drain time.
        assert 0 <= min(delays) < 1 < 9 < max(delays) < 10
        # In batches, not in one instant.
        assert sorted(set(times)) == pytest.approx([0, 0.05, 0.1])
        assert trio.current_time() < 0.2


async def test_a_great_many_are_told_within_half_the_drain_time(autojump_clock):
    async with crowd(drain_time=1) as people:
        people.come(3000)
        await settle()
        started = trio.current_time()
        await people.tree.stop_child("drainer", 1)
        assert trio.current_time() - started <= 0.6
        assert {len(outlet.ends) for outlet in people.outlets} == {1}


async def test_a_device_that_says_hello_during_the_drain_is_told_as_well(autojump_clock):
    async with crowd(drain_time=10) as people:
        people.come(1, deaf=True)
        people.come(2, hello_after=0.7)
        await pass_time(0.5)
        await people.tree.stop_child("drainer", 5)
        assert [len(outlet.ends) for outlet in people.outlets] == [1, 1, 1]
        assert max(outlet.ends[0][2] for outlet in people.outlets) <= 1.6


async def test_a_device_that_does_not_go_is_left_when_the_grace_is_over(autojump_clock):
    async with crowd(drain_time=10) as people:
        people.come(1, deaf=True)
        await settle()
        await people.tree.stop_child("drainer", 6)
        assert trio.current_time() == 6
        assert people.connections.session_count == 1
