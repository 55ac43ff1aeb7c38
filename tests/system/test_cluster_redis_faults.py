"""Redis breaks in a cluster, for all nodes or for one; every notification is accounted for."""

from __future__ import annotations

import asyncio
import time

import pytest

from servers.proxy import Proxy
from servers.redis import Redis
from tests.system.cluster_faults_kit import LONG, NewCluster, pause, put_to_the_test, seconds
from tests.system.cluster_kit import Trial
from tests.system.crowd_kit import eventually

# Faults are timed: how soon others notice is the matter.
pytestmark = [pytest.mark.timeout(600), pytest.mark.alone]


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
