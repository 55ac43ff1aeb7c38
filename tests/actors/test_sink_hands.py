"""Hands of forwarders: receipts as messages of a broker, and what a failure says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from tocsin.actors.sinks.hands import BrokerHand
from tocsin.actors.sinks.terms import SinkTerms, id_of
from tocsin.persistence.brokers.memory import MemoryQueue
from tocsin.persistence.sink import BrokerSink
from tocsin.persistence.source import SourceAway, SourceRefused
from tocsin.protocol.receipts.receipt import EVERYTHING, Receipt
from tocsin.protocol.receipts.sink import BatchTaken, ReceiverTrouble


class Broker:
    """A queue to which connections are made and counted; those that are open may be ended."""

    def __init__(self) -> None:
        self.queue = MemoryQueue()
        self.made = 0
        self.stale = False

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[BrokerSink]:
        self.made += 1
        self.stale = False
        async with self.queue.connect_sink() as sink:
            yield Ending(self, sink)


class Ending:
    """A connection that fails once its broker has said that it is stale."""

    def __init__(self, broker: Broker, sink: BrokerSink) -> None:
        self._broker = broker
        self._sink = sink

    async def carry(self, batch) -> None:
        if self._broker.stale:
            raise SourceAway("the connection has ended")
        await self._sink.carry(batch)


def hand(broker: Broker, **more: bool) -> BrokerHand:
    terms = SinkTerms(
        name="audit", kind="memory", connect=broker.connect, filter=EVERYTHING, batch_max=9, **more
    )
    return BrokerHand(terms, lambda: "e")


def receipt(position: int, user: str | None = "ada") -> Receipt:
    return Receipt(position, "read", f"n{position}", "default", user, None, None, 0, None)


async def taken(broker: Broker) -> list[tuple[str, dict[str, str]]]:
    async with broker.queue.connect() as source:
        batch = await source.take(99, 0.0)
        await source.done(batch)
    return [(msgspec.json.decode(each.body)["id"], dict(each.headers)) for each in batch]


async def test_receipts_are_messages_with_their_ids_and_the_first_one_tells_of_a_gap():
    broker = Broker()
    delivering = hand(broker)
    assert await delivering.carry([receipt(8), receipt(9)], (3, 7)) == BatchTaken()
    assert await taken(broker) == [
        ("e-8", {"receipt-id": "e-8", "kind": "read", "gap": "3-7"}),
        ("e-9", {"receipt-id": "e-9", "kind": "read"}),
    ]
    await delivering.aclose()


@pytest.mark.parametrize(
    ("kind", "correlation", "more"),
    [
        ("accepted", '"c1"', {"correlation-id": "c1"}),
        ("refused", '"c1"', {"correlation-id": "c1"}),
        ("refused", "null", {}),
        ("dead", '"c1"', {}),
    ],
)
async def test_an_answer_has_the_correlation_id_of_the_message(kind, correlation, more):
    broker = Broker()
    carrier = hand(broker)
    detail = f'{{"correlation":{correlation},"reason":"r"}}'
    answer = Receipt(1, kind, None, None, None, None, None, 0, detail)
    assert await carrier.carry([answer], None) == BatchTaken()
    assert await taken(broker) == [("e-1", {"receipt-id": "e-1", "kind": kind} | more)]
    await carrier.aclose()


async def test_a_connection_is_kept_and_one_that_has_ended_is_made_again():
    broker = Broker()
    delivering = hand(broker)
    assert await delivering.carry([receipt(1)], None) == BatchTaken()
    assert await delivering.carry([receipt(2)], None) == BatchTaken()
    assert broker.made == 1
    broker.stale = True
    assert await delivering.carry([receipt(3)], None) == BatchTaken()
    assert broker.made == 2
    assert [id_ for id_, _ in await taken(broker)] == ["e-1", "e-2", "e-3"]
    await delivering.aclose()


@pytest.mark.parametrize(
    ("error", "reason"),
    [(SourceAway("no answer"), "away: no answer"), (SourceRefused("x" * 999), "refused: xx")],
)
async def test_a_failure_is_trouble_of_the_receiver_with_its_reason(error, reason):
    broker = Broker()
    delivering = hand(broker)
    broker.queue.error = error
    verdict = await delivering.carry([receipt(1)], None)
    assert isinstance(verdict, ReceiverTrouble)
    assert verdict.reason.startswith(reason)
    assert len(verdict.reason) <= 200
    broker.queue.error = None
    assert await delivering.carry([receipt(1)], None) == BatchTaken()
    await delivering.aclose()


@pytest.mark.parametrize(
    ("by_notification", "user", "key"),
    [(False, "ada", "ada"), (False, None, "n1"), (True, "ada", "n1")],
)
async def test_messages_about_one_user_or_one_notification_have_one_key(by_notification, user, key):
    broker = Broker()
    keys: list[str] = []

    class Noting:
        async def carry(self, batch) -> None:
            keys.extend(each.key for each in batch)

    @asynccontextmanager
    async def connect() -> AsyncIterator[BrokerSink]:
        yield Noting()

    broker.connect = connect  # type: ignore[method-assign]
    delivering = hand(broker, by_notification=by_notification)
    await delivering.carry([receipt(1, user)], None)
    assert keys == [key]
    await delivering.aclose()


def test_ids_of_sinks_in_brokers_are_none_of_webhooks():
    assert id_of("audit") == "sink:audit"
