"""Operators who look on at nodes: what they are shown of each, and what it costs the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.actors.clock_kit import pass_time
from tests.actors.cluster_kit import Cluster, a_cluster
from tests.actors.node_kit import Node, now_ms
from tocsin.actors.runtime.supervisor import open_supervisor
from tocsin.actors.spectators import (
    EACH_MAX,
    LEASE,
    NAMED_MAX,
    SPECTATORS_MAX,
    WAITING_MAX,
    Sightings,
    Spectator,
    Spectators,
    SpectatorsWorker,
)
from tocsin.protocol.cluster.sightings import Sight, Sighted

LONG = 100.0


@asynccontextmanager
async def a_watched_cluster() -> AsyncIterator[Cluster]:
    """Two nodes, each with the worker that tells spectators."""
    async with a_cluster("a", "b") as cluster:
        for name, node in cluster.nodes.items():
            start_worker(cluster, name, node)
        yield cluster
        for name in cluster.nodes:
            await cluster.tree.stop_child(f"{name}/spectators", 1.0)


def start_worker(cluster: Cluster, name: str, node: Node) -> None:
    table = node.state.timing.spectators
    cluster.tree.spawn(
        f"{name}/spectators", lambda: SpectatorsWorker(table, name, now_ms, lambda: {"busy": 0.5})
    )


def look_on(node: Node, user: str | None = None) -> tuple[int, Spectator]:
    entered = node.state.timing.spectators.enter(user)
    assert entered is not None
    return entered


async def told(spectator: Spectator, seconds: float = 4.0) -> dict[str, list[Sighted]]:
    """What each node told in the next *seconds*."""
    await pass_time(seconds)
    found: dict[str, list[Sighted]] = {}
    for node, sighted in await spectator.wait(0.0):
        found.setdefault(node, []).append(sighted)
    return found


def kinds(seconds: list[Sighted]) -> list[Sight]:
    return [each.kind for second in seconds for each in second.sightings]


async def test_a_spectator_of_one_node_sees_what_all_nodes_do(autojump_clock):
    async with a_watched_cluster() as cluster:
        phone = await cluster["b"].device()
        _, spectator = look_on(cluster["a"])
        await pass_time(2.0)
        await cluster["a"].post("ada")
        await pass_time(0.5)
        phone.ack(phone.sequences[0])
        seen = await told(spectator)
        assert seen["a"]
        assert kinds(seen["b"]) == [Sight.PUSHED, Sight.ACKNOWLEDGED]
        pushed = next(each for second in seen["b"] for each in second.sightings)
        assert (pushed.user, pushed.device, pushed.detail) == ("ada", phone.name, "websocket")
        assert all(second.sample == {"busy": 0.5} for second in seen["b"])


async def test_while_nobody_looks_on_nothing_is_taken_and_nothing_is_said(autojump_clock):
    async with a_watched_cluster() as cluster:
        number, _ = look_on(cluster["a"])
        await pass_time(2.0)
        assert cluster["b"].state.timing.sightings is not None
        cluster["a"].state.timing.spectators.leave(number)
        await pass_time(LEASE + 2.0)
        for node in cluster.nodes.values():
            assert node.state.timing.sightings is None
        said = [node.bus.statistics.said for node in cluster.nodes.values()]
        await pass_time(LONG)
        assert [node.bus.statistics.said for node in cluster.nodes.values()] == said


async def test_a_spectator_that_stays_is_shown_the_other_node_for_ever(autojump_clock):
    async with a_watched_cluster() as cluster:
        _, spectator = look_on(cluster["a"])
        for _ in range(5):
            seen = await told(spectator, LEASE)
            assert len(seen["b"]) >= LEASE - 3


async def test_a_named_user_is_seen_however_much_others_do(autojump_clock):
    async with a_watched_cluster() as cluster:
        _, spectator = look_on(cluster["a"], "ada")
        await pass_time(2.0)
        sightings = cluster["b"].state.timing.sightings
        assert sightings is not None
        for number in range(500):
            sightings.take(Sight.PUSHED, None, f"other-{number}")
        sightings.take(Sight.PUSHED, "n1", "ada", "phone", "sse")
        seen = await told(spectator, 2.0)
        shown = [each for second in seen["b"] for each in second.sightings]
        assert [each.user for each in shown] == ["ada"]
        assert sum(second.counts.get("pushed", 0) for second in seen["b"]) == 501


def test_of_each_kind_a_few_are_kept_and_all_are_counted():
    sightings = Sightings(frozenset({"ada"}), lambda: 0.0, everybody=True)
    for _ in range(1000):
        sightings.take(Sight.PUSHED, "n", "bob")
        sightings.take(Sight.ACKNOWLEDGED, "n", "ada")
    assert sightings.counts == {Sight.PUSHED: 1000, Sight.ACKNOWLEDGED: 1000}
    assert len(sightings.kept) == EACH_MAX + NAMED_MAX


def test_there_are_so_many_spectators_and_one_that_leaves_makes_room():
    spectators = Spectators(lambda sightings: None)
    entered = [spectators.enter(None) for _ in range(SPECTATORS_MAX)]
    assert spectators.enter(None) is None
    assert entered[0] is not None
    spectators.leave(entered[0][0])
    assert spectators.enter(None) is not None


async def test_a_slow_spectator_is_told_how_much_it_missed():
    spectator = Spectator(None)
    for at in range(WAITING_MAX + 3):
        spectator.tell("a", Sighted(at, {}, (), {}))
    assert spectator.missed == 3
    waiting = await spectator.wait(0.0)
    assert [sighted.at for _, sighted in waiting] == list(range(3, WAITING_MAX + 3))


async def test_the_time_of_a_sighting_is_that_of_the_wall(autojump_clock):
    spectators = Spectators(lambda sightings: None)
    entered = spectators.enter(None)
    assert entered is not None
    async with open_supervisor("", lambda: 0.0) as tree:
        tree.spawn(
            "spectators", lambda: SpectatorsWorker(spectators, "a", now_ms, lambda: {"busy": 0.0})
        )
        await pass_time(0.25)
        at = now_ms()
        spectators.current.take(Sight.PUSHED, "n1")
        await pass_time(1.0)
        ((_, sighted),) = await entered[1].wait(1.0)
        await tree.stop(lambda name: 1.0)
    assert [each.at for each in sighted.sightings] == [pytest.approx(at, abs=1)]
