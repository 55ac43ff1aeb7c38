"""Two nodes and more as if they were one: what is done on one is felt on the others."""

from __future__ import annotations

import pytest
import trio

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import a_cluster, replace
from tests.actors.node_kit import NOW_MS
from tocsin.actors.cluster.channels import IDLE
from tocsin.persistence.bus import Said
from tocsin.persistence.store.commands import Withdraw
from tocsin.persistence.store.user_commands import Acknowledge, MarkInbox, RemoveDevice, Subscribe
from tocsin.protocol.closing import Closing
from tocsin.protocol.cluster.envelopes import user_channel
from tocsin.protocol.notifications.notification import EVERYONE

SOON = 0.2
"""Seconds in which a living bus has brought everything; nobody reconciles in that time."""


async def test_a_post_on_one_node_reaches_the_device_on_another_without_a_read(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        reads = cluster["b"].store.statements_run
        for number in range(3):
            await cluster["a"].post("ada", title=str(number))
        await pass_time(SOON)

        assert phone.titles == ["0", "1", "2"]
        assert cluster["b"].bus.statistics.found == 0
        writes_of_a = 3
        assert cluster["b"].store.statements_run - reads < writes_of_a * 20


async def test_devices_of_one_user_on_several_nodes_get_the_same(autojump_clock):
    async with a_cluster("a", "b", "c") as cluster:
        devices = [await node.device(name=name) for name, node in cluster.nodes.items()]
        for node in cluster.nodes.values():
            await node.post("ada", title=f"from {node.name}")
        await pass_time(SOON)

        assert [each.titles for each in devices] == [["from a", "from b", "from c"]] * 3


async def test_a_change_that_not_all_see_the_same_way_is_seen_so_elsewhere_too(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        notification = await cluster["a"].post("ada", "bob")
        await cluster["a"].write(MarkInbox("ada", "read", 2000, ids=(notification,)))
        await pass_time(SOON)
        await cluster["a"].write(Withdraw(notification, 3000))
        await pass_time(SOON)

        assert phone.sequences == [1, 2, 3]
        assert b'"state":"read"' in phone.outlet.pushes[1]
        assert b'"state":"withdrawn"' in phone.outlet.pushes[2]


async def test_a_topic_reaches_those_who_are_in_it_wherever_they_are(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await cluster["a"].write(Subscribe("news", ("ada",), 1000))
        phone, stranger = await cluster["b"].device(), await cluster["b"].device("bob")
        await cluster["a"].post(topic="news", title="first")
        await pass_time(SOON)
        assert phone.titles == ["first"]

        await cluster["a"].post(topic=EVERYONE, title="to all")
        await pass_time(SOON)
        assert phone.titles == ["first", "to all"]
        assert stranger.titles == ["to all"]


async def test_a_user_subscribed_on_another_node_gets_the_next_publish(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        await cluster["a"].write(Subscribe("news", ("ada",), 1000))
        await cluster["a"].post(topic="news", title="at once")
        await pass_time(SOON)
        await cluster["a"].post(topic="news", title="later")
        await pass_time(SOON)

        assert phone.titles == ["at once", "later"]


async def test_a_user_who_is_away_is_heard_of_for_a_while_and_then_no_more(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await cluster["a"].write(Subscribe("news", ("ada",), 1000))
        phone = await cluster["b"].device()
        await pass_time(SOON)
        assert len(cluster["b"].state.channels) == 4
        phone.leave()
        await pass_time(IDLE / 2)
        heard = cluster["b"].bus.statistics.heard
        await cluster["a"].post("ada")
        await pass_time(SOON)
        assert cluster["b"].bus.statistics.heard == heard + 1

        await pass_time(IDLE + 2)
        assert len(cluster["b"].state.channels) == 2
        again = await cluster["b"].device()
        await cluster["a"].post("ada", title="again")
        await pass_time(SOON)
        assert again.titles[-1] == "again"


async def test_many_who_arrive_together_subscribe_together(autojump_clock):
    async with a_cluster("a") as cluster:
        calls = []
        bus = cluster["a"].port
        subscribe = bus.subscribe

        async def counted(channels):
            calls.append(len(list(channels)))
            await trio.sleep(0.01)  # waits for: virtual time, as a round trip takes
            await subscribe(channels)

        replace(bus, subscribe=counted)
        devices = [cluster["a"].arrive(f"user-{number}") for number in range(1000)]
        await pass_time(SOON)

        assert all(device.outlet.said for device in devices)
        assert len(calls) <= 3
        assert sum(calls) == 1000


async def test_the_store_is_read_when_the_channel_is_heard_and_not_before(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        bus = cluster["b"].port
        subscribe = bus.subscribe

        async def slowly(channels):
            await pass_time(0.5)
            await subscribe(channels)

        replace(bus, subscribe=slowly)
        phone = cluster["b"].arrive()
        await pass_time(0.4)
        assert phone.outlet.said == []
        await cluster["a"].post("ada")
        await pass_time(SOON)
        assert phone.outlet.said
        await cluster["a"].post("ada", title="heard")
        await pass_time(SOON)
        assert phone.titles[-1] == "heard"
        assert cluster["b"].bus.statistics.found == 0


# --- One device, one connection ---------------------------------------------------------------


async def test_a_device_that_arrives_elsewhere_is_replaced(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        old, other = await cluster["a"].device(), await cluster["a"].device(name="web")
        await pass_time(SOON)
        new = await cluster["b"].device()
        await pass_time(SOON)

        assert old.closing is Closing.REPLACED
        assert (other.closing, new.closing) == (None, None)


async def test_of_a_device_that_arrives_in_two_places_at_once_exactly_one_stays(autojump_clock):
    async with a_cluster("a", "b", "c") as cluster:
        for _ in range(20):
            devices = [node.arrive() for node in cluster.nodes.values()]
            await pass_time(SOON)
            assert [each.closing for each in devices].count(None) == 1
            assert {each.closing for each in devices} <= {None, Closing.REPLACED}
            for each in devices:
                each.leave()
            await pass_time(SOON)


async def test_a_device_that_goes_to_and_fro_is_only_where_it_is(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        devices = []
        for number in range(10):
            devices.append(await cluster["ab"[number % 2]].device())
            await pass_time(0.01)
        await pass_time(SOON)

        assert [each.closing for each in devices] == [Closing.REPLACED] * 9 + [None]


@pytest.mark.parametrize("first", ["a", "b"])
async def test_a_device_that_moved_while_the_bus_was_away_is_replaced_when_it_is_back(
    autojump_clock, first
):
    async with a_cluster("a", "b") as cluster:
        second = "ab".replace(first, "")
        old = await cluster[first].device()
        await pass_time(2)
        cluster.broker.stop()
        await pass_time(5)
        older = await cluster[second].device()
        await pass_time(5)
        new = await cluster[first].device()
        assert old.closing is Closing.REPLACED  # on the same node
        await pass_time(5)
        cluster.broker.start()
        await pass_time(3)

        assert older.closing is Closing.REPLACED
        assert new.closing is None


async def test_a_device_that_came_while_the_bus_was_away_is_replaced_as_any_other(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        cluster.broker.stop()
        await pass_time(5)
        old = await cluster["a"].device()
        await pass_time(5)
        cluster.broker.start()
        await pass_time(10)
        new = await cluster["b"].device()
        await pass_time(SOON)

        assert (old.closing, new.closing) == (Closing.REPLACED, None)


async def test_a_node_that_heard_nothing_for_a_while_gives_up_the_devices_that_have_moved(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        old = await cluster["a"].device()
        await pass_time(1)
        cluster.broker.deafen("a")
        await pass_time(10)
        new = await cluster["b"].device()
        await pass_time(10)
        assert old.outlet.ends == []
        cluster.broker.cure("a")
        await pass_time(2)

        assert old.closing is Closing.REPLACED
        assert new.closing is None


async def test_a_device_that_moved_within_a_gap_is_replaced(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        old = await cluster["a"].device()
        await pass_time(2)
        cluster.broker.deafen("a")
        new = await cluster["b"].device()
        await pass_time(1)
        cluster.broker.cure("a")
        await pass_time(SOON)

        assert cluster["a"].bus.statistics.losses == 0
        assert (old.closing, new.closing) == (Closing.REPLACED, None)


async def test_an_arrival_that_could_not_be_announced_in_time_is_not_announced_late(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        cluster.broker.cut("a")
        await pass_time(2)
        old = await cluster["a"].device()
        await pass_time(5)
        new = await cluster["b"].device()
        await pass_time(5)
        cluster.broker.mend("a")
        await pass_time(3)

        assert (old.closing, new.closing) == (Closing.REPLACED, None)


async def test_a_bus_that_hung_and_says_all_in_another_order_replaces_the_older(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        held: dict[str, list[Said]] = {"a": [], "b": []}
        hung = {name: cluster[name].port.publish for name in held}
        for name, waiting in held.items():
            replace(cluster[name].port, publish=holding(waiting))
        old = await cluster["a"].device()
        await pass_time(2)
        new = await cluster["b"].device()
        await pass_time(4)
        for name in ("b", "a"):
            replace(cluster[name].port, publish=hung[name])
            await hung[name](held[name])
        await pass_time(5)

        assert (old.closing, new.closing) == (Closing.REPLACED, None)


def holding(waiting: list[Said]):
    async def publish(messages):
        waiting.extend(messages)
        await trio.lowlevel.checkpoint()

    return publish


async def test_of_two_that_came_at_once_while_the_bus_was_away_one_stays(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        cluster.broker.stop()
        await pass_time(2)
        devices = [node.arrive() for node in cluster.nodes.values()]
        await pass_time(5)
        cluster.broker.start()
        await pass_time(5)

        assert sorted(str(each.closing) for each in devices) == ["4409", "None"]


async def test_the_older_connection_is_replaced_however_late_the_envelope(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        old = await cluster["b"].device()
        await pass_time(SOON)
        held: list[Said] = []
        publish = cluster["b"].port.publish
        replace(cluster["b"].port, publish=holding(held))
        cluster["b"].state.device_here("ada", "phone", old.outlet.connection, old.since)
        await pass_time(0.01)
        replace(cluster["b"].port, publish=publish)
        await pass_time(2)
        cluster.broker.loss = lambda node, said: said.channel == user_channel("ada")
        new = await cluster["a"].device()
        await pass_time(5)
        cluster.broker.loss = lambda node, said: False
        await publish(held)
        await pass_time(SOON)

        assert (old.closing, new.closing) == (Closing.REPLACED, None)


# --- Acts on users of all nodes -----------------------------------------------------------------


async def test_a_user_is_disconnected_on_all_nodes(autojump_clock):
    async with a_cluster("a", "b", "c") as cluster:
        ada = [await cluster[name].device(name=name) for name in "bc"]
        bob = await cluster["b"].device("bob")
        cluster["a"].state.disconnect("ada")
        await pass_time(SOON)

        assert [each.closing for each in ada] == [Closing.DISCONNECTED] * 2
        assert bob.closing is None


async def test_a_change_of_a_device_in_the_store_reaches_its_session_on_another_node(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        await cluster["a"].post("ada")
        await pass_time(SOON)
        await cluster["a"].write(Acknowledge("ada", "phone", 1, (), NOW_MS))
        await pass_time(2000)
        assert phone.titles == ["hello"]

        await cluster["a"].write(RemoveDevice("ada", "phone"))
        await pass_time(SOON)
        assert phone.closing is Closing.DISCONNECTED


async def test_an_id_that_is_acknowledged_elsewhere_is_of_the_session_that_has_sent_it(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        phone, tab = [await cluster["b"].device(name=name) for name in ("phone", "tab")]
        posted = await cluster["a"].post("ada")
        await pass_time(SOON)
        await cluster["a"].write(Acknowledge("ada", "phone", None, (posted,), NOW_MS))
        await pass_time(2000)

        assert phone.titles == ["hello"]
        assert len(tab.titles) > 1
