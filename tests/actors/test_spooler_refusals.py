"""Requests that the spool cannot take, and entries that are set aside: the store refuses them."""

import pytest
import trio
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.actors.clock_kit import pass_time
from tests.actors.spool_kit import Cluster, change, lose_store, post
from tests.persistence.services_kit import append
from tocsin.actors.spool.entries import Spooled, encode
from tocsin.persistence.bus import Replaying, SpoolEntry
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import Changed, PatchRefused, Publish, Update
from tocsin.protocol.notifications.notification import Patch


async def test_a_revision_cannot_be_compared_while_the_store_is_away(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        a = post("a")
        await node.ask(a)
        await lose_store(cluster)
        with pytest.raises(StoreUnavailable):
            await node.ask(change(a, "b", expected_revisions=(1,)))


async def test_a_change_of_nothing_is_refused_at_once(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        refused = await node.ask(replace(change(post("a"), "b"), patch=Patch()))
        assert isinstance(refused, PatchRefused)


async def test_without_store_and_spool_posts_are_refused(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        cluster.broker.stop()
        replies = [node.submit(post(title)) for title in "abc"]
        for reply in replies:
            with trio.fail_after(30), pytest.raises(StoreUnavailable):
                await reply.wait()
        cluster.broker.start()
        assert isinstance(await node.ask(post("d")), Spooled)


async def test_without_the_spool_the_store_is_enough(autojump_clock, cluster: Cluster):
    cluster.broker.stop()
    async with cluster.node().running() as node:
        assert isinstance(await node.ask(post("a")), Changed)
        assert not node.line.reachable
        cluster.broker.start()
        await pass_time(2)
        assert node.line.reachable


async def test_an_entry_that_the_store_refuses_is_put_aside_and_the_others_go_on(
    autojump_clock,
    cluster: Cluster,
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        for title in "abc":
            await node.ask(post(title))
        await append(cluster.broker.spool("one"), b"rubbish")
        cluster.store.refuses = lambda command: (
            isinstance(command, Publish) and '"title":"b"' in command.content.document
        )
        cluster.store.away = False
        await node.drained()
        assert await cluster.log_of("ada") == ["a", "c"]
        assert node.line.statistics.poisoned == 2
        reasons = [reason for _, reason in await cluster.broker.spool("one").poisoned(10)]
        assert [reason.partition(":")[0] for reason in reasons] == ["poison", "unreadable"][::-1]


@pytest.mark.parametrize("foreign", [3, 2000])
async def test_entries_that_are_not_of_the_cluster_are_put_aside_and_the_others_go_on(
    autojump_clock, cluster: Cluster, foreign: int
):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        await node.ask(post("a"))
        waiting = cluster.broker._entries.waiting
        for number in range(foreign):
            entry = SpoolEntry(f"foreign-{number}", encode(post("forged", "ada")), fault="forged")
            waiting[entry.id] = entry
        await node.ask(post("b"))
        cluster.store.away = False
        with capture_logs() as lines:
            await node.drained()
        assert await cluster.log_of("ada") == ["a", "b"]
        assert node.line.statistics.poisoned == foreign
        [aside] = await node.line.poisoned(1)
        assert aside.reason == "not of this cluster: forged"
        assert len([line for line in lines if line["log_level"] == "error"]) == 0

        assert await node.line.replay(aside.entry) is Replaying.REFUSED
        assert await node.line.replay(aside.entry, vouched=True) is Replaying.DONE
        await node.drained()
        await pass_time(2)
        assert await cluster.log_of("ada") == ["a", "b", "forged"]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"v":1,"kind":"publish","command":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"v":1,"kind":"purge","command":{}}',
        b'{"v":1e400,"kind":"publish","command":{}}',
        b'{"v":1,"kind":"publish","command":{"content":null,"users":[],"credential":1}}',
    ],
)
async def test_an_entry_of_any_bytes_ends_nobody(autojump_clock, cluster: Cluster, payload: bytes):
    async with cluster.node().running() as node:
        await lose_store(cluster)
        await append(cluster.broker.spool("one"), payload)
        await node.ask(post("a"))
        cluster.store.away = False
        await node.drained()
        assert await cluster.log_of("ada") == ["a"]
        [aside] = await node.line.poisoned(10)
        assert aside.reason.startswith("unreadable: ")


async def test_an_entry_set_aside_is_stored_when_it_is_replayed_and_can_be(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        a = post("a")
        await node.ask(a)
        await lose_store(cluster)
        await node.ask(change(a, "b"))
        cluster.store.refuses = lambda command: isinstance(command, Update)
        cluster.store.away = False
        await node.drained()
        [aside] = await node.line.poisoned(10)
        cluster.store.refuses = lambda command: False

        assert await node.line.replay(aside.entry) is Replaying.DONE
        await pass_time(2)

        assert await cluster.log_of("ada") == ["b"]
        assert await node.line.poisoned(10) == []
        assert not await node.line.discard(aside.entry)


async def test_a_post_that_the_store_refuses_directly_is_not_spooled(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        cluster.store.refuses = lambda command: isinstance(command, Publish)
        with pytest.raises(StoreFailed):
            await node.ask(post("a"))
