"""What breaks in a cluster, and what holds all the same: every notification is accounted for.

Three nodes behind HAProxy, all as processes. Each fault has a short version, which always runs, and
a long one for `./dev test --faults`.
"""

from __future__ import annotations

import asyncio
import random
import signal
import string
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from cluster.topology import Topology
from servers.node import wait_until
from servers.postgres import Postgres, execute
from servers.program import find_binary
from servers.proxy import Proxy
from servers.redis import Redis
from servers.small_disk import SmallDisk
from servers.tokens import bearer, token
from tests.conftest import run
from tests.system.cluster_kit import Trial
from tests.system.crowd_kit import eventually
from tests.system.device_kit import settled
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user

# Faults are timed: how soon others notice is the matter.
pytestmark = [pytest.mark.timeout(240), pytest.mark.alone]

LONG = partial(pytest.param, marks=pytest.mark.faults)
NewCluster = Callable[..., Topology[Server]]
IMPATIENT = {"store-timeout": 3}
"""For a store that says nothing: its nodes give it up sooner than after 10 s."""


def seconds(short: float, long: float) -> pytest.MarkDecorator:
    """How long the fault lasts: the short time always, the long one with `--faults`."""
    return pytest.mark.parametrize("lasting", [short, LONG(long)])


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[NewCluster]:
    """Starts a cluster on these services; further arguments are those of `Topology`."""
    with ExitStack() as stack:

        def start(
            database: str,
            redis: str,
            settings: Mapping[str, object] | None = None,
            **options: object,
        ) -> Topology[Server]:
            flags = {
                "database": database,
                "redis": redis,
                "resend-delay": 2,
                "resend-limit": 30,  # a device that is not heard for a while stays
                "drain-time": 4,
                **(settings or {}),
            }
            made = Topology(Server, tmp_path / "cluster", flags, **options)  # type: ignore[arg-type]
            stack.callback(made.expect_no_bugs)
            stack.enter_context(closing(made))
            return made.start()

        yield start


def put_to_the_test(trial: Trial, fault: Callable[[], object]) -> None:
    """Let *fault*, a coroutine function, happen under load, and account for everything."""

    async def scenario() -> None:
        async with trial.going_on():
            outcome = fault()
            assert asyncio.iscoroutine(outcome)
            await outcome

    asyncio.run(scenario())


def newcomers(cluster: Topology[Server]) -> set[str]:
    """The nodes that twenty devices get to, who come now."""
    nodes = set()
    for number in range(20):
        with cluster.front.device(fresh_user(), f"newcomer-{number}") as device:
            nodes.add(device.welcome["node"])
    return nodes


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)  # waits for: nothing; it is how long something is broken


# --- Nothing broken -------------------------------------------------------------------------------


def test_three_nodes_are_as_one(new_cluster: NewCluster, postgres_url: str, redis_url: str):
    trial = Trial(new_cluster(postgres_url, redis_url))

    async def nothing() -> None:
        assert len(trial.where()) == 3, "the balancer spreads devices over all nodes"

    put_to_the_test(trial, nothing)


# --- Nodes ----------------------------------------------------------------------------------------


@seconds(1, 10)
def test_a_node_is_killed(new_cluster: NewCluster, postgres_url: str, redis_url: str, lasting):
    cluster = new_cluster(postgres_url, redis_url)
    trial = Trial(cluster)

    async def fault() -> None:
        for victim in cluster.nodes[: 1 if lasting < 5 else 3]:
            with trial.trouble():
                await asyncio.to_thread(victim.kill)
                await pause(lasting)
                await trial.all_connected()
                assert victim.settings["node"] not in trial.where(), "its devices are elsewhere"
            await asyncio.to_thread(victim.start)
            await trial.some_load()

    put_to_the_test(trial, fault)


