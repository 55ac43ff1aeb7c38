"""Scenarios of one node. Each starts on a fresh node and returns rows of the table."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench import (
    following,
    http_scenarios,
    inbox_scenarios,
    ingest_scenarios,
    paced_scenarios,
    spectating_scenarios,
)
from bench.measuring import Cost, Row, notification
from bench.producing import Producer
from bench.server import Server, token
from bench.swarm import Peer, Swarm


async def ingest_single(server: Server) -> list[Row]:
    """1 000 clients, each on a connection of its own, post one notification at once."""
    count = 1000
    connections = [
        await asyncio.open_connection("127.0.0.1", server.port, limit=4096) for _ in range(count)
    ]
    before = server.metric("tocsin_store_transactions_total")
    cost = Cost(server)
    await asyncio.gather(
        *(
            _post(reader, writer, notification([f"u{number}"]))
            for number, (reader, writer) in enumerate(connections)
        )
    )
    cpu, rate = cost.per(count)
    transactions = server.metric("tocsin_store_transactions_total") - before
    return [
        Row("single POST, connection included", cpu, "µs CPU"),
        Row("single POST, rate", rate, "1/s"),
        Row("transactions for 1 000 concurrent posts", transactions, "", 60),
    ]


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content: dict[str, object]
) -> None:
    body = json.dumps(content).encode()
    writer.write(
        b"POST /v1/notifications HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
        % (token("producer", "notify").encode(), len(body), body)
    )
    answer = await asyncio.wait_for(reader.read(), 60)
    assert answer.startswith(b"HTTP/1.1 201"), answer[:200]
    writer.close()


async def ingest_publish(server: Server) -> list[Row]:
    """One producer publishes 10 000 notifications over a WebSocket to users who are away."""
    count = 10_000
    producer = await Producer(server).connect()
    cost = Cost(server)
    await producer.publish([[f"u{n % 2000}"] for n in range(count)])
    cpu, rate = cost.per(count)
    await producer.close()
    return [Row("WebSocket publish", cpu, "µs CPU"), Row("WebSocket publish, rate", rate, "1/s")]


async def delivery(server: Server, users: int) -> list[Row]:
    """A notification each to *users* connected users: publish, push, ack, ledger."""
    rounds = max(2, 10_000 // users)
    swarm = Swarm(server)
    names = [f"u{n}" for n in range(users)]
    await swarm.connect([(name, "phone") for name in names])
    producer = await Producer(server).connect()
    server.wait_settled()
    cost = Cost(server)
    await producer.publish([[name] for _ in range(rounds) for name in names])
    await swarm.wait_pushes(rounds * users)
    server.wait_settled()
    cpu, _ = cost.per(rounds * users)
    everything = cost.with_database(rounds * users)
    await swarm.close()
    name = f"acknowledged delivery, {users} devices"
    return [
        Row(name, cpu, "µs CPU", 120),
        Row(f"{name}, with the database", everything, "µs CPU"),
    ]


async def fan_out(server: Server, users: int, *, acks: bool) -> list[Row]:
    """The same notification to *users* connected users, 1 000 of them to a post; ten times."""
    rounds = 10
    swarm = Swarm(server, acks=acks)
    names = [f"u{n}" for n in range(users)]
    await swarm.connect([(name, "phone") for name in names])
    producer = await Producer(server).connect()
    server.wait_settled()
    groups = [names[n : n + 1000] for n in range(0, users, 1000)]
    cost = Cost(server)
    for done in range(1, rounds + 1):
        await producer.publish(groups)
        await swarm.wait_pushes(done * users)
    if acks:
        server.wait_settled()
    cpu, rate = cost.per(rounds * users)
    everything = cost.with_database(rounds * users)
    await swarm.close()
    await producer.close()
    kind = "with acks" if acks else "without acks"
    return [
        Row(f"fan-out to {users} users {kind}", cpu, "µs CPU"),
        Row(f"fan-out to {users} users {kind}, with the database", everything, "µs CPU"),
        Row(f"fan-out to {users} users {kind}, rate", rate, "1/s"),
    ]


async def one_user(server: Server) -> list[Row]:
    """Twenty notifications to one user with 1 000 devices, all acknowledged."""
    devices, rounds = 1000, 20
    swarm = Swarm(server)
    await swarm.connect([("ada", f"device-{n}") for n in range(devices)])
    producer = await Producer(server).connect()
    server.wait_settled()
    cost = Cost(server)
    for done in range(1, rounds + 1):
        await producer.publish([["ada"]])
        await swarm.wait_pushes(done * devices)
    server.wait_settled()
    cpu, _ = cost.per(rounds * devices)
    await swarm.close()
    return [Row("one user, 1 000 devices, with acks", cpu, "µs CPU")]


async def replay(server: Server) -> list[Row]:
    """2 000 devices come back at once; each has missed ten notifications."""
    devices, missed = 2000, 10
    names = [f"u{n}" for n in range(devices)]
    first = Swarm(server)
    await first.connect([(name, "phone") for name in names])
    await first.close()
    groups = [names[n : n + 1000] for n in range(0, devices, 1000)]
    producer = await Producer(server).connect()
    for _ in range(missed):
        await producer.publish(groups)
    server.wait_settled()
    swarm = Swarm(server)
    queries = server.metric("tocsin_store_reads_total")
    started, cost = time.perf_counter(), Cost(server)
    await swarm.connect([(name, "phone") for name in names])
    seconds = time.perf_counter() - started
    await swarm.wait_pushes(devices * missed)
    server.wait_settled()
    cpu, _ = cost.per(devices * missed)
    batches = server.metric("tocsin_store_reads_total") - queries
    await swarm.close()
    return [
        Row("replay, per notification, connect and acks included", cpu, "µs CPU"),
        Row("replay, until all 2 000 are synced", seconds, "s"),
        Row("replay, read batches", batches, ""),
    ]


async def idle_memory(server: Server) -> list[Row]:
    """Resident memory per connected device that is silent."""
    devices = 5000
    warm = Swarm(server)
    await warm.connect([(f"w{n}", "phone") for n in range(200)])
    await warm.close()
    await asyncio.sleep(1)
    before = server.rss_bytes
    swarm = Swarm(server)
    await swarm.connect([(f"u{n}", "phone") for n in range(devices)])
    server.wait_settled()
    each = (server.rss_bytes - before) / devices / 1024
    await swarm.close()
    return [Row("RSS per idle device, at 5 000", each, "KiB", 45)]


async def ack_latency(server: Server) -> list[Row]:
    """The delays publish → push, and ack → pong of a ping sent behind the ack, at 200 a second."""
    rate, seconds, users = 200, 10, 200
    swarm = Swarm(server, acks=False)
    await swarm.connect([(f"u{n}", "phone") for n in range(users)])
    sent: dict[str, float] = {}
    acked: dict[Peer, float] = {}
    pushes: list[float] = []
    pongs: list[float] = []
    names = {peer: f"u{n}" for n, peer in enumerate(swarm.peers)}

    def on_frame(peer: Peer, payload: bytes) -> None:
        now = time.perf_counter()
        if payload.startswith(b'{"type":"push"'):
            pushes.append(now - sent[names[peer]])
            sequence = json.loads(payload)["sequence"]
            acked[peer] = now
            peer.send(b'{"type":"ack","sequence":%d}' % sequence)
            peer.send(b'{"type":"ping"}')
        elif payload == b'{"type":"pong"}':
            pongs.append(now - acked[peer])

    swarm.on_frame = on_frame
    producer = await Producer(server).connect()
    started = time.perf_counter()
    for number in range(rate * seconds):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        user = f"u{number % users}"
        sent[user] = time.perf_counter()
        producer.send([user])
    await swarm.wait_pushes(rate * seconds)
    await asyncio.sleep(0.2)
    await swarm.close()
    await producer.close()
    return [
        Row("publish → push at 200/s, p50", _quantile(pushes, 50), "ms"),
        Row("publish → push at 200/s, p99", _quantile(pushes, 99), "ms"),
        Row("ack round trip at 200/s, p50", _quantile(pongs, 50), "ms"),
        Row("ack round trip at 200/s, p99", _quantile(pongs, 99), "ms"),
    ]


def _quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] * 1000


async def writes(server: Server) -> list[Row]:
    """Twenty notifications to one user with 1 000 devices that do not acknowledge.

    One entry of the log serves a thousand pushes and the ledger's lines are held back, so the cost
    that remains is the way from the user's actor into the sockets.
    """
    devices, rounds = 1000, 20
    swarm = Swarm(server, acks=False)
    await swarm.connect([("ada", f"device-{n}") for n in range(devices)])
    producer = await Producer(server).connect()
    server.wait_settled()
    cost = Cost(server)
    for done in range(1, rounds + 1):
        await producer.publish([["ada"]])
        await swarm.wait_pushes(done * devices)
    cpu, rate = cost.per(rounds * devices)
    await swarm.close()
    return [
        Row("pure fan-out writes", cpu, "µs CPU", 15),
        Row("pure fan-out writes, rate", rate, "1/s"),
    ]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A coroutine that measures, and the settings that its node needs.

    *beside* starts what the node needs beside it, and gives more settings.
    """

    run: Callable[[Server], Coroutine[Any, Any, list[Row]]]
    settings: dict[str, str] = field(default_factory=dict)
    beside: Callable[[], AbstractContextManager[Mapping[str, str]]] = lambda: nullcontext({})


