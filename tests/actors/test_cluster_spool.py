"""One producer and several nodes: what it sends one after the other is stored in that order."""

from __future__ import annotations

import random

import msgspec
import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.cluster_kit import Cluster, a_cluster, replace
from tests.actors.node_kit import Node
from tests.actors.spool_kit import post
from tests.persistence.services_kit import append
from tocsin.actors.cluster import spool_agreement as spool_word
from tocsin.actors.spool.entries import Spooled, encode
from tocsin.persistence.bus import BusUnavailable
from tocsin.persistence.store.commands import Changed
from tocsin.persistence.store.queries import Page, ReadPage

NOTICED = 5.0
"""Seconds in which a node has noticed that its store is away, or is back."""
SOON = 0.1
"""Seconds in which who hears has answered, and nobody has given up on an answer."""


async def stored(cluster: Cluster, user: str = "ada") -> list[str]:
    """The titles in the user's log, in order, when all that was spooled is there."""
    with trio.fail_after(60):
        while await cluster["a"].spool.size():
            await pass_time(0.05)
    query = ReadPage(user, "phone", 0, 0, 10_000, 1 << 24, 0, False, 0)
    [page] = await cluster.store.read([query])
    assert isinstance(page, Page)
    return [msgspec.json.decode(each.document)["title"] for each in page.entries]


async def lose_store(*nodes: Node) -> None:
    for node in nodes:
        node.store.is_cut = True
    await pass_time(NOTICED)


# --- Beginning and end ----------------------------------------------------------------------------


async def test_a_post_to_a_node_with_the_store_goes_behind_the_spooled_ones(
    autojump_clock,
):
    async with a_cluster("a", "b", "c") as cluster:
        await lose_store(cluster["a"])
        titles = [str(number) for number in range(30)]
        for number, title in enumerate(titles):
            await cluster["abc"[number % 3]].ask(post(title))

        assert await stored(cluster) == titles
        assert cluster["a"].line.statistics.spooled == 10


async def test_nodes_that_lose_the_store_one_after_the_other_keep_the_order(autojump_clock):
    async with a_cluster("a", "b", "c") as cluster:
        titles: list[str] = []

        async def post_around(rounds: int) -> None:
            for _ in range(rounds):
                for node in cluster.nodes.values():
                    titles.append(str(len(titles)))
                    await node.ask(post(titles[-1]))
                    await pass_time(0.01)

        for away in (True, False):
            for node in cluster.nodes.values():
                node.store.is_cut = away
                await post_around(100)

        assert await stored(cluster) == titles
        assert all(node.line.statistics.spooled for node in cluster.nodes.values())


