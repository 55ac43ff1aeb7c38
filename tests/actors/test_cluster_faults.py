"""What a bus can do wrong, and that nobody misses anything, gets it twice or is lied to."""

from __future__ import annotations

import random

import pytest
import trio
from structlog.testing import capture_logs

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import NOW_MS, Cluster, Device, a_cluster, replace, seals_of_the_nodes
from tocsin.actors.cluster.outbox import Outbox
from tocsin.actors.cluster.reconciler import HASTE, LEISURE
from tocsin.actors.cluster.state import MISSING_MAX, SILENCE_MAX
from tocsin.persistence.bus import BusUnavailable, Said
from tocsin.persistence.store import Subscribe, Withdraw
from tocsin.protocol.closing import Closing
from tocsin.protocol.envelopes import CONTROL, Alive, Voice, user_channel
from tocsin.protocol.seals import Purpose

SOON = 0.2
LATE = HASTE + 1.0
"""Seconds after which what was not heard has been found, by a node that knows that it is deaf."""
TITLES = [str(number) for number in range(20)]


async def post_all(cluster: Cluster, node: str = "a") -> None:
    for title in TITLES:
        await cluster[node].post("ada", title=title)
        await pass_time(0.01)


def spoil(cluster: Cluster, spoiled) -> None:
    """Let *spoiled* say what becomes of what is said together."""
    publish = cluster["a"].port.publish

    async def publish_spoiled(messages):
        await publish(spoiled(list(messages)))

    replace(cluster["a"].port, publish=publish_spoiled)


# --- What is said -------------------------------------------------------------------------------


async def test_what_is_lost_is_found_and_in_its_place(autojump_clock):
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


async def test_what_is_said_twice_is_delivered_once(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        spoil(cluster, lambda messages: messages * 3)
        await post_all(cluster)
        await pass_time(LEISURE + LATE)

        assert phone.sequences == list(range(1, 21))


async def test_what_comes_in_another_order_is_delivered_in_order(autojump_clock):
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


async def test_what_cannot_be_read_is_counted_and_passed_over(autojump_clock):
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


# --- Deafness -----------------------------------------------------------------------------------


async def a_namesake_lives(cluster: Cluster, seconds: int, its_clock: float) -> None:
    """Somebody else who is called "a", and whose clock began elsewhere, says that it is alive."""
    voice = Voice("a", seals_of_the_nodes()[Purpose.BUS], b"its own")
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


async def test_what_was_said_before_does_not_prove_that_anything_is_heard_now(autojump_clock):
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


async def test_who_arrives_while_the_bus_is_away_is_told_so_and_not_kept_waiting(autojump_clock):
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


async def test_who_went_on_unheard_is_looked_after_when_the_channel_is_heard(autojump_clock):
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


async def test_what_a_node_commits_that_is_cut_off_is_found_soon(autojump_clock):
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


async def test_what_a_node_committed_last_before_it_died_is_found_soon(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        cluster.broker.cut("a")  # between the commit and the word
        await cluster["a"].post("ada", title="the last")
        await pass_time(SILENCE_MAX + LATE)
        assert phone.titles == ["the last"]
        assert cluster["b"].state.audible == 0


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


# --- The outbox ---------------------------------------------------------------------------------


def test_an_outbox_drops_the_oldest_and_counts_it():
    outbox = Outbox(envelopes_max=3, bytes_max=100)
    for number in range(5):
        outbox.put("u:ada", bytes([number]))
    assert [said.payload[0] for said, _ in outbox.take()] == [2, 3, 4]
    assert outbox.dropped == 2

    outbox.put("u:ada", bytes(60))
    outbox.put("u:ada", bytes(60))
    assert len(outbox) == 1


def test_what_could_not_be_said_is_said_first_next_time_but_for_what_was_of_the_moment():
    outbox = Outbox(envelopes_max=3)
    outbox.put("u:ada", b"1")
    outbox.put("u:ada", b"now", fleeting=True)
    batch = outbox.take()
    outbox.put("u:ada", b"2")
    outbox.put("u:ada", b"now", fleeting=True)
    outbox.put_back(batch)
    assert [said.payload for said, _ in outbox.take()] == [b"1", b"2"]


def test_a_round_trip_brings_no_more_than_a_few_megabytes():
    outbox = Outbox()
    for _ in range(100):
        outbox.put("u:ada", bytes(30_000))
    taken = [len(outbox.take()) for _ in range(4)]
    assert sum(taken) == 100
    assert max(taken) == 35


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


async def test_what_a_bridge_was_saying_when_it_failed_is_said_by_the_next(autojump_clock):
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


async def test_what_could_not_be_said_is_said_when_the_bus_is_back(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        cluster.broker.cut("a")
        cluster["a"].state.disconnect("ada")
        await pass_time(5)
        assert phone.closing is None
        cluster.broker.mend("a")
        await pass_time(2)
        assert phone.closing is not None
