"""Faults of the bus: lost, doubled and disordered envelopes, gaps, and nodes cut off."""

from __future__ import annotations

import random

import pytest

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import LATE, SOON, TITLES, Cluster, a_cluster, replace
from tests.actors.node_kit import NOW_MS, Device
from tocsin.actors.cluster.reconciler import LEISURE
from tocsin.actors.cluster.state import MISSING_MAX, SILENCE_MAX
from tocsin.persistence.bus import Said
from tocsin.persistence.store.upkeep_commands import Expire
from tocsin.persistence.store.user_commands import Subscribe, Unsubscribe
from tocsin.protocol.cluster.envelopes import user_channel
from tocsin.protocol.frames import frames


async def post_all(cluster: Cluster, node: str = "a") -> None:
    for title in TITLES:
        await cluster[node].post("ada", title=title)
        await pass_time(0.01)


def spoil(cluster: Cluster, spoiled) -> None:
    """Let *spoiled* change the messages that node "a" publishes together."""
    publish = cluster["a"].port.publish

    async def publish_spoiled(messages):
        await publish(spoiled(list(messages)))

    replace(cluster["a"].port, publish=publish_spoiled)


# --- Envelopes that are published ---------------------------------------------------------------


async def test_lost_envelopes_are_made_good_and_pushes_stay_in_order(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        chance = random.Random(7)
        cluster.broker.loss = lambda node, said: (
            said.channel == user_channel("ada") and (chance.random() < 0.3)
        )
        await post_all(cluster)
        await pass_time(LEISURE + LATE)

        assert phone.titles == TITLES
        assert phone.sequences == list(range(1, 21))


async def test_a_topic_that_was_joined_unheard_is_late_by_one_look_and_then_as_any_other(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        cluster.broker.loss = lambda node, said: said.channel == user_channel("ada")
        await cluster["a"].write(Subscribe("news", ("ada",), 1000))
        await pass_time(SOON)
        cluster.broker.loss = lambda node, said: False
        await pass_time(LEISURE + LATE)
        await cluster["a"].post(topic="news")
        await pass_time(SOON)

        assert phone.titles == ["hello"]


async def test_a_post_to_a_topic_that_was_joined_unheard_is_brought_by_the_look_that_finds_it(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        await cluster["a"].write(Subscribe("old", ("ada",), 1000))
        cluster.broker.loss = lambda node, said: said.channel == user_channel("ada")
        await cluster["a"].write(Subscribe("news", ("ada",), 1000))
        # The table of the node has as many topics as the store, and yet lacks one.
        await cluster["a"].write(Unsubscribe("old", ("ada",), 1000))
        await pass_time(SOON)
        cluster.broker.loss = lambda node, said: False
        await cluster["a"].post(topic="news", title="first")
        await pass_time(LEISURE + LATE)
        assert phone.titles == ["first"]

        await cluster["a"].post(topic="news", title="second")
        await pass_time(SOON)
        assert phone.titles == ["first", "second"]


async def test_a_repeated_envelope_is_delivered_once(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        spoil(cluster, lambda messages: messages * 3)
        await post_all(cluster)
        await pass_time(LEISURE + LATE)

        assert phone.sequences == list(range(1, 21))


async def test_envelopes_in_another_order_are_delivered_in_order(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        chance = random.Random(7)
        held: list[Said] = []

        def shuffled(messages):
            held.extend(messages)
            chance.shuffle(held)
            half = len(held) // 2
            said = held[half:]
            del held[half:]
            return said

        spoil(cluster, shuffled)
        await post_all(cluster)
        await pass_time(LEISURE + LATE)

        assert phone.sequences == list(range(1, 21))
        assert phone.titles == TITLES


async def test_an_unreadable_envelope_is_counted_and_passed_over(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        junk = [b"", b"\x00", b"\x00\x01a", b"\x00\x01a\x91\x63", b"\x00\xff", b"\x00\x01\xff\x90"]
        messages = [Said(user_channel("ada"), each) for each in junk]
        await cluster["a"].port.publish(messages)
        await cluster["a"].post("ada")
        await pass_time(SOON)

        assert phone.titles == ["hello"]
        refused = {("envelope", "unsealed"): len(junk)}
        assert cluster["b"].bus.statistics.refused == refused
        assert cluster["b"].bus.available


# --- Gaps ---------------------------------------------------------------------------------------


async def test_a_gap_is_filled_at_once(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await cluster["a"].write(Subscribe("news", ("bob",), 1000))
        phone, other = await cluster["b"].device(), await cluster["b"].device("bob")
        await pass_time(SOON)
        cluster.broker.deafen("b")
        await cluster["a"].post("ada")
        await cluster["a"].post(topic="news")
        await pass_time(SOON)
        assert (phone.titles, other.titles) == ([], [])
        cluster.broker.cure("b")
        await pass_time(SOON)

        assert (phone.titles, other.titles) == (["hello"], ["hello"])
        assert cluster["b"].bus.available


# --- One node apart from the others --------------------------------------------------------------


async def a_phone_hears_a_node_that_cannot_speak(cluster: Cluster, phone: Device) -> None:
    for title in TITLES[:3]:
        await cluster["a"].post("ada", title=title)
        await pass_time(LATE)
        assert phone.titles[-1] == title


async def test_a_topic_that_was_joined_within_a_gap_is_known_at_once_after_it(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        await pass_time(SOON)
        cluster.broker.deafen("b")
        await cluster["a"].write(Subscribe("news", ("ada",), 1000))
        await pass_time(SOON)
        cluster.broker.cure("b")
        await pass_time(SOON)
        await cluster["a"].post(topic="news")
        await pass_time(SOON)

        assert phone.titles == ["hello"]


async def test_a_commit_of_a_node_without_the_bus_is_found_soon(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone, here = await cluster["b"].device(), await cluster["a"].device(name="web")
        cluster.broker.cut("a")
        await pass_time(SILENCE_MAX + 1)
        assert here.statuses == ["lost"]
        assert phone.statuses == []
        await a_phone_hears_a_node_that_cannot_speak(cluster, phone)

        cluster.broker.mend("a")
        await pass_time(2)
        assert here.statuses == ["lost", "ok"]
        assert phone.titles == here.titles == TITLES[:3]


async def test_the_last_commit_of_a_dead_node_is_found_soon(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        cluster.broker.cut("a")  # between the commit and the word
        await cluster["a"].post("ada", title="the last")
        await pass_time(SILENCE_MAX + LATE)
        assert phone.titles == ["the last"]
        assert cluster["b"].state.audible == 0


async def test_an_expiry_that_a_dead_node_did_not_tell_is_found_soon(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await cluster["a"].post("ada", expires_at=NOW_MS)
        phone = await cluster["b"].device()
        cluster.broker.cut("a")  # between the commit and the word
        await cluster["a"].write(Expire(NOW_MS, 10))
        await pass_time(SILENCE_MAX + LATE)

        assert phone.outlet.said[-1] == frames.Counters(0, 0)


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_node_that_is_gone_is_missed_for_a_while_unless_it_said_goodbye(
    autojump_clock, orderly
):
    async with a_cluster("a", "b") as cluster:
        assert cluster["b"].state.audible == 1
        if not orderly:
            cluster.broker.cut("a")
        await cluster["a"].tree.stop_child("a/cluster", 1.0)
        await pass_time(SILENCE_MAX + 1)
        looks = cluster["b"].bus.statistics.reconciliations
        await pass_time(20)
        assert (cluster["b"].bus.statistics.reconciliations - looks > 15) is not orderly

        await pass_time(MISSING_MAX)
        looks = cluster["b"].bus.statistics.reconciliations
        await pass_time(20)
        assert cluster["b"].bus.statistics.reconciliations - looks <= 2


async def test_a_node_that_was_cut_off_from_the_store_looks_after_everybody_when_it_is_back(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        cluster["b"].store.is_cut = True
        cluster.broker.stop()
        await pass_time(5)
        await cluster["a"].post("ada")
        await pass_time(5)
        assert phone.titles == []
        cluster["b"].store.is_cut = False
        await pass_time(10)
        assert phone.titles == ["hello"]