async def test_in_good_times_nobody_asks_and_nobody_waits(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        said = cluster["a"].bus.statistics.said
        for number in range(100):
            assert isinstance(await cluster["a"].ask(post(str(number))), Changed)
        await pass_time(SOON)
        assert cluster["a"].bus.statistics.said == said + 100


async def test_within_a_run_it_is_asked_once(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await lose_store(cluster["a"], cluster["b"])
        said = cluster["a"].bus.statistics.said
        for number in range(100):
            assert isinstance(await cluster["a"].ask(post(str(number))), Spooled)
        assert cluster["a"].bus.statistics.said == said + 1


async def test_when_all_have_the_store_again_posts_find_their_way_back_to_it_under_load(
    autojump_clock,
):
    async with a_cluster("a", "b", "c") as cluster:
        nodes = list(cluster.nodes.values())
        await lose_store(*nodes)
        for number in range(600):
            await nodes[number % 3].ask(post("before"))
        for node in nodes:
            node.store.is_cut = False
        titles = [str(number) for number in range(3000)]
        for title in titles:
            for node in nodes:
                node.submit(post(title, f"user of {node.name}"))
            await pass_time(0.002)

        for node in nodes:
            assert isinstance(await node.ask(post("last", f"user of {node.name}")), Changed)
            assert await stored(cluster, f"user of {node.name}") == [*titles, "last"]


# --- Races ----------------------------------------------------------------------------------------


async def test_a_look_that_was_under_way_when_the_word_came_is_not_believed(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        size = cluster["b"].spool.size
        looks: list[int] = []

        async def slow() -> int:
            found = await size()
            looks.append(found)
            await pass_time(0.3)
            return found

        replace(cluster["b"].spool, size=slow)
        await lose_store(cluster["a"])
        looks.clear()
        while not looks:
            await pass_time(0.01)
        await cluster["a"].ask(post("first"))
        await pass_time(0.3)  # the look has ended, and the next one has not
        assert looks[0] == 0
        await cluster["b"].ask(post("second"))

        assert await stored(cluster) == ["first", "second"]


@pytest.mark.parametrize("seed", range(8))
async def test_the_order_stays_whenever_nodes_lose_and_find_the_store(autojump_clock, seed: int):
    chance = random.Random(seed)
    async with a_cluster("a", "b", "c") as cluster:
        nodes = list(cluster.nodes.values())
        for node in nodes:
            slow_down(node, chance)
        titles = [str(number) for number in range(400)]
        for title in titles:
            if chance.random() < 0.04:
                node = chance.choice(nodes)
                node.store.is_cut = not node.store.is_cut
            with trio.fail_after(60):
                await chance.choice(nodes).ask(post(title))
            await pass_time(chance.choice([0, 0, 0.01, 0.2]))
        for node in nodes:
            node.store.is_cut = False
        await pass_time(NOTICED)

        assert await stored(cluster) == titles
        assert sum(node.line.statistics.spooled for node in nodes) > 50


def slow_down(node: Node, chance: random.Random) -> None:
    """Let what *node* hears, finds in the spool and appends there take some time, each its own."""
    receive, size, append_ = node.port.receive, node.spool.size, node.spool.append

    async def hear():
        heard = await receive()
        await pass_time(chance.expovariate(100))
        return heard

    async def look():
        await pass_time(chance.expovariate(100))
        found = await size()
        await pass_time(chance.expovariate(100))
        return found

    async def add(drafts):
        await pass_time(chance.expovariate(100))
        appended = await append_(drafts)
        await pass_time(chance.expovariate(100))
        return appended

    replace(node.port, receive=hear)
    replace(node.spool, size=look, append=add)


# --- Nodes that do not answer ---------------------------------------------------------------------


async def test_a_node_known_to_be_gone_is_not_waited_for(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        cluster.broker.cut("b")
        await lose_store(cluster["a"])
        with trio.fail_after(SOON):
            assert isinstance(await cluster["a"].ask(post("first")), Spooled)


async def test_a_node_that_does_not_answer_is_waited_for_once_and_not_for_ever(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await lose_store(cluster["a"], cluster["b"])
        cluster.broker.cut("b")
        began = trio.current_time()
        await cluster["a"].ask(post("first"))
        assert SOON < trio.current_time() - began <= spool_word.PATIENCE
        with trio.fail_after(SOON):
            await cluster["a"].ask(post("second"))


async def test_an_answer_that_goes_unheard_is_asked_for_again(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await lose_store(cluster["a"])
        cluster.broker.loss = lambda node, said: node == "a"
        reply = cluster["a"].submit(post("first"))
        await pass_time(SOON)
        cluster.broker.loss = lambda node, said: False
        with trio.fail_after(1.0):
            assert isinstance(await reply.wait(), Spooled)


async def test_a_node_that_is_deaf_sees_for_itself_in_the_time_that_it_is_given(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        cluster.broker.deafen("b")
        await lose_store(cluster["a"])
        taken = cluster["b"].spool.take

        replace(cluster["b"].spool, take=nothing)
        await cluster["a"].ask(post("first"))
        replace(cluster["b"].spool, take=taken)
        await cluster["b"].ask(post("second"))

        assert await stored(cluster) == ["first", "second"]


async def test_a_node_that_hears_again_looks_before_it_commits(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        cluster.broker.deafen("b")
        await pass_time(0.5)  # so that nobody looks at this moment anyway
        await append(cluster["a"].spool, encode(post("first")))
        cluster.broker.cure("b")
        await settle()
        await cluster["b"].ask(post("second"))

        assert await stored(cluster) == ["first", "second"]


async def test_a_node_that_finds_its_voice_again_looks_before_it_commits(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        publish = cluster["b"].port.publish

        async def fail(messages) -> None:
            raise BusUnavailable("the test wants it so")

        replace(cluster["b"].port, publish=fail)
        told: list[bool] = []

        def hears(available: bool) -> None:
            told.append(available)
            if available:
                cluster["b"].submit(post("second"))

        cluster["b"].bus.watchers.append(hears)
        await pass_time(5.3)
        await append(cluster["a"].spool, encode(post("first")))
        replace(cluster["b"].port, publish=publish)
        await pass_time(1.0)

        assert told == [False, True]
        assert await stored(cluster) == ["first", "second"]


async def test_a_process_that_was_stopped_looks_before_it_commits(autojump_clock):
    async with a_cluster("a") as cluster:
        await append(cluster["a"].spool, encode(post("first")))
        autojump_clock.jump(spool_word.PATIENCE)
        await cluster["a"].ask(post("second"))

        assert await stored(cluster) == ["first", "second"]


async def test_a_node_that_joins_while_others_spool_goes_behind_them(autojump_clock):
    async with a_cluster("a") as cluster:
        await lose_store(cluster["a"])
        await cluster["a"].ask(post("first"))
        newcomer = cluster.join("b")
        replace(newcomer.spool, take=nothing)
        await settle()
        assert newcomer.store.statements_run
        assert isinstance(await newcomer.ask(post("second")), Spooled)


async def nothing(node: str, limit: int, lease: float) -> None:
    """As `Spool.take` while another node has the lease."""
    await trio.lowlevel.checkpoint()
