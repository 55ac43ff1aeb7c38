"""An intruder who can write to Redis is heard by all nodes, and heeded by none."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import Cluster, a_cluster
from tests.actors.node_kit import NOW_MS, SECRET, seals_of_the_nodes
from tocsin.actors.cluster.complaints import INTERVAL
from tocsin.persistence.bus import Said
from tocsin.persistence.store.user_commands import RemoveDevice
from tocsin.protocol.closing import Closing
from tocsin.protocol.cluster.envelopes import (
    CONTROL,
    LAG_MAX,
    Alive,
    DeviceArrived,
    DeviceGone,
    DisconnectUser,
    Envelope,
    Leaving,
    LogHead,
    Spooling,
    Voice,
    user_channel,
)
from tocsin.protocol.cluster.seals import Purpose, Seals

SOON = 0.2
ADA = user_channel("ada")
HARMFUL: list[tuple[str, Envelope]] = [
    (CONTROL, DisconnectUser("ada")),
    (ADA, DeviceGone("phone")),
    (ADA, DeviceArrived("phone", "1.2", 7, 0.0)),
]


def a_stranger(node: str = "a") -> Voice:
    return Voice(node, seals_of_the_nodes("another secret")[Purpose.BUS], b"strange", NOW_MS)


async def say(cluster: Cluster, *said: Said) -> None:
    """Say it as whoever has got into Redis."""
    await cluster["a"].port.publish(said)
    await pass_time(SOON)


def forged(voice: Voice, channel: str, envelope: Envelope) -> Said:
    return Said(channel, voice.say(channel, voice.write(envelope), NOW_MS))


def record(cluster: Cluster, node: str) -> list[Said]:
    """All that *node* is about to hear from others, as somebody hears it who listens in Redis."""
    recorded: list[Said] = []

    def loss(hearer: str, said: Said) -> bool:
        if hearer == node:
            recorded.append(said)
        return False

    cluster.broker.loss = loss
    return recorded


@pytest.mark.parametrize(("channel", "envelope"), HARMFUL)
async def test_a_forged_envelope_has_no_effect_and_is_counted(autojump_clock, channel, envelope):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        await say(cluster, forged(a_stranger(), channel, envelope))

        assert phone.closing is None
        assert cluster["b"].bus.statistics.refused == {("envelope", "forged"): 1}
        await cluster["a"].post("ada")
        await pass_time(SOON)
        assert phone.titles == ["hello"]


@pytest.mark.parametrize("on_start", [False, True], ids=["heard before", "to one that has joined"])
async def test_a_recorded_envelope_has_no_effect_on_a_node_that_heard_it(autojump_clock, on_start):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        recorded = record(cluster, "b")
        cluster["a"].state.disconnect("ada")
        await cluster["a"].write(RemoveDevice("ada", "phone"))
        cluster["a"].state.device_arrived("ada", "phone", "1.2", 0)
        await pass_time(SOON)
        assert phone.closing is Closing.DISCONNECTED
        recorded = [said for said in recorded if said.channel in (CONTROL, ADA)]
        if on_start:
            cluster.join("c")
            await pass_time(2 * LAG_MAX)
        again = await cluster["c" if on_start else "b"].device()
        await say(cluster, *recorded)

        assert again.closing is None
        await cluster["a"].post("ada")
        await pass_time(SOON)
        assert again.titles == ["hello"]


async def test_a_disconnection_that_is_kept_once_more_by_somebody_ends_nothing_again(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        cluster["a"].state.disconnect("ada")
        await pass_time(SOON)
        assert phone.closing is Closing.DISCONNECTED
        bus = cluster["a"].port
        [mark] = await bus.disconnected()
        cluster["b"].state.disconnections.missed()
        await pass_time(10)
        again = await cluster["b"].device()
        await bus.keep_disconnected([mark])
        cluster["b"].state.disconnections.missed()
        await pass_time(SOON)

        assert again.closing is None


async def test_a_disconnection_that_somebody_has_made_up_ends_nothing(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        marks = [b"", b"ada", b"\x00" * 24 + b"ada", b"\xff" * 30]
        await cluster["a"].port.keep_disconnected(marks)
        cluster["b"].state.disconnections.missed()
        await pass_time(SOON)

        assert phone.closing is None
        assert cluster["b"].bus.statistics.refused == {("disconnection", "forged"): len(marks)}


async def test_while_a_stranger_speaks_to_all_nodes_what_it_may_commit_is_looked_for(
    autojump_clock,
):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device()
        cluster.broker.cut("a")  # commits, and is heard by nobody
        await pass_time(200.0)  # and is not missed any more
        stranger = a_stranger("of another release")
        looks = cluster["b"].bus.statistics.reconciliations
        for _ in range(10):
            await cluster["b"].port.publish([forged(stranger, CONTROL, Alive(1.0))])
            await pass_time(1.0)
        await cluster["a"].post("ada")
        await cluster["b"].port.publish([forged(stranger, CONTROL, Alive(1.0))])
        await pass_time(2.0)

        assert phone.titles == ["hello"]
        assert cluster["b"].bus.statistics.reconciliations - looks >= 9
        assert cluster["b"].bus.available


@pytest.mark.parametrize("envelope", [Leaving(), Alive(5.0), Spooling("1-1")])
async def test_a_stranger_is_no_peer_and_takes_none_away(autojump_clock, envelope):
    async with a_cluster("a", "b") as cluster:
        for name in ("a", "x"):
            await say(cluster, forged(a_stranger(name), CONTROL, envelope))
        assert cluster["b"].state.audible == 1
        assert not cluster["b"].line.state.waiting


async def test_of_a_flood_of_forgeries_the_log_says_a_line_in_a_while(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await cluster["b"].device()
        junk = [forged(a_stranger(), ADA, LogHead(number)) for number in range(500)]
        with capture_logs() as lines:
            await say(cluster, *junk)
            await pass_time(INTERVAL)
            await say(cluster, *junk)
        told = [line for line in lines if line["event"] == "a value in Redis is not trusted"]
        assert [(line["what"], line["count"]) for line in told] == [
            ("envelope forged", 1),
            ("envelope forged", 500),
        ]


async def test_a_node_that_has_not_reached_the_store_knows_no_secret_and_is_silent(autojump_clock):
    async with a_cluster("a") as cluster:
        seals = Seals()
        late = cluster.join("b", seals)
        await pass_time(10.0)
        assert (late.bus.available, cluster["a"].state.audible) == (False, 0)

        seals.learn(SECRET)
        late.state.store_changed(True)
        await pass_time(3.0)
        assert (late.bus.available, cluster["a"].state.audible) == (True, 1)