@seconds(6, 20)
def test_a_node_is_stopped_and_goes_on(
    new_cluster: NewCluster, postgres_url: str, redis_url: str, lasting
):
    cluster = new_cluster(postgres_url, redis_url)
    trial = Trial(cluster)
    stopped = cluster.nodes[1]

    async def fault() -> None:
        with trial.trouble():
            stopped.signal(signal.SIGSTOP)
            try:
                await pause(lasting)
            finally:
                stopped.signal(signal.SIGCONT)

    put_to_the_test(trial, fault)


def test_a_stopped_node_says_replaced_to_who_has_gone_elsewhere(
    new_cluster: NewCluster, postgres_url: str, redis_url: str
):
    cluster = new_cluster(postgres_url, redis_url)
    stale, fresh = cluster.nodes[0], cluster.nodes[1]
    ada = fresh_user()
    with stale.device(ada, "phone") as before:
        before.expect_synced()
        producer = fresh.producer()
        notification = producer.post(ada, title="before")
        before.ack(before.expect_push("before"))
        wait_until(lambda: producer.view(notification)["counts"]["delivered"])
        stale.signal(signal.SIGSTOP)
        try:
            with fresh.device(ada, "phone") as after:
                after.expect_synced()
                fresh.producer().post(ada, title="while it was stopped")
                after.ack(after.expect_push("while it was stopped"))
                stale.signal(signal.SIGCONT)
                frames = list(before.frames_to_the_end())
                assert frames[-1]["type"] == "goodbye"
                assert frames[-1]["code"] == 4409
                after.expect_nothing_before_pong()
        finally:
            stale.signal(signal.SIGCONT)


@seconds(1, 5)
def test_all_nodes_are_rolled_one_by_one(
    new_cluster: NewCluster, postgres_url: str, redis_url: str, lasting
):
    cluster = new_cluster(postgres_url, redis_url)
    trial = Trial(cluster)

    async def roll() -> None:
        for node in cluster.nodes:
            started = time.monotonic()
            assert await asyncio.to_thread(node.stop) == 0
            assert time.monotonic() - started < 4 + 1, "longer than drain_time"
            await trial.all_connected()
            await asyncio.to_thread(node.start)
            await trial.some_load(seconds=lasting)
        assert trial.books.silences == 0, "a producer got no answer"
        assert trial.books.refusals == []

    # No trouble is noted: nobody gets anything again that was acknowledged.
    put_to_the_test(trial, roll)


def test_newcomers_are_steered_away_before_the_first_goodbye(
    new_cluster: NewCluster, postgres_url: str, redis_url: str
):
    cluster = new_cluster(postgres_url, redis_url, settings={"drain-time": 8})
    leaving = cluster.nodes[0]
    crowd = [leaving.device(fresh_user()) for _ in range(20)]
    with settled(*crowd):
        for device in crowd:
            device.expect_synced()
        leaving.signal(signal.SIGTERM)
        time.sleep(1.2)  # waits for: the balancer to look twice; drain_notice is 2 s
        for device in crowd:
            device.expect_nothing_before_pong()
        assert newcomers(cluster) == {"node-2", "node-3"}
        goodbyes = [device.expect_goodbye(4000) for device in crowd]
    delays = [goodbye["after"] for goodbye in goodbyes]
    assert all(0 <= delay <= 8 for delay in delays)
    assert max(delays) - min(delays) > 8 / 3, "they come back in one instant"
    assert leaving.wait() == 0


