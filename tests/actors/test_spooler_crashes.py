"""Spoolers, drains and nodes that fail: the next one drains the line, each entry once."""

from collections.abc import Sequence

import pytest
import trio

from servers.proxy import Proxy
from tests.actors.clock_kit import pass_time
from tests.actors.spool_kit import Cluster, change, lose_store, post, withdraw
from tests.persistence.services_kit import RedisService
from tocsin.actors.runtime.errors import ActorCrashed
from tocsin.actors.spool import spooler
from tocsin.actors.spool.drain import LEASE, Drain
from tocsin.actors.spool.entries import Spooled
from tocsin.actors.spool.spooler import Spooler
from tocsin.persistence.bus import SpoolEntry
from tocsin.persistence.redis.client import RedisClient


async def test_a_spooler_that_fails_leaves_its_line_to_the_next(
    autojump_clock, cluster: Cluster, monkeypatch
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        fails = [True]
        advance = Spooler._append

        async def fail(spooler: Spooler) -> None:
            if fails:
                fails.clear()
                raise ZeroDivisionError
            await advance(spooler)

        monkeypatch.setattr(Spooler, "_append", fail)
        posts = [post(title) for title in "abc"]
        replies = [node.submit(each) for each in posts]
        for reply in replies:
            with trio.fail_after(30):
                assert isinstance(await reply.wait(), Spooled)
        assert fails == []
        cluster.store.away = False
        await node.drained()
        assert await cluster.log_of("ada") == ["a", "b", "c"]


async def test_a_command_that_fails_the_spooler_is_refused_and_does_not_fail_the_next(
    autojump_clock, cluster: Cluster, monkeypatch
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        with monkeypatch.context() as patched:
            patched.setattr(spooler, "prepare", lambda *_: 1 / 0)
            with pytest.raises(ActorCrashed):
                await node.ask(post("a"))
        assert isinstance(await node.ask(post("b")), Spooled)


async def test_entries_in_the_hands_of_a_failed_drain_are_drained_once_by_the_next(
    autojump_clock, cluster: Cluster, monkeypatch
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        for title in "abc":
            await node.ask(post(title))
        fails = [True]
        forget = Drain._forget

        async def fail(drain: Drain, entries: Sequence[SpoolEntry]) -> None:
            if fails:
                fails.clear()
                raise ZeroDivisionError
            await forget(drain, entries)

        monkeypatch.setattr(Drain, "_forget", fail)
        cluster.store.away = False
        await node.drained()
        assert fails == []
        assert await cluster.log_of("ada") == ["a", "b", "c"]
        assert (node.line.statistics.drained, node.line.statistics.repeated) == (3, 0)


@pytest.mark.parametrize("latency", [0.001, 0.5, 5.0])
@pytest.mark.parametrize("moment", [0.0, 0.002, 0.02, 0.3, 0.6, 1.1])
async def test_entries_that_a_dead_node_was_draining_are_stored_once_by_another(
    autojump_clock, cluster: Cluster, latency: float, moment: float
):
    titles = [str(number) for number in range(600)]
    async with cluster.node("one").running() as one:
        await lose_store(cluster)
        for title in titles:
            await one.ask(post(title))
        cluster.store.away = False
        cluster.store.latency = latency
        await pass_time(moment)
    async with cluster.node("two").running() as two:
        await two.drained()
        assert await cluster.log_of("ada") == titles


async def test_changes_that_a_dead_node_has_made_already_are_not_made_again(
    autojump_clock, cluster: Cluster
):
    posts = [post(str(number)) for number in range(100)]
    async with cluster.node("one").running() as one:
        await lose_store(cluster)
        for each in posts:
            await one.ask(each)
            for title in "ab":
                await one.ask(change(each, f"{each.content.id} {title}"))
        await one.ask(withdraw(posts[0]))
        cluster.store.away = False
        cluster.store.on_commit = lambda: cluster.broker.cut("one")
        await pass_time(5)
    cluster.store.on_commit = lambda: None
    made = len(cluster.store.written)
    assert made, "it has died before it drained"
    async with cluster.node("two").running() as two:
        await two.drained()
        assert await cluster.log_of("ada") == [f"{each.content.id} b" for each in posts[1:]]
        assert two.line.statistics.repeated == made
    assert [await cluster.revision_of(each) for each in posts] == [3] * len(posts)


async def test_a_node_that_was_stopped_while_it_drained_does_no_harm_when_it_goes_on(
    autojump_clock, cluster: Cluster
):
    a, b = post("a"), post("b")
    async with cluster.node("one").running() as one:
        await lose_store(cluster)
        await one.ask(a)
        await one.ask(change(a, "a, changed"))
        await one.ask(b)
        await one.ask(withdraw(b))
        cluster.store.latency = 2 * LEASE
        cluster.store.away = False
        await pass_time(2.0)
        assert await cluster.broker.spool("two").take("two", 1, LEASE) is None
        # Its last commands reach the store when other nodes have drained them long since.
        cluster.store.latency = 0.003
        async with cluster.node("two").running() as two:
            await pass_time(LEASE)
            await two.drained()
            await two.ask(change(a, "a, changed later"))
            await two.ask(post("c"))
            assert one.line.statistics.drained == 0
            await pass_time(2 * LEASE)
            assert one.line.statistics.repeated == 4
    assert await cluster.log_of("ada") == ["a, changed later", "c"]
    assert await cluster.revision_of(a) == 3
    assert await cluster.standing_of(b.content.id) == "withdrawn"


async def test_a_node_whose_spool_goes_away_between_commit_and_done_stores_nothing_twice(
    autojump_clock,
    cluster: Cluster,
):
    async with cluster.node().running() as node:
        a = post("a")
        await lose_store(cluster)
        await node.ask(a)
        await node.ask(change(a, "b"))
        cluster.store.away = False
        cluster.store.on_commit = lambda: cluster.broker.cut("one")
        await pass_time(10)
        cluster.store.on_commit = lambda: None
        cluster.broker.mend("one")
        await node.drained()
        assert len(cluster.store.written) == 2


async def test_a_stored_entry_that_redis_still_has_is_not_stored_again(redis_url: str):
    cluster, service = Cluster(), RedisService(redis_url)
    cluster.spool = service.spool
    with Proxy(redis_url) as line:
        async with service.running():
            service.clients["one"] = RedisClient(line.url, timeout=1.0)
            cluster.store.away = True
            posts = [post(str(number)) for number in range(20)]
            async with cluster.node("one").running() as one:
                for each in posts:
                    assert isinstance(await one.ask(each), Spooled)
                    await one.ask(change(each, f"{each.content.id} changed"))
                await one.ask(withdraw(posts[0]))
                cluster.store.on_commit = line.cut
                cluster.store.away = False
                with trio.fail_after(10):
                    while len(cluster.store.written) < 41:
                        await pass_time(0.01)
            cluster.store.on_commit = lambda: None
            await service.client("two").call(("DEL", "tocsin:spool:lease"))
            async with cluster.node("two").running() as two:
                await two.drained()
                assert two.line.statistics.repeated == 41
    assert [await cluster.revision_of(each) for each in posts] == [2] * 20
    assert await cluster.log_of("ada") == [f"{each.content.id} changed" for each in posts[1:]]
