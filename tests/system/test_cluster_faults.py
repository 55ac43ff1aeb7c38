"""Faults of nodes, and the promise that holds all the same: no notification is unaccounted for.

Three nodes behind HAProxy, all as processes. Each fault has a short version, which always runs, and
a long one for `./dev test --faults`.
"""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from servers.node import wait_until
from servers.program import find_binary
from servers.redis import Redis
from tests.system.cluster_faults_kit import (
    NewCluster,
    newcomers,
    pause,
    put_to_the_test,
    seconds,
)
from tests.system.cluster_kit import Trial
from tests.system.device_kit import settled
from tests.system.server_kit import fresh_user

# Faults are timed: how soon others notice is the matter.
pytestmark = [pytest.mark.timeout(600), pytest.mark.alone]


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
    """The library that gives a process another time of day; it comes with `faketime`."""
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
