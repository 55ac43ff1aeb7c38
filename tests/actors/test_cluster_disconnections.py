"""Disconnections of users, over a bus that is deaf, full or away."""

from __future__ import annotations

import pytest

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import a_cluster, replace
from tocsin.persistence.bus import BusUnavailable
from tocsin.protocol.closing import Closing


@pytest.mark.parametrize("how", ["deaf", "cut off"])
async def test_a_node_that_did_not_hear_of_a_disconnection_finds_out(autojump_clock, how):
    async with a_cluster("a", "b") as cluster:
        begin, end = {
            "deaf": (cluster.broker.deafen, cluster.broker.cure),
            "cut off": (cluster.broker.cut, cluster.broker.mend),
        }[how]
        before = await cluster["b"].device(name="before")
        bob = await cluster["b"].device("bob")
        begin("b")
        await pass_time(10)
        cluster["a"].state.disconnect("ada")
        await pass_time(10)
        after = await cluster["b"].device(name="after")
        assert not before.outlet.ends

        end("b")
        await pass_time(2)
        assert before.closing is Closing.DISCONNECTED
        assert (after.closing, bob.closing) == (None, None)


async def test_a_node_that_finds_itself_in_the_middle_of_a_gap_asks_who_was_disconnected(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        cluster.broker.deafen("b")
        cluster["a"].state.disconnect("ada")
        await pass_time(0.5)
        assert not phone.outlet.ends

        cluster.broker.cure("b")
        await pass_time(0.5)
        assert phone.closing is Closing.DISCONNECTED
        assert cluster["b"].bus.statistics.losses == 0


async def test_where_nobody_can_be_kept_those_who_hear_are_told(autojump_clock):
    async with a_cluster("a", "b", "c") as cluster:
        hears, deaf = [await cluster[name].device(name=name) for name in "bc"]
        bus = cluster["a"].port
        keep = bus.keep_disconnected

        async def is_full(users):
            raise BusUnavailable("out of memory")

        replace(bus, keep_disconnected=is_full)
        cluster.broker.deafen("c")
        cluster["a"].state.disconnect("ada")
        await pass_time(1)
        assert (hears.closing, deaf.closing) == (Closing.DISCONNECTED, None)

        replace(bus, keep_disconnected=keep)
        await pass_time(1)
        cluster.broker.cure("c")
        await pass_time(1)
        assert deaf.closing is Closing.DISCONNECTED


async def test_a_disconnection_is_announced_when_the_bus_is_back(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        cluster.broker.cut("a")
        cluster["a"].state.disconnect("ada")
        await pass_time(5)
        assert phone.closing is None
        cluster.broker.mend("a")
        await pass_time(2)
        assert phone.closing is not None
