"""What is measured of several nodes: what it costs that a user is on another one.

Nodes, Postgres, Redis and the clients share one machine, so wall figures of several nodes say
little; what counts is the CPU of each node.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from bench.measuring import Cost, Row
from bench.scenarios import Producer
from bench.server import Server
from bench.swarm import Peer, Swarm

_READY_TIMEOUT: Final = 20.0

Nodes = Sequence[Server]


@dataclass(frozen=True, slots=True)
class ClusterScenario:
    """What to run, and on how many nodes."""

    run: Callable[[Nodes], Coroutine[Any, Any, list[Row]]]
    nodes: int


@contextmanager
def open_nodes(count: int, database: str, redis: str) -> Iterator[list[Server]]:
    """*count* nodes on these services, all of them hearing each other."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(Server(database, redis=redis, node=f"node-{number}"))
            for number in range(1, count + 1)
        ]
        deadline = time.monotonic() + _READY_TIMEOUT
        while not all(is_whole(node) for node in nodes):
            assert time.monotonic() < deadline, "the nodes do not hear each other"
            time.sleep(0.05)
        yield nodes


def is_whole(node: Server) -> bool:
    """Every hop of *node* works."""
    with urllib.request.urlopen(node.url + "/readyz", timeout=10) as answer:
        return bool(json.load(answer)["status"] == "ok")


async def cross(nodes: Nodes) -> list[Row]:
    """10 000 notifications posted on one node, pushed on another, at full load.

    What the way between them costs on the first is what they cost more than notifications to users
    who are away.
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
    """10 000 acknowledged deliveries to 1 000 users, spread over all nodes, as are the posts."""
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
    # Each producer posts to users of all nodes: with three, two of three recipients are elsewhere.
    shares = [[[f"u{n}"] for n in part] * rounds for part in parts(users, len(nodes))]
    await asyncio.gather(
        *(producer.publish(share) for producer, share in zip(producers, shares, strict=True))
    )
    for number, swarm in enumerate(swarms):
        await swarm.wait_pushes(rounds * sum(n % len(nodes) == number for n in range(users)))
    seconds = time.perf_counter() - started
    for node in nodes:
        node.wait_settled()
    cpu = sum(cost.per(rounds * users)[0] for cost in costs)
    for swarm, producer in zip(swarms, producers, strict=True):
        await swarm.close()
        await producer.close()
    kind = f"acknowledged delivery, {len(nodes)} node{'s' if len(nodes) > 1 else ''}"
    return [
        Row(f"{kind}, all nodes together", cpu, "µs CPU"),
        Row(f"{kind}, rate", rounds * users / seconds, "1/s"),
    ]


def parts(count: int, of: int) -> list[range]:
    """`range(count)` in *of* pieces, one after the other."""
    ends = [count * number // of for number in range(of + 1)]
    return [range(start, end) for start, end in pairwise(ends)]


class Stopwatch:
    """Publish → push, through *here*, to *count* users with a device each on *there*."""

    def __init__(self, here: Server, there: Server, prefix: str, count: int) -> None:
        self._names = [f"{prefix}{number}" for number in range(count)]
        self._sent: dict[str, list[float]] = {name: [] for name in self._names}
        self._taken: list[float] = []
        self._whose: dict[Peer, str] = {}
        self._count = 0
        self._swarm = Swarm(there)
        self._producer = Producer(here)

    async def open(self) -> Stopwatch:
        await self._swarm.connect([(name, "phone") for name in self._names])
        self._whose = dict(zip(self._swarm.peers, self._names, strict=True))
        self._swarm.on_frame = self._on_frame
        await self._producer.connect()
        return self

    async def run(self, rate: int, until: Callable[[], bool]) -> None:
        """Publish *rate* times a second, whatever comes back."""
        started, number = time.perf_counter(), 0
        while not until():
            name = self._names[self._count % len(self._names)]
            self._sent[name].append(time.perf_counter())
            self._producer.send([name])
            self._count, number = self._count + 1, number + 1
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))

    async def p99(self) -> float:
        """The 99th percentile in milliseconds, when all have come; the end of it."""
        await self._swarm.wait_pushes(self._count)
        await self._swarm.close()
        await self._producer.close()
        return statistics.quantiles(self._taken, n=100)[98] * 1000

    def _on_frame(self, peer: Peer, payload: bytes) -> None:
        if payload.startswith(b'{"type":"push"'):
            self._taken.append(time.perf_counter() - self._sent[self._whose[peer]].pop(0))


async def latency(nodes: Nodes) -> list[Row]:
    """Publish → push at 1 000 a second: on one node, and from one to another."""
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


async def reconnect(nodes: Nodes) -> list[Row]:
    """5 000 devices come back on the other node when theirs has been killed.

    Meanwhile a hundred others there are pushed 200 notifications a second.
    """
    here, dying = nodes
    lost = [(f"lost{number}", "phone") for number in range(5000)]
    homeless, back = Swarm(dying), Swarm(here)
    await homeless.connect(lost)
    before = await Stopwatch(here, here, "q", 100).open()
    await before.run(200, after(5))
    quiet = await before.p99()
    meanwhile = await Stopwatch(here, here, "s", 100).open()
    dying.kill()
    await homeless.close()
    started = time.perf_counter()
    storm = asyncio.ensure_future(back.connect(lost))
    storm.add_done_callback(lambda _: times.append(time.perf_counter() - started))
    times: list[float] = []
    await meanwhile.run(200, storm.done)
    await storm
    await back.close()
    return [
        Row("5 000 devices of a dead node, until all have caught up", times[0], "s"),
        Row("publish → push to others before, p99", quiet, "ms"),
        Row("publish → push to others meanwhile, p99", await meanwhile.p99(), "ms", 5 * quiet),
    ]


def after(seconds: float) -> Callable[[], bool]:
    """True from *seconds* from now on."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end


CLUSTER_SCENARIOS: dict[str, ClusterScenario] = {
    "cluster-cross": ClusterScenario(cross, 2),
    "cluster-delivery-1": ClusterScenario(delivery, 1),
    "cluster-delivery-2": ClusterScenario(delivery, 2),
    "cluster-delivery-3": ClusterScenario(delivery, 3),
    "cluster-latency": ClusterScenario(latency, 2),
    "cluster-reconnect": ClusterScenario(reconnect, 2),
}