def find_faketime_library() -> Path:
    """What gives a process another time of day; it comes with the program of that name."""
    find_binary("faketime")
    found = sorted(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so*"))
    assert found, "the package of faketime has come without its library"
    return found[-1]


def test_nodes_whose_clocks_differ_by_minutes(
    new_cluster: NewCluster, postgres_url: str, own_redis: Redis
):
    # The library itself: the wrapper forks, and what it started would outlive it.
    library = find_faketime_library()
    early, late = (
        ("env", f"LD_PRELOAD={library}", f"FAKETIME={offset}") for offset in ("-300s", "+300s")
    )
    cluster = new_cluster(
        postgres_url,
        own_redis.url,
        prefixes={"node-1": early, "node-2": late},
        environment={"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"},
    )
    trial = Trial(cluster)

    async def fault() -> None:
        # Without the bus, nodes have to find out from the store, by whatever it says of time.
        with trial.trouble():
            await asyncio.to_thread(own_redis.stop, "immediate")
            await trial.all_told("bus", "lost")
            await trial.some_load()
            await trial.all_received()
            await asyncio.to_thread(own_redis.start)
            await trial.all_told("bus", "ok")

    put_to_the_test(trial, fault)


# --- Redis ----------------------------------------------------------------------------------------


@seconds(0.5, 60)
@pytest.mark.parametrize("how", ["kill", LONG("restart"), "stop", "password"])
def test_redis_is_away(new_cluster: NewCluster, postgres_url: str, own_redis: Redis, how, lasting):
    trial = Trial(new_cluster(postgres_url, own_redis.url))

    def break_it() -> None:
        match how:
            case "kill":
                own_redis.stop("immediate")
            case "restart":
                own_redis.stop()
            case "stop":
                own_redis.pause()
            case "password":
                own_redis.restart(password="nobody told the nodes")

    def mend_it() -> None:
        match how:
            case "kill" | "restart":
                own_redis.start()
            case "stop":
                own_redis.resume()
            case "password":
                own_redis.restart()

    async def fault() -> None:
        with trial.trouble():
            await asyncio.to_thread(break_it)
            await trial.all_told("bus", "lost", patience=8)
            for node in trial.cluster.nodes:
                answer = await asyncio.to_thread(node.http.get, "/readyz")
                assert answer.status_code == 200, "a node that can deliver is not taken away"
                assert answer.json()["hops"]["bus"] == "lost"
            await pause(lasting)
            since = time.monotonic()
            await trial.some_load(seconds=2)
            assert trial.lateness(since) < 4, "it is late by about a second"
            await asyncio.to_thread(mend_it)
            await trial.all_told("bus", "ok")

    put_to_the_test(trial, fault)


@pytest.mark.parametrize(
    "command", ["FLUSHALL", "CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE normal"]
)
def test_redis_forgets_or_hangs_up(
    new_cluster: NewCluster, postgres_url: str, own_redis: Redis, command
):
    trial = Trial(new_cluster(postgres_url, own_redis.url))

    async def fault() -> None:
        with trial.trouble():
            for _ in range(5):
                await asyncio.to_thread(own_redis.execute, *command.split())
                await trial.some_load(posts=20, seconds=0.2)

    put_to_the_test(trial, fault)


# --- Postgres -------------------------------------------------------------------------------------


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
                # What is small still finds room here and there, so not every node loses the store.
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


# --- One node alone -------------------------------------------------------------------------------


@seconds(1, 30)
@pytest.mark.parametrize("how", ["cut", "stall"])
def test_one_node_is_parted_from_redis(
    new_cluster: NewCluster, postgres_url: str, redis_url: str, how, lasting
):
    with Proxy(redis_url) as line:
        cluster = new_cluster(postgres_url, redis_url, own={"node-2": {"redis": line.url}})
        trial = Trial(cluster)
        parted = cluster.nodes[1]

        async def fault() -> None:
            with trial.trouble():
                line.cut() if how == "cut" else line.stall()
                await eventually(lambda: "lost" in trial.last_status("bus"), "status")
                await pause(lasting)
                hops = (await asyncio.to_thread(parted.http.get, "/readyz")).json()["hops"]
                assert hops["bus"] == "lost"
                assert {
                    node.http.get("/readyz").json()["hops"]["bus"]
                    for node in cluster.nodes
                    if node is not parted
                } == {"ok"}
                await trial.some_load()
                line.heal()
                await eventually(lambda: trial.last_status("bus") == {"ok"}, "status")

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
