"""A node shares out work by the store's clock, whatever its own wall clock says."""

from __future__ import annotations

import math

import trio

from tests.actors.clock_kit import pass_time
from tests.actors.escalation_stage_kit import (
    WORLD,
    ScriptedCarrier,
    now_ms,
    open_scene,
)
from tests.actors.store_kit import FakeStore, staged
from tocsin.actors.storage.store_clock import StoreClock
from tocsin.protocol.channels.send_retry import LEASE

FIVE_MINUTES = 300.0


class _SlowClock(FakeStore):
    """Its clock shows *ahead* more than the nodes' wall clock."""

    ahead = 5000

    async def read(self, queries):
        shown = now_ms() + self.ahead
        await super().read(queries)
        return [shown for _ in queries]


async def test_the_stores_clock_is_never_ahead_and_goes_on_by_itself(autojump_clock):
    store = _SlowClock(latency=0.5)
    async with staged(store) as stage:
        clock = StoreClock(stage.ref, WORLD)
        assert clock.now_ms() == now_ms()
        await clock.look()
        assert clock.now_ms() == now_ms() + 5000 - 500
        await pass_time(20)
        await clock.look()

        assert clock.now_ms() == now_ms() + 5000 - 500
        assert len(store.reads) == 1


async def test_an_old_reading_gives_way_to_a_quick_answer_and_not_to_a_slow_one(autojump_clock):
    store = _SlowClock(latency=0.1)
    async with staged(store) as stage:
        clock = StoreClock(stage.ref, WORLD)
        await clock.look()
        store.ahead, store.latency = -2000, 4.0
        await pass_time(40)
        await clock.look()
        kept = clock.now_ms() - now_ms()
        store.latency = 0.1
        await clock.look()

        assert kept == 5000 - 100
        assert clock.now_ms() - now_ms() == -2000 - 100


async def test_a_node_whose_clock_is_ahead_takes_nothing_that_another_has_in_hand(autojump_clock):
    slow, ahead = ScriptedCarrier(lambda parcel: 10.0), ScriptedCarrier()
    async with open_scene() as scene:
        node = await scene.node(slow)
        made = await scene.post("ada", "bob")
        node.look()
        await pass_time(1)
        (await scene.node(ahead, ahead=FIVE_MINUTES)).look()
        await pass_time(60)

        assert (sorted(slow.users), ahead.users) == (["ada", "bob"], [])
        assert set(await scene.states(made)) == {"sent"}


async def test_a_node_that_dies_with_its_clock_ahead_keeps_nothing_for_longer(autojump_clock):
    dying, living = ScriptedCarrier(lambda parcel: math.inf), ScriptedCarrier()
    async with open_scene() as scene:
        node = await scene.node(dying, ahead=FIVE_MINUTES)
        made = await scene.post("ada")
        node.look()
        await pass_time(1)
        node.kill()
        (await scene.node(living)).look()
        died_at = trio.current_time()
        await pass_time(LEASE + 20)

        [(at, _)] = living.carried
        assert LEASE - 2 < at - died_at < LEASE + 16
        assert await scene.states(made) == ["sent"]
