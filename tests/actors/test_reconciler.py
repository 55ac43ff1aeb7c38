"""The reconciler: whom it looks at, and what it does again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import structs

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import LATE, SOON, Cluster, a_cluster, replace
from tocsin.actors.cluster.reconciler import LEISURE, THOROUGH
from tocsin.persistence.bus import Said
from tocsin.persistence.store import StoreFailed
from tocsin.persistence.store.asking import Query
from tocsin.persistence.store.footprints import FootprintPage, ReadFootprints
from tocsin.persistence.store.queries import FindHead
from tocsin.protocol.cluster.envelopes import CONTROL


def is_news(node: str, said: Said) -> bool:
    """All but signs of life: no node notices that it is lost."""
    return said.channel != CONTROL


async def test_a_look_asks_of_users_who_are_quiet_nothing(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        for number in range(30):
            await cluster["b"].device(f"u{number}")
        await pass_time(2 * LEISURE)
        asked = watched(cluster)
        await pass_time(10 * LEISURE)

        assert {type(query) for query in asked} == {ReadFootprints}
        assert 18 <= len(asked) <= 22  # two nodes


async def test_a_post_that_goes_unheard_costs_a_look_at_its_user(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device("ann")
        await cluster["b"].device("bob")
        await pass_time(2 * LEISURE)
        asked = watched(cluster)
        cluster.broker.loss = is_news
        await cluster["a"].post("ann")
        await pass_time(LEISURE + LATE)

        assert phone.titles == ["hello"]
        assert {query.user for query in asked if isinstance(query, FindHead)} == {"ann"}


async def test_a_look_at_users_that_failed_is_made_again(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device("ann")
        await pass_time(2 * LEISURE)
        cluster.broker.loss = is_news
        mend = refuse(cluster, FindHead)
        await cluster["a"].post("ann")
        await pass_time(LEISURE + LATE)
        assert phone.titles == []

        mend()
        await pass_time(LEISURE + LATE)
        assert phone.titles == ["hello"]


async def test_without_footprints_all_users_are_looked_at(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device("ann")
        await pass_time(2 * LEISURE)
        refuse(cluster, ReadFootprints)
        cluster.broker.loss = is_news
        await cluster["a"].post("ann")
        await pass_time(LEISURE + LATE)

        assert phone.titles == ["hello"]


async def test_a_change_that_no_footprint_tells_is_found_by_a_look_at_all_users(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        phone = await cluster["b"].device("ann")
        await pass_time(2 * LEISURE)
        cluster.broker.loss = is_news
        cluster.store._footprints = False
        await cluster["a"].post("ann")
        await pass_time(4 * LEISURE)
        assert phone.titles == []

        await pass_time(THOROUGH)
        assert phone.titles == ["hello"]


async def test_a_post_is_found_that_commits_behind_later_ones(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        ann, bob = await cluster["b"].device("ann"), await cluster["b"].device("bob")
        await pass_time(2 * LEISURE)
        cluster.broker.loss = is_news
        await cluster["a"].post("ann")
        commit = hold_back(cluster)
        await cluster["a"].post("bob")
        await pass_time(LEISURE + LATE)
        assert (ann.titles, bob.titles) == ([], ["hello"])

        commit()
        await pass_time(LEISURE + LATE)
        assert ann.titles == ["hello"]


async def test_counters_that_changed_unheard_are_compared(autojump_clock):
    async with a_cluster("a", "b") as cluster:
        await cluster["b"].device("ann")
        await pass_time(2 * LEISURE)
        asked = watched(cluster)
        leave(cluster, '{"recounted":["ann","away"]}')
        await pass_time(LEISURE + SOON)

        assert [query for query in asked if isinstance(query, FindHead)] == [FindHead("ann")]


def watched(cluster: Cluster) -> list[Query[Any]]:
    """The queries that the store is asked from now on."""
    asked: list[Query[Any]] = []
    read = cluster.store.read

    async def watching(queries: Sequence[Query[Any]]) -> list[Any]:
        asked.extend(queries)
        return await read(queries)

    replace(cluster.store, read=watching)
    return asked


def refuse(cluster: Cluster, kind: type[Query[Any]]) -> Callable[[], None]:
    """Let the store refuse queries of *kind*, until the returned function is called."""
    read = cluster.store.read

    async def refusing(queries: Sequence[Query[Any]]) -> list[Any]:
        if any(isinstance(query, kind) for query in queries):
            raise StoreFailed("no")
        return await read(queries)

    replace(cluster.store, read=refusing)
    return lambda: replace(cluster.store, read=read)


def leave(cluster: Cluster, footprint: str) -> None:
    """Have a transaction leave *footprint*."""
    statement = "INSERT INTO footprints (part, footprint) VALUES (0, ?)"
    cluster.store._connected().execute(statement, (footprint,))


def hold_back(cluster: Cluster) -> Callable[[], None]:
    """Take the last footprint for one that is not committed yet; it is when the returned function
    is called."""
    connection, read = cluster.store._connected(), cluster.store.read
    *_, row = connection.execute("SELECT xid, part, footprint FROM footprints ORDER BY xid")
    connection.execute("DELETE FROM footprints WHERE xid = ?", row[:1])

    async def seeing(queries: Sequence[Query[Any]]) -> list[Any]:
        answers = await read(queries)
        return [
            structs.replace(each, oldest=row[0]) if isinstance(each, FootprintPage) else each
            for each in answers
        ]

    def commit() -> None:
        connection.execute("INSERT INTO footprints VALUES (?, ?, ?)", row)
        replace(cluster.store, read=read)

    replace(cluster.store, read=seeing)
    return commit
