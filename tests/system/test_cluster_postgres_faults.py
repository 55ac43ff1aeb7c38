"""Postgres breaks in a cluster, for all nodes or for one; every notification is accounted for."""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import Iterator
from contextlib import suppress

import asyncpg
import pytest

from servers.postgres import Postgres, execute
from servers.proxy import Proxy
from servers.redis import Redis
from servers.small_disk import SmallDisk
from servers.tokens import bearer, token
from tests.conftest import run
from tests.system.cluster_faults_kit import (
    IMPATIENT,
    LONG,
    NewCluster,
    newcomers,
    pause,
    put_to_the_test,
    seconds,
)
from tests.system.cluster_kit import Trial
from tests.system.crowd_kit import eventually
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.server_kit import fresh_user

# Faults are timed: how soon others notice is the matter.
pytestmark = [pytest.mark.timeout(600), pytest.mark.alone]


@seconds(1, 60)
@pytest.mark.parametrize("how", ["restart", LONG("crash"), "stop"])
def test_postgres_is_away_and_posts_are_spooled(
    new_cluster: NewCluster, own_postgres: Postgres, own_redis: Redis, how, lasting
):
    trial = Trial(new_cluster(own_postgres.create_database(), own_redis.url, IMPATIENT))

    def break_it() -> None:
        if how == "stop":
            own_postgres.pause()
        else:
            own_postgres.stop("fast" if how == "restart" else "immediate")

    async def fault() -> None:
        with trial.trouble():
            await asyncio.to_thread(break_it)
            await trial.all_told("store", "lost", patience=30)
            await trial.some_load(seconds=lasting)  # which is accepted, into the spool
            await asyncio.to_thread(own_postgres.resume if how == "stop" else own_postgres.start)
            await trial.all_told("store", "ok", patience=30)

    put_to_the_test(trial, fault)


def test_postgres_connections_are_killed_in_mid_transaction(
    new_cluster: NewCluster, own_postgres: Postgres, own_redis: Redis
):
    url = own_postgres.create_database()
    trial = Trial(new_cluster(url, own_redis.url))
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def fault() -> None:
        with trial.trouble():
            for _ in range(5):
                await asyncio.to_thread(execute, url, kill)
                await trial.some_load(posts=20, seconds=0.2)

    put_to_the_test(trial, fault)


def test_postgres_only_reads(new_cluster: NewCluster, own_postgres: Postgres, own_redis: Redis):
    url = own_postgres.create_database()
    trial = Trial(new_cluster(url, own_redis.url))

    def alter(to: str) -> None:
        execute(url, f"ALTER SYSTEM SET default_transaction_read_only = {to}")
        execute(url, "SELECT pg_reload_conf()")

    async def fault() -> None:
        with trial.trouble():
            await asyncio.to_thread(alter, "on")
            await pause(2)
            await asyncio.to_thread(alter, "off")
            await trial.some_load()

    put_to_the_test(trial, fault)


@pytest.fixture
def small_disk() -> Iterator[SmallDisk]:
    with SmallDisk(200 << 20) as disk:
        yield disk


@pytest.fixture
def cramped_postgres(
    request: pytest.FixtureRequest, small_disk: SmallDisk, how: str
) -> Iterator[Postgres]:
    """A server with its tables on the small disk, or with everything."""
    server = Postgres(durable=True, disk=small_disk.path, logs_apart=how == "tables")
    yield from run(request, server)


