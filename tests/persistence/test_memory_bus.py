"""The faults of the memory broker, at a test's word."""

from __future__ import annotations

import pytest
import trio

from tests.persistence.services_kit import append, gap, hear, opened, said
from tocsin.persistence.bus import BusUnavailable, Lease
from tocsin.persistence.bus.memory_bus import MemoryBroker

LEASE = Lease("ann", "phone", "a", 1)


@pytest.fixture
def broker():
    return MemoryBroker()


@pytest.fixture
async def ann(broker):
    async with opened(broker.bus("a")) as bus:
        await bus.subscribe(["u:1", "c"])
        yield bus


@pytest.fixture
async def ben(broker):
    async with opened(broker.bus("b")) as bus:
        await bus.subscribe(["u:1"])
        yield bus


async def test_while_it_is_stopped_nobody_reaches_it_and_then_all_have_a_gap(broker, ann, ben):
    broker.stop()
    for act in (
        lambda: ann.publish(said("u:1", b"x")),
        lambda: ann.subscribe(["u:2"]),
        lambda: broker.presence("a").hold([LEASE], 1),
        lambda: append(broker.spool("a"), b"x"),
        broker.bus("c").open,
    ):
        with pytest.raises(BusUnavailable):
            await act()

    broker.start()

    assert await gap(ann) == ["c", "u:1", "u:2"]
    assert await gap(ben) == ["u:1"]


async def test_a_node_that_is_cut_off_is_alone_in_it(broker, ann, ben):
    broker.cut("b")
    await ann.publish(said("u:1", b"x"))
    with pytest.raises(BusUnavailable):
        await ben.publish(said("u:1", b"y"))
    assert await hear(ann, 1) == said("u:1", b"x")

    broker.mend("b")

    assert await gap(ben) == ["u:1"]


async def test_a_deaf_node_is_heard_and_hears_nothing(broker, ann, ben, autojump_clock):
    broker.deafen("b")
    await ben.publish(said("u:1", b"x"))
    assert await hear(ann, 1) == said("u:1", b"x")
    with trio.move_on_after(10) as silence:
        await ben.receive()
    assert silence.cancelled_caught

    broker.cure("b")

    assert await gap(ben) == ["u:1"]


async def test_a_lost_message_is_lost_for_one_node(broker, ann, ben):
    broker.loss = lambda node, each: node == "b" and each.payload == b"2"
    await ann.publish(said("u:1", b"1", b"2", b"3"))
    assert await hear(ann, 3) == said("u:1", b"1", b"2", b"3")
    assert await hear(ben, 2) == said("u:1", b"1", b"3")


async def test_deleting_everything_leaves_subscriptions(broker, ann):
    await broker.presence("a").hold([LEASE], 30)
    await append(broker.spool("a"), b"x")

    broker.wipe()

    assert await broker.presence("a").of("ann") == ()
    assert await broker.spool("a").size() == 0
    await ann.publish(said("u:1", b"x"))
    assert await hear(ann, 1) == said("u:1", b"x")


async def test_leases_end_in_virtual_time(broker, autojump_clock):
    presence = broker.presence("a")
    await presence.hold([LEASE], 30)
    await trio.sleep(29)  # waits for: virtual time
    assert len(await presence.of("ann")) == 1
    await trio.sleep(1)  # waits for: virtual time
    assert await presence.of("ann") == ()
