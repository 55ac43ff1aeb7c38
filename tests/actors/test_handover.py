"""Devices that go from node to node faster than the ledger is written."""

from __future__ import annotations

import pytest
import trio

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import Cluster, a_cluster, replace
from tests.actors.node_kit import Device
from tocsin.actors.cluster.handover import PATIENCE
from tocsin.protocol.closing import Closing

SOON = 0.05
"""Long enough for any word to be heard, and much less than anybody is waited for."""
A_MOMENT = 0.001


async def unwritten(cluster: Cluster) -> Device:
    """A device on node a that has acknowledged 1 and 2, of which 2 is not in the store yet.

    The ledger takes a pause of 25 ms behind what was written last.
    """
    device = await cluster["a"].device()
    await cluster["b"].post("ada")
    await cluster["b"].post("ada")
    await pass_time(SOON)
    device.ack(1)
    await pass_time(A_MOMENT)
    device.ack(2)
    assert device.sequences == [1, 2]
    return device


@pytest.mark.parametrize("noticed", [True, False])
async def test_an_ack_on_one_node_spares_the_push_on_another(autojump_clock, noticed):
    async with a_cluster("a", "b") as cluster:
        old = await unwritten(cluster)
        if noticed:
            old.leave()
        new = cluster["b"].arrive()
        await pass_time(SOON)

        assert new.outlet.said, "it was welcomed"
        assert new.sequences == []
        if not noticed:
            assert old.closing is Closing.REPLACED
        await cluster["a"].post("ada")
        await pass_time(SOON)
        assert new.sequences == [3]


async def test_a_node_that_cannot_write_is_waited_for_a_moment_and_then_not_for_a_while(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        await cluster["a"].device(name="web")
        await unwritten(cluster)
        cluster["a"].store.is_cut = True

        came = trio.current_time()
        new = await cluster["b"].device()
        assert PATIENCE <= trio.current_time() - came < PATIENCE + SOON
        await pass_time(SOON)
        assert new.sequences == [2], "as after the death of a node"

        came = trio.current_time()
        await cluster["b"].device(name="web")
        assert trio.current_time() - came < SOON


async def test_a_node_that_died_is_waited_for_by_those_who_come_first_only(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        for name in ("phone", "web"):
            await cluster["a"].device(name=name)
        await pass_time(SOON)
        replace(cluster["a"].port, publish=nothing_is_said)

        came = trio.current_time()
        await cluster["b"].device()
        await cluster["b"].device(name="web")
        assert trio.current_time() - came < PATIENCE + SOON


async def nothing_is_said(batch: object) -> None:
    await trio.sleep_forever()


async def test_a_device_that_leaves_while_its_old_node_is_asked_is_nowhere(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await unwritten(cluster)
        cluster["a"].store.is_cut = True
        new = cluster["b"].arrive()
        await pass_time(SOON)
        new.leave()
        await pass_time(1)

        assert (new.outlet.said, new.sequences) == ([], [])
        assert cluster["b"].users.find("ada") is None
