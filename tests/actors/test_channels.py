"""The channels of the bus that a node hears, and for how long."""

from __future__ import annotations

import trio

from tests.actors.clock_kit import pass_time
from tocsin.actors.cluster.channels import IDLE, ChannelKeeper, Channels
from tocsin.persistence.bus.memory_bus import MemoryBroker


async def test_a_snapshot_has_the_channels_heard_and_until_when_they_are_kept(autojump_clock):
    bus = MemoryBroker().bus("one")
    await bus.open()
    channels = Channels()
    keeper = ChannelKeeper(channels, bus, lambda confirmed: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        channels.want("u:ada")
        channels.want("u:bob")
        assert channels.snapshot() == {}
        await pass_time(0.1)
        kept_until = trio.current_time() + IDLE
        channels.release("u:bob")
        assert channels.snapshot() == {"u:ada": None, "u:bob": kept_until}

        await pass_time(2 * IDLE)
        assert channels.snapshot() == {"u:ada": None}
        nursery.cancel_scope.cancel()
