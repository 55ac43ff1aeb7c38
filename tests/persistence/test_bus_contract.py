"""The contract of every bus."""

from __future__ import annotations

import pytest
import trio

from tests.persistence.services_kit import hear, opened, said
from tocsin.persistence.bus import BusUnavailable


async def test_messages_are_heard_on_the_channels_subscribed(ann, ben):
    await ben.subscribe(["u:1", "u:2"])

    await ann.publish([*said("u:1", b"x"), *said("u:3", b"y"), *said("u:2", b"z")])

    assert await hear(ben, 2) == [*said("u:1", b"x"), *said("u:2", b"z")]


async def test_a_node_hears_itself(ann):
    await ann.subscribe(["n:a"])
    await ann.publish(said("n:a", b"canary"))
    assert await hear(ann, 1) == said("n:a", b"canary")


async def test_payloads_are_any_bytes_and_names_any_text(ann, ben):
    payload = bytes(range(256)) + b"\r\n$-1\r\n"
    await ben.subscribe(["u:Ümläut \n*"])
    await ann.publish(said("u:Ümläut \n*", payload, b""))
    assert await hear(ben, 2) == said("u:Ümläut \n*", payload, b"")


async def test_a_thousand_messages_keep_their_order(ann, ben):
    await ben.subscribe(["u:1"])
    payloads = [b"%d" % number for number in range(1234)]
    await ann.publish(said("u:1", *payloads))
    assert await hear(ben, 1234) == said("u:1", *payloads)


async def test_publications_at_the_same_time_all_arrive(ann, ben):
    await ben.subscribe(["u:1"])
    async with trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(ann.publish, said("u:1", b"%d" % number))
    everything = said("u:1", *(b"%d" % number for number in range(300)))
    assert set(await hear(ben, 300)) == set(everything)


async def test_a_message_published_after_subscribing_returned_is_heard(ann, ben):
    for number in range(50):
        channel = f"u:{number}"
        await ben.subscribe([channel])
        await ann.publish(said(channel, b"x"))
        assert await hear(ben, 1) == said(channel, b"x")


async def test_thousands_of_channels_are_subscribed_at_once(ann, ben):
    await ben.subscribe([f"u:{number}" for number in range(3000)])
    await ann.publish(said("u:2999", b"x"))
    assert await hear(ben, 1) == said("u:2999", b"x")


async def test_subscribing_twice_hears_once(ann, ben):
    await ben.subscribe(["u:1", "u:1"])
    await ben.subscribe(["u:1"])
    await ann.publish(said("u:1", b"x", b"y"))
    assert await hear(ben, 2) == said("u:1", b"x", b"y")


async def test_an_unsubscribed_channel_is_heard_no_more(ann, ben):
    await ben.subscribe(["u:1", "u:2"])
    await ben.unsubscribe(["u:1", "u:unknown"])
    await ann.publish([*said("u:1", b"x"), *said("u:2", b"y")])
    assert await hear(ben, 1) == said("u:2", b"y")


async def test_a_channel_may_come_and_go_quickly(ann, ben):
    for _ in range(20):
        await ben.subscribe(["u:1"])
        await ben.unsubscribe(["u:1"])
    await ben.subscribe(["u:1"])
    await ann.publish(said("u:1", b"x"))
    assert await hear(ben, 1) == said("u:1", b"x")


async def test_saying_nothing_and_subscribing_to_nothing_is_fine(ann):
    await ann.publish([])
    await ann.subscribe([])
    await ann.unsubscribe([])


async def test_giving_up_on_receiving_loses_nothing(ann, ben):
    await ben.subscribe(["u:1"])
    with trio.move_on_after(0.01):
        await ben.receive()
    await ann.publish(said("u:1", b"x"))
    assert await hear(ben, 1) == said("u:1", b"x")


async def test_giving_up_on_publishing_abandons_the_answer_and_nothing_else(ann, ben):
    await ben.subscribe(["u:1"])
    with trio.CancelScope() as scope:
        scope.cancel()
        await ann.publish(said("u:1", b"perhaps"))
    await ann.publish(said("u:1", b"x"))
    heard = await hear(ben, 1)
    assert said("u:1", b"x")[0] in heard or await hear(ben, 1) == said("u:1", b"x")


async def test_a_closed_bus_subscribes_to_nothing(service, ann):
    async with opened(service.bus("node-b")) as bus:
        await bus.subscribe(["u:1"])
    with pytest.raises(BusUnavailable):
        await bus.subscribe(["u:2"])
    await ann.publish(said("u:1", b"x"))


async def test_a_bus_can_be_opened_again(service, ann):
    async with opened(service.bus("node-b")) as bus:
        await bus.open()
    await bus.open()
    await bus.subscribe(["u:1"])
    await ann.publish(said("u:1", b"x"))
    assert await hear(bus, 1) == said("u:1", b"x")
    await bus.aclose()
