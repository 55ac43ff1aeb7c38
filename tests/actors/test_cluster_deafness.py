"""A node that does not hear the bus: it says so, and finds in the store what was published."""

from __future__ import annotations

import pytest
import trio
from structlog.testing import capture_logs

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import LATE, SOON, TITLES, Cluster, a_cluster, replace
from tests.actors.node_kit import NOW_MS, seals_of_the_nodes
from tocsin.actors.cluster.state import SILENCE_MAX
from tocsin.persistence.bus import BusUnavailable, Said
from tocsin.persistence.store.commands import Withdraw
from tocsin.protocol.cluster.envelopes import CONTROL, Alive, Voice
from tocsin.protocol.cluster.seals import Purpose


async def a_namesake_lives(cluster: Cluster, seconds: int, its_clock: float) -> None:
    """Another node named "a", whose clock began elsewhere, says that it is alive."""
    voice = Voice("a", seals_of_the_nodes()[Purpose.BUS], b"its own", NOW_MS)
    for second in range(seconds):
        written = voice.write(Alive(its_clock + second))
        beat = Said(CONTROL, voice.say(CONTROL, written, NOW_MS))
        await cluster["b"].port.publish([beat])
        await pass_time(1.0)


@pytest.mark.parametrize("its_clock", [-1e6, 1e6])
async def test_a_node_is_not_well_while_another_has_its_name(autojump_clock, its_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["a"].device()
        with capture_logs() as lines:
            await a_namesake_lives(cluster, 10, its_clock)
        assert phone.statuses == ["lost"]
        assert cluster["b"].bus.available
        reasons = [line["error"] for line in lines if line["event"] == "bus lost"]
        assert reasons == ['another node is called "a" too: each needs a name of its own']

        await pass_time(SILENCE_MAX + 2.0)
        assert phone.statuses == ["lost", "ok"]


async def test_a_namesakes_signs_of_life_do_not_hide_that_a_node_is_deaf(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await a_namesake_lives(cluster, 1, 1e6)
        await pass_time(SILENCE_MAX + 2.0)
        cluster.broker.deafen("a")
        await pass_time(SILENCE_MAX + 1.5)

        assert not cluster["a"].bus.available


async def test_a_deaf_node_says_so_and_delivers_a_second_late(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone, here = await cluster["b"].device(), await cluster["a"].device(name="web")
        cluster.broker.deafen("b")
        await pass_time(SILENCE_MAX + 1.5)
        assert phone.statuses == ["lost"]
        assert here.statuses == []

        for title in TITLES:
            await cluster["a"].post("ada", title=title)
            await pass_time(LATE)
            assert phone.titles[-1] == title
        cluster.broker.cure("b")
        await pass_time(2)

        assert phone.statuses == ["lost", "ok"]
        assert phone.titles == here.titles == TITLES


async def test_a_bus_that_is_away_is_told_at_once_and_so_is_its_return(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        cluster.broker.stop()
        await pass_time(1.5)
        assert phone.statuses == ["lost"]
        await cluster["a"].post("ada", title="meanwhile")
        await pass_time(LATE)
        assert phone.titles == ["meanwhile"]

        cluster.broker.start()
        await pass_time(1.5)
        assert phone.statuses == ["lost", "ok"]
        found = cluster["b"].bus.statistics.found
        await cluster["a"].post("ada", title="afterwards")
        await pass_time(SOON)
        assert phone.titles == ["meanwhile", "afterwards"]
        assert cluster["b"].bus.statistics.found == found


async def test_an_old_sign_of_life_does_not_prove_that_the_bus_is_heard_now(autojump_clock):
    """A process that was stopped finds in its socket what was said before."""
    async with a_cluster("a") as cluster:
        port = cluster["a"].port
        waiting: list[Said] = []
        spoiled = port.publish

        async def held(messages):
            waiting.extend(messages)
            await trio.lowlevel.checkpoint()

        replace(port, publish=held)
        await pass_time(2 * SILENCE_MAX)
        assert not cluster["a"].bus.available
        await spoiled(waiting[:2])
        await pass_time(SOON)
        assert not cluster["a"].bus.available

        replace(port, publish=spoiled)
        await pass_time(1)
        assert cluster["a"].bus.available


async def test_a_sign_of_life_that_comes_too_late_proves_nothing(autojump_clock):
    async with a_cluster("a") as cluster:
        port = cluster["a"].port
        waiting: list[Said] = []
        publish = port.publish

        async def held(messages):
            waiting.extend(messages)
            await trio.lowlevel.checkpoint()

        replace(port, publish=held)
        await pass_time(3 * SILENCE_MAX)
        losses = cluster["a"].bus.statistics.losses
        await publish(waiting[-8:-7])  # said when the node was deaf already, and long ago
        await pass_time(SOON)
        assert not cluster["a"].bus.available
        assert cluster["a"].bus.statistics.losses == losses == 1


async def test_a_sign_of_life_from_before_a_failure_proves_nothing(autojump_clock):
    async with a_cluster("a") as cluster:
        port = cluster["a"].port
        waiting: list[Said] = []
        publish = port.publish

        async def held(messages):
            await trio.lowlevel.checkpoint()
            if waiting:
                raise BusUnavailable("away")
            waiting.extend(messages)

        replace(port, publish=held)
        await pass_time(2.1)
        assert not cluster["a"].bus.available
        await publish(waiting)
        await pass_time(0.01)
        assert not cluster["a"].bus.available


async def test_a_device_that_arrives_while_the_bus_is_away_is_told_so_without_a_wait(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        cluster.broker.stop()
        await pass_time(1.5)
        before = trio.current_time()
        phone = await cluster["b"].device()
        assert trio.current_time() - before < SOON
        assert phone.statuses == ["lost"]

        await cluster["a"].post("ada")
        await pass_time(LATE)
        assert phone.titles == ["hello"]


async def test_a_bus_that_hangs_keeps_nobody_waiting_for_long(autojump_clock):
    async with a_cluster("a") as cluster:

        async def hang(channels):
            await trio.sleep_forever()

        replace(cluster["a"].port, subscribe=hang)
        before = trio.current_time()
        await cluster["a"].device()
        assert trio.current_time() - before < 1.5

        cluster.broker.stop()
        await pass_time(1.5)
        before = trio.current_time()
        await cluster["a"].device("bob")
        assert trio.current_time() - before < 0.1


async def test_a_session_on_an_unheard_channel_is_reconciled_when_it_is_heard(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        bus = cluster["b"].port
        subscribe = bus.subscribe

        async def refuse(channels):
            await trio.lowlevel.checkpoint()
            raise BusUnavailable("not now")

        replace(bus, subscribe=refuse)
        phone = await cluster["b"].device()
        await cluster["a"].post("ada")
        await pass_time(SOON)
        assert phone.titles == []
        replace(bus, subscribe=subscribe)
        await pass_time(2.5)

        assert phone.titles == ["hello"]


async def test_a_node_that_knows_nothing_of_the_others_sends_nothing_again(autojump_clock):
    """As after a pause of its process: what it would repeat may have been withdrawn."""
    async with a_cluster("a", "b", resend_delay=10.0) as cluster:
        phone = await cluster["b"].device()
        notification = await cluster["a"].post("ada")
        await pass_time(5)
        cluster["b"].store.is_cut = True
        cluster.broker.deafen("b")
        await cluster["a"].write(Withdraw(notification, 2000))
        await pass_time(20)
        assert phone.sequences == [1]

        cluster["b"].store.is_cut = False
        cluster.broker.cure("b")
        await pass_time(30)
        assert phone.sequences[:2] == [1, 2]
        assert set(phone.sequences[2:]) == {2}


async def test_a_node_that_stood_still_sends_again_as_soon_as_it_has_looked(autojump_clock):
    async with a_cluster("a", resend_delay=10.0) as cluster:
        phone = await cluster["a"].device()
        await cluster["a"].post("ada")
        await pass_time(5)
        cluster["a"].store.is_cut = True
        cluster.broker.deafen("a")
        await pass_time(4)
        held = cluster["a"].state.is_current
        cluster.broker.cure("a")
        await pass_time(0.1)
        cluster["a"].store.is_cut = False
        await pass_time(4)
        assert (held, cluster["a"].state.is_current) == (False, True)
        assert phone.sequences == [1, 1]


async def test_a_deaf_node_that_reads_the_store_sends_again_as_ever(autojump_clock):
    async with a_cluster("a", "b", resend_delay=10.0) as cluster:
        phone = await cluster["b"].device()
        cluster.broker.deafen("b")
        await pass_time(10)
        await cluster["a"].post("ada")
        await pass_time(14)
        assert phone.sequences == [1, 1]