SCENARIOS: dict[str, Scenario] = {
    "single": Scenario(ingest_single),
    "posts": Scenario(http_scenarios.posts),
    "paced": Scenario(paced_scenarios.paced),
    "at-once": Scenario(paced_scenarios.at_once),
    "batch": Scenario(paced_scenarios.batch),
    **{
        f"ingest-{kind}": Scenario(
            partial(ingest_scenarios.ingest, kind), beside=partial(ingest_scenarios.beside, kind)
        )
        for kind in ("redis", "rabbitmq", "kafka", "sqs")
    },
    "pages": Scenario(http_scenarios.pages),
    "health": Scenario(http_scenarios.health),
    "metrics": Scenario(http_scenarios.metrics),
    "publish": Scenario(ingest_publish),
    "delivery-500": Scenario(lambda server: delivery(server, 500)),
    "delivery-5000": Scenario(lambda server: delivery(server, 5000)),
    "writes": Scenario(writes, {"ledger_linger": "10"}),
    "fan-out-1000": Scenario(lambda server: fan_out(server, 1000, acks=False)),
    "fan-out-5000": Scenario(lambda server: fan_out(server, 5000, acks=False)),
    "fan-out-acks-1000": Scenario(lambda server: fan_out(server, 1000, acks=True)),
    "fan-out-acks-5000": Scenario(lambda server: fan_out(server, 5000, acks=True)),
    "one-user": Scenario(one_user),
    "replay": Scenario(replay),
    "memory": Scenario(idle_memory),
    "latency": Scenario(ack_latency),
    "topic": Scenario(inbox_scenarios.topic),
    "inbox-pages": Scenario(inbox_scenarios.inbox_pages),
    "idle-polls": Scenario(inbox_scenarios.idle_polls),
    "streams": Scenario(following.streams),
    "polls": Scenario(following.polls),
    "poll-storm": Scenario(following.poll_storm),
    "connects": Scenario(following.connects),
    "first-connects": Scenario(following.first_connects),
    "spectator": Scenario(spectating_scenarios.spectating),
}
