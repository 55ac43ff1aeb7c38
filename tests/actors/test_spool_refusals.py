"""A producer behind a broker hears of a spooled message that the store refuses in the end."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from tests.actors.spool_kit import Cluster, TroubledStore, change, lose_store, post
from tests.persistence.desk_kit import START_OF_TIME
from tests.persistence.services_kit import append
from tocsin.actors.spool.emptying import store_some
from tocsin.actors.spool.entries import encode
from tocsin.actors.spool.refusals import letter_of_spooled
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.persistence.store import Store, StoreFailed
from tocsin.persistence.store.commands import NotFound, Origin, Publish
from tocsin.persistence.store.ingest_commands import ListIngest
from tocsin.persistence.store.receipt_queries import ReadReceipts
from tocsin.persistence.store.sink_commands import FollowReceipts
from tocsin.protocol.receipts.receipt import Filter

ORIGIN = Origin("orders", "orders/7", "orders/7", "c-1")
REFUSED = Filter(("refused",))


async def heard(store: Store) -> list[tuple[str, str]]:
    """The refusals that a reader of receipts gets: correlation and code."""
    [page] = await store.read([ReadReceipts(0, REFUSED, 10)])
    found = [msgspec.json.decode(each.detail) for each in page.receipts]
    return [(each["correlation"], each["problem"]["code"]) for each in found]


async def test_a_post_whose_key_was_used_is_answered_once(autojump_clock, cluster: Cluster):
    async with cluster.node().running() as node:
        await cluster.store.write([FollowReceipts("reader", START_OF_TIME, all_kinds=True)])
        await node.ask(post("a", key="k", meaning=b"1"))
        await lose_store(cluster)
        again = replace(post("b", key="k", meaning=b"2"), origin=ORIGIN)
        await append(cluster.broker.spool("one"), encode(again))
        await append(cluster.broker.spool("one"), encode(again))
        await node.ask(post("behind"))
        cluster.store.away = False
        await node.drained()

        assert await heard(cluster.store) == [("c-1", "idempotency_key_reused")]
        [letters] = await cluster.store.read([ListIngest(10, status=None)])
        assert [(each.place, each.status) for each in letters.letters] == [
            ("orders/7", "discarded")
        ]


async def test_a_post_that_the_store_fails_on_and_a_change_of_nothing_are_answered(
    autojump_clock, cluster: Cluster
):
    async with cluster.node().running() as node:
        await cluster.store.write([FollowReceipts("reader", START_OF_TIME, all_kinds=True)])
        await lose_store(cluster)
        poison = replace(post("poison"), origin=ORIGIN)
        missing = change(
            post("never"), "later", origin=replace(ORIGIN, place="8", correlation="c-2")
        )
        for command in (poison, missing):
            await append(cluster.broker.spool("one"), encode(command))
        await node.ask(post("behind"))
        cluster.store.refuses = lambda command: (
            isinstance(command, Publish) and "poison" in command.content.document
        )
        cluster.store.away = False
        await node.drained()

        assert sorted(await heard(cluster.store)) == [
            ("c-1", "internal_error"),
            ("c-2", "not_found"),
        ]
        assert await cluster.log_of("ada") == ["behind"]


async def test_a_command_that_empties_the_spool_answers_too(autojump_clock):
    store, spool = TroubledStore(), MemoryBroker().spool("a command")
    await store.open()
    await store.write([FollowReceipts("reader", START_OF_TIME, all_kinds=True)])
    await append(spool, encode(change(post("never"), "later", origin=ORIGIN)))
    assert await store_some(spool, store, "a command", START_OF_TIME)

    assert await heard(store) == [("c-1", "not_found")]
    await SqliteStore.aclose(store)


@pytest.mark.parametrize("said", [NotFound(), StoreFailed("no")])
def test_a_command_of_no_broker_is_not_answered(said):
    assert letter_of_spooled(post("a"), said, 0) is None
