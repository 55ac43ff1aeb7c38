"""Idempotency keys while the store is away: one answer for one key, whenever it is repeated."""

import pytest
from msgspec.structs import replace

from tests.actors.spool_kit import Cluster, lose_store, post
from tocsin.actors.spool.entries import Spooled
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.commands import Changed, KeyReused, Overdue, Publish, Replayed


async def test_the_same_key_gets_the_same_answer(autojump_clock, cluster: Cluster):
    async with cluster.node("one").running() as one, cluster.node("two").running() as two:
        await lose_store(cluster)
        first = await one.ask(post("a", key="k"))
        again = await two.ask(post("a", key="k"))
        assert isinstance(first, Spooled)
        assert again == Spooled(first.answer, replayed=True)
        assert await two.ask(post("b", key="k", meaning=b"another")) == KeyReused()
        cluster.store.away = False
        await one.drained()
        assert await cluster.log_of("ada") == ["a"]
        await two.drained()
        assert isinstance(await two.ask(post("a", key="k")), Replayed)


async def test_a_key_that_was_used_before_the_outage_keeps_its_first_meaning(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        await node.ask(post("a", key="k"))
        await lose_store(cluster)
        assert isinstance(await node.ask(post("a", key="k")), Spooled)
        assert isinstance(await node.ask(post("z", key="l", meaning=b"z")), Spooled)
        cluster.store.away = False
        await node.drained()
        assert await cluster.log_of("ada") == ["a", "z"]
        assert node.line.statistics.repeated == 1


async def test_a_key_that_was_used_for_another_post_before_the_outage_is_put_aside(
    autojump_clock,
    cluster: Cluster,
):
    async with cluster.node().running() as node:
        await node.ask(post("a", key="k"))
        await lose_store(cluster)
        await node.ask(post("b", key="k", meaning=b"another"))
        cluster.store.away = False
        await node.drained()
        [(_, reason)] = await cluster.broker.spool("one").poisoned(10)
        assert reason == "idempotency_key_reused"


async def test_a_repetition_that_comes_too_late_gets_the_first_answer_or_waits_for_the_store(
    autojump_clock, cluster: Cluster
):
    async with cluster.node("one").running() as one, cluster.node("two").running() as two:
        stored = await one.ask(post("stored", key="s"))
        await lose_store(cluster)
        spooled = await one.ask(post("spooled", key="k"))
        assert isinstance(spooled, Spooled)

        assert await two.ask(late("spooled", "k")) == Spooled(spooled.answer, replayed=True)
        assert await two.ask(late("spooled", "k", b"another")) == KeyReused()
        for key in ("s", "new"):
            # Only the store can tell the one from the other.
            with pytest.raises(StoreUnavailable):
                await two.ask(late("stored", key))
        assert (one.line.statistics.spooled, two.line.statistics.spooled) == (1, 0)

        cluster.store.away = False
        await one.drained()
        await two.drained()
        assert isinstance(stored, Changed)
        again = await two.ask(late("stored", "s"))
        assert isinstance(again, Replayed)
        assert stored.content.id in again.answer
        assert isinstance(await two.ask(late("spooled", "k")), Replayed)
        assert await two.ask(late("stored", "new")) == Overdue()
        assert await cluster.log_of("ada") == ["stored", "spooled"]


def late(title: str, key: str, meaning: bytes = b"") -> Publish:
    """A post whose content has expired by the time that it comes."""
    return replace(post(title, key=key, meaning=meaning), overdue=True)
