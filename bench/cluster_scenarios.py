"""Scenarios of several nodes: the price of a user who is connected to another node.

Nodes, Postgres, Redis and the clients share one machine, so wall-clock figures of several nodes say
little. The CPU time of each node is the figure that counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from bench import cluster_storms, quiet_scenarios
from bench.measuring import Cost, Row
from bench.nodes import Nodes
from bench.producing import Producer
from bench.server import Server
from bench.stopwatch import Stopwatch, after
from bench.swarm import Swarm


@dataclass(frozen=True, slots=True)
class ClusterScenario:
    """A coroutine that measures, the number of nodes that it needs, and their settings."""

    run: Callable[[Nodes], Coroutine[Any, Any, list[Row]]]
    nodes: int
    settings: Mapping[str, str] = field(default_factory=dict)


async def cross(nodes: Nodes) -> list[Row]:
    """10 000 notifications posted on one node, pushed on another, at full load.

    The price of the bus on the first node is the difference to notifications for users who are
    connected nowhere.
    """
    here, there = nodes
    users, rounds = 1000, 10
    names = [f"u{n}" for n in range(users)]
    producer = await Producer(here).connect()
    await producer.publish([[f"away-{name}"] for name in names])
    here.wait_settled()
    alone = Cost(here)
    await producer.publish([[f"away-{name}"] for _ in range(rounds) for name in names])
    away, _ = alone.per(rounds * users)

    swarm = Swarm(there, acks=False)
    await swarm.connect([(name, "phone") for name in names], window=1024)
    for node in nodes:
        node.wait_settled()
    first, second = Cost(here), Cost(there)
    await producer.publish([[name] for _ in range(rounds) for name in names])
    await swarm.wait_pushes(rounds * users)
    posting, _ = first.per(rounds * users)
    pushing, rate = second.per(rounds * users)
    await swarm.close()
    await producer.close()
    return [
        Row("posted here, pushed there: here", posting, "µs CPU"),
        Row("posted here, pushed there: here, more than to nobody", posting - away, "µs CPU", 60),
        Row("posted here, pushed there: there, without acks", pushing, "µs CPU", 60),
        Row("posted here, pushed there: rate", rate, "1/s"),
    ]


async def delivery(nodes: Nodes) -> list[Row]:
    """10 000 acknowledged deliveries to 1 000 users; users and posts are spread over all nodes."""
    users, rounds = 1000, 10
    swarms = [Swarm(node) for node in nodes]
    producers = [Producer(node, f"backend-{number}") for number, node in enumerate(nodes)]
    for number, (swarm, producer) in enumerate(zip(swarms, producers, strict=True)):
        mine = [f"u{n}" for n in range(users) if n % len(nodes) == number]
        await swarm.connect([(name, "phone") for name in mine])
        await producer.connect()
    for node in nodes:
        node.wait_settled()
    costs, started = [Cost(node) for node in nodes], time.perf_counter()
    database, clients = nodes[0].database_cpu_seconds, time.process_time()
    # Each producer posts to users of all nodes: with three, two of three recipients are elsewhere.
    shares = [[[f"u{n}"] for n in part] * rounds for part in parts(users, len(nodes))]
    await asyncio.gather(
        *(producer.publish(share) for producer, share in zip(producers, shares, strict=True))
    )
    for number, swarm in enumerate(swarms):
        await swarm.wait_pushes(rounds * sum(n % len(nodes) == number for n in range(users)))
    seconds = time.perf_counter() - started
    clients = time.process_time() - clients
    for node in nodes:
        node.wait_settled()
    database = nodes[0].database_cpu_seconds - database
    cpu = sum(cost.per(rounds * users)[0] for cost in costs)
    for swarm, producer in zip(swarms, producers, strict=True):
        await swarm.close()
        await producer.close()
    kind = f"acknowledged delivery, {len(nodes)} node{'s' if len(nodes) > 1 else ''}"
    return [
        Row(f"{kind}, all nodes together", cpu, "µs CPU"),
        Row(f"{kind}, Postgres", database / (rounds * users) * 1e6, "µs CPU"),
        Row(f"{kind}, clients", clients / (rounds * users) * 1e6, "µs CPU"),
        Row(f"{kind}, rate", rounds * users / seconds, "1/s"),
    ]


def parts(count: int, of: int) -> list[range]:
    """`range(count)` cut into *of* consecutive pieces of about equal length."""
    ends = [count * number // of for number in range(of + 1)]
    return [range(start, end) for start, end in pairwise(ends)]


async def latency(nodes: Nodes) -> list[Row]:
    """Publish → push at 1 000 notifications a second: on one node, and from one node to another."""
    here, there = nodes
    alone = await latency_between(here, here, "a")
    between = await latency_between(here, there, "b")
    return [
        Row("publish → push at 1 000/s on one node, p99", alone, "ms"),
        Row("publish → push at 1 000/s between nodes, p99", between, "ms", 4 * alone),
    ]


async def latency_between(here: Server, there: Server, prefix: str) -> float:
    stopwatch = await Stopwatch(here, there, prefix, 500).open()
    await stopwatch.run(1000, after(5))
    return await stopwatch.p99()


CLUSTER_SCENARIOS: dict[str, ClusterScenario] = {
    "cluster-cross": ClusterScenario(cross, 2),
    "cluster-delivery-1": ClusterScenario(delivery, 1),
    "cluster-delivery-2": ClusterScenario(delivery, 2),
    "cluster-delivery-3": ClusterScenario(delivery, 3),
    "cluster-latency": ClusterScenario(latency, 2),
    "cluster-reconnect": ClusterScenario(cluster_storms.reconnect, 2),
    "cluster-drain": ClusterScenario(cluster_storms.drain, 3),
    "cluster-quiet": ClusterScenario(quiet_scenarios.quiet, 1, quiet_scenarios.SETTINGS),
}
