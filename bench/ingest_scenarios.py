"""Notifications from a broker beside those of HTTP batches, on one node and in turns.

The broker is filled while the node is stopped (SIGSTOP), so what is measured is the taking. Users
are not connected: only the way into the log counts.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import pamqp.commands

from bench.inbox_scenarios import Caller
from bench.measuring import Cost, Row, notification
from bench.server import Server
from servers.elasticmq import REGION, ElasticMQ
from servers.kafka import Kafka
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis

_ROUNDS: Final = 4  # measured rounds; one before them warms up
_MESSAGES: Final = 4000
"""Notifications of a round, from the broker and by HTTP."""
_ITEMS: Final = 500
"""Items of one HTTP batch."""
_PLACE: Final = "bench"
_PATIENCE: Final = 120.0
"""Seconds for the taking of one round."""
_FILL: Final = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'body', ARGV[2]) end"

Fill = Callable[[bytes, int], None]
"""Puts a body into a broker so many times."""


class Brokers:
    """The brokers that were started for scenarios, by their kind: how each is filled."""

    def __init__(self) -> None:
        self.fills: dict[str, Fill] = {}

    @contextmanager
    def redis(self) -> Iterator[Mapping[str, object]]:
        server = Redis()
        with _running(server):
            self.fills["redis"] = lambda body, count: server.execute(
                "EVAL", _FILL, 1, _PLACE, count, body.decode()
            )
            yield {"url": server.url, "stream": _PLACE}

    @contextmanager
    def rabbitmq(self) -> Iterator[Mapping[str, object]]:
        server = RabbitMQ()
        with _running(server):
            server.declare(_PLACE)
            self.fills["rabbitmq"] = lambda body, count: server.work(partial(_publish, body, count))
            yield {"url": server.url, "queue": _PLACE}

    @contextmanager
    def kafka(self) -> Iterator[Mapping[str, object]]:
        server = Kafka()
        with _running(server):
            server.create_topic(_PLACE)
            self.fills["kafka"] = lambda body, count: server.send(partial(_send, body, count))
            yield {"servers": [f"127.0.0.1:{server.port}"], "topics": [_PLACE]}

    @contextmanager
    def sqs(self) -> Iterator[Mapping[str, object]]:
        server = ElasticMQ()
        with _running(server):
            server.call("CreateQueue", QueueName=_PLACE)
            queue = {"queue_url": f"{server.url}/000000000000/{_PLACE}", "region": REGION}
            self.fills["sqs"] = partial(_send_in_tens, server, queue["queue_url"])
            yield queue | {"access_key": "key", "secret_key": "secret"}


BROKERS: Final = Brokers()


@contextmanager
def beside(kind: str) -> Iterator[Mapping[str, str]]:
    """Start a broker of *kind*; the settings of a node that takes from it."""
    with getattr(BROKERS, kind)() as table:
        yield {"connectors": json.dumps({_PLACE: {"kind": kind, **table}})}


async def ingest(kind: str, server: Server) -> list[Row]:
    """Rounds of four thousand notifications, in turns from the broker and by HTTP batches."""
    costs: dict[str, list[tuple[float, float]]] = {"broker": [], "batch": []}
    for done in range(1 + _ROUNDS):
        taken = await _take(server, kind, (done + 1) * _MESSAGES)
        posted = await _post(server)
        if done:  # the first round warms up
            costs["broker"].append(taken)
            costs["batch"].append(posted)
    cpu = {way: sum(each for each, _ in several) / _ROUNDS for way, several in costs.items()}
    rate = {way: _ROUNDS / sum(1 / each for _, each in several) for way, several in costs.items()}
    return [
        Row(f"a message of {kind}", cpu["broker"], "µs CPU"),
        Row(f"an item of a batch, beside {kind}", cpu["batch"], "µs CPU"),
        Row(f"messages of {kind}", rate["broker"], "1/s"),
        Row(f"items of batches, beside {kind}", rate["batch"], "1/s"),
        Row(f"rate of {kind}, of the batch's", 100 * rate["broker"] / rate["batch"], "%"),
    ]


async def _take(server: Server, kind: str, accepted: int) -> tuple[float, float]:
    body = json.dumps(notification(["ada"])).encode()
    with server.stopped():
        await asyncio.to_thread(BROKERS.fills[kind], body, _MESSAGES)
        cost = Cost(server)
    async with asyncio.timeout(_PATIENCE):
        while await asyncio.to_thread(_accepted, server) < accepted:  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # waits for: the node, which is asked something cheap
    return cost.per(_MESSAGES)


def _accepted(server: Server) -> int:
    """The messages that the connector has had stored. (Its metrics would cost milliseconds.)"""
    [connector] = json.loads(server.admin("/v1/admin/connectors"))["connectors"]
    return int(connector["accepted"])


async def _post(server: Server) -> tuple[float, float]:
    # A connection for each round: an idle one is closed while the broker is being filled.
    caller = await Caller("producer", "notify").connect(server)
    # With keys, as messages of brokers have them: each is a row in the store.
    batches = [
        [notification(["ada"]) | {"idempotency_key": str(uuid.uuid4())} for _ in range(_ITEMS)]
        for _ in range(_MESSAGES // _ITEMS)
    ]
    cost = Cost(server)
    for items in batches:
        await caller.call("POST", "/v1/notifications/batch", items)
    taken = cost.per(_MESSAGES)
    caller.close()
    return taken


@contextmanager
def _running(server: Redis | RabbitMQ | Kafka | ElasticMQ) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.close()


async def _publish(body: bytes, count: int, channel: Any) -> None:
    async def publish() -> None:
        properties = pamqp.commands.Basic.Properties(message_id=str(uuid.uuid4()))
        await channel.basic_publish(body, routing_key=_PLACE, properties=properties)

    await asyncio.gather(*(publish() for _ in range(count)))


async def _send(body: bytes, count: int, producer: Any) -> None:
    sent: list[Awaitable[object]] = [await producer.send(_PLACE, body) for _ in range(count)]
    await asyncio.gather(*sent)


def _send_in_tens(server: ElasticMQ, queue: str, body: bytes, count: int) -> None:
    for _ in range(count // 10):
        entries = [{"Id": str(number), "MessageBody": body.decode()} for number in range(10)]
        server.call("SendMessageBatch", QueueUrl=queue, Entries=entries)