@seconds(1, 60)
@pytest.mark.parametrize("how", ["tables", "everything"])
def test_the_disk_of_postgres_is_full(
    new_cluster: NewCluster,
    small_disk: SmallDisk,
    cramped_postgres: Postgres,
    own_redis: Redis,
    how,
    lasting,
):
    url = cramped_postgres.create_database()
    trial = Trial(new_cluster(url, own_redis.url, IMPATIENT))
    reader, producer = token(trial.books.users[0]), trial.cluster.front.producer()

    def break_it() -> None:
        small_disk.fill()
        if how == "everything":
            # Without room for its log it ends itself, and ends itself again when it recovers.
            with suppress(asyncpg.PostgresError, OSError):
                while True:
                    execute(url, "SELECT pg_logical_emit_message(false, '', repeat('-', 1 << 23))")
            cramped_postgres.wait()
        else:
            use_up_what_is_left()

    def use_up_what_is_left() -> None:
        """There is room in the tables' last pages, for small notifications, for a while."""
        large = {"letters": "".join(random.choices(string.ascii_letters, k=30_000))}
        for _ in range(1000):
            if producer.try_post(fresh_user(), data=large).status_code == 202:
                return
        raise AssertionError("there is still room")

    def mend_it() -> None:
        small_disk.clear()
        if how == "everything":
            cramped_postgres.restart()

    def expect_to_read() -> None:
        for node in trial.cluster.nodes:
            assert expect_json(node.http.get("/v1/inbox", headers=bearer(reader)))["notifications"]

    async def fault() -> None:
        with trial.trouble():
            await asyncio.to_thread(break_it)
            if how == "tables":
                # Small rows still find room here and there, so not every node loses the store.
                await asyncio.to_thread(expect_to_read)
            else:
                await trial.all_told("store", "lost", patience=30)
            await trial.some_load(seconds=lasting)  # which is accepted, into the spool
            answer = await asyncio.to_thread(producer.try_post, fresh_user())
            spooled = expect_json(answer, 202)
            assert spooled["durability"] == "spooled"
            await asyncio.to_thread(mend_it)
            if how == "everything":
                await trial.all_told("store", "ok", patience=30)
            await trial.all_received()
            view = await asyncio.to_thread(producer.view, spooled["id"])
            assert view["state"] == "active"

    put_to_the_test(trial, fault)


@seconds(1, 30)
def test_postgres_and_redis_are_away(
    new_cluster: NewCluster, own_postgres: Postgres, own_redis: Redis, lasting
):
    cluster = new_cluster(own_postgres.create_database(), own_redis.url, IMPATIENT)
    trial = Trial(cluster)

    async def fault() -> None:
        with trial.trouble():
            await asyncio.to_thread(own_redis.stop, "immediate")
            await asyncio.to_thread(own_postgres.stop, "immediate")
            await trial.all_told("store", "lost", patience=30)
            await trial.all_told("bus", "lost", patience=30)
            answer = await asyncio.to_thread(
                cluster.front.producer().try_post, trial.books.users[0]
            )
            expect_problem(answer, 503, "store_unavailable")
            assert answer.headers["Retry-After"]
            await pause(lasting)
            await asyncio.to_thread(own_redis.start)
            await trial.some_load()  # into the spool
            await asyncio.to_thread(own_postgres.start)
            await trial.all_told("store", "ok", patience=30)
            await trial.all_told("bus", "ok", patience=30)

    put_to_the_test(trial, fault)


@seconds(1, 30)
@pytest.mark.parametrize("how", ["cut", "stall"])
def test_one_node_is_parted_from_postgres(
    new_cluster: NewCluster, postgres_url: str, redis_url: str, how, lasting
):
    with Proxy(postgres_url) as line:
        own = {"node-3": {"database": line.url}}
        cluster = new_cluster(postgres_url, redis_url, IMPATIENT, own=own)
        trial = Trial(cluster)
        parted = cluster.nodes[2]

        async def fault() -> None:
            with trial.trouble():
                line.cut() if how == "cut" else line.stall()
                await eventually(lambda: "lost" in trial.last_status("store"), "status")
                hops = (await asyncio.to_thread(parted.http.get, "/readyz")).json()["hops"]
                assert hops["store"] == "lost"
                await pause(lasting)
                assert "node-3" not in await asyncio.to_thread(newcomers, cluster)
                await trial.some_load()
                line.heal()
                await eventually(lambda: trial.last_status("store") == {"ok"}, "status")

        put_to_the_test(trial, fault)


@seconds(0.05, 0.5)
def test_one_node_is_far_from_both(
    new_cluster: NewCluster, postgres_url: str, redis_url: str, lasting
):
    with Proxy(redis_url) as to_redis, Proxy(postgres_url) as to_postgres:
        own = {"node-2": {"redis": to_redis.url, "database": to_postgres.url}}
        trial = Trial(new_cluster(postgres_url, redis_url, own=own))

        async def fault() -> None:
            with trial.trouble():
                to_redis.slow(lasting)
                to_postgres.slow(lasting)
                await trial.some_load(seconds=5)
                to_redis.heal()
                to_postgres.heal()

        put_to_the_test(trial, fault)
