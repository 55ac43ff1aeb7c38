"""A bridge that fails: the next one says, hears and keeps what it had in hand."""

from __future__ import annotations

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import SOON, a_cluster, replace
from tocsin.protocol.closing import Closing
from tocsin.protocol.cluster.envelopes import CONTROL


async def test_a_bridge_that_failed_is_started_again_and_hears_what_it_heard(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        bus = cluster["b"].port
        receive = bus.receive

        async def fail():
            replace(bus, receive=receive)
            await receive()
            raise ZeroDivisionError

        replace(bus, receive=fail)
        await pass_time(3)
        assert bus.receive is receive
        await cluster["a"].post("ada")
        await pass_time(SOON)
        found = cluster["b"].bus.statistics.found
        await cluster["a"].post("ada", title="heard again")
        await pass_time(SOON)
        assert phone.titles == ["hello", "heard again"]
        assert cluster["b"].bus.statistics.found == found
        assert cluster["b"].bus.available


async def test_an_envelope_in_the_hands_of_a_failed_bridge_is_published_by_the_next(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        bus = cluster["a"].port
        publish = bus.publish

        async def fail(messages):
            if all(each.channel == CONTROL for each in messages):
                await publish(messages)
                return
            replace(bus, publish=publish)
            raise ZeroDivisionError

        replace(bus, publish=fail)
        await cluster["a"].post("ada")
        await cluster["a"].post("ada", title="behind it")
        await pass_time(1)
        assert bus.publish is publish
        assert phone.titles == ["hello", "behind it"]
        assert cluster["b"].bus.statistics.found == 0


async def test_a_channel_that_a_failed_bridge_was_asking_for_is_heard_by_the_next(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        bus = cluster["b"].port
        subscribe = bus.subscribe

        async def fail(channels):
            replace(bus, subscribe=subscribe)
            raise ZeroDivisionError

        replace(bus, subscribe=fail)
        phone = await cluster["b"].device()
        assert bus.subscribe is subscribe
        await cluster["a"].post("ada")
        await pass_time(SOON)
        assert phone.titles == ["hello"]
        assert cluster["b"].bus.statistics.found == 0


async def test_a_disconnection_that_a_failed_bridge_was_keeping_is_kept_by_the_next(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        bus = cluster["a"].port
        keep = bus.keep_disconnected

        async def fail(marks):
            replace(bus, keep_disconnected=keep)
            raise ZeroDivisionError

        replace(bus, keep_disconnected=fail)
        cluster["a"].state.disconnect("ada")
        await pass_time(1)
        assert bus.keep_disconnected is keep
        assert phone.closing is Closing.DISCONNECTED
