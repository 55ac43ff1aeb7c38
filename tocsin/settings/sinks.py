"""The tables `[sinks.NAME]`: the brokers to which receipts are carried.

    [sinks.audit]
    kind = "kafka"
    servers = ["kafka-1:9092"]
    topic = "receipts"

The readers raise `ValueError` with a text that completes "<key> …", as those of `kinds` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from tocsin.protocol.receipts.receipt import BATCH_MAX, USUAL, ReceiptKind
from tocsin.settings.broker_tables import (
    CATEGORIES,
    NAME_IN_BROKER,
    REDIS_URL,
    BrokerTable,
    KafkaAccess,
    RabbitAccess,
    SqsAccess,
    read_tables,
    show_tables,
)
from tocsin.settings.kinds import COUNT, TEXT, Kind, choice, read_list
from tocsin.settings.setting import setting

_EVENTS: Final = tuple(kind.value for kind in ReceiptKind)
_LENGTH_MAX: Final = 1_000_000_000
"""Entries of a stream: more than any Redis has memory for."""


def read_events(raw: object) -> tuple[str, ...]:
    events = read_list(raw)
    if not events or not set(events) <= set(_EVENTS):
        raise ValueError(f"does not name kinds of receipts: {', '.join(_EVENTS)}")
    return tuple(dict.fromkeys(events))


EVENTS: Final = Kind("list", f"kinds such as {list(_EVENTS[:2])}", read_events, ",".join)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkTable(BrokerTable):
    """A broker to which receipts are carried."""

    # fmt: off
    events: tuple[str, ...] = setting(USUAL.events, EVENTS,
        "The kinds of receipts that it gets. `accepted` and `refused`, answers to messages that a "
        "connector took, have to be named.")
    categories: tuple[str, ...] = setting((), CATEGORIES,
        "The categories whose receipts it gets. Without it, all.")
    batch: int = setting(BATCH_MAX, COUNT,
        "Receipts carried at once; each is a message of its own.", 1, BATCH_MAX)
    key: str = setting("user", choice("user", "notification"),
        "Messages about one of these keep their order where a broker has order only within "
        "partitions or groups.")
    # fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitSink(RabbitAccess, SinkTable):
    """An exchange of RabbitMQ."""

    KIND: ClassVar[str] = "rabbitmq"
    REQUIRED: ClassVar[tuple[str, ...]] = ("url",)

    # fmt: off
    exchange: str = setting("", TEXT, "The exchange, which has to be there. Without it the default "
        "one, in which a routing key is a queue's name.")
    routing_key: str = setting("receipts.{kind}", NAME_IN_BROKER,
        "The routing key; `{kind}` stands for the receipt's kind.")
    # fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSink(KafkaAccess, SinkTable):
    """A topic of Kafka."""

    KIND: ClassVar[str] = "kafka"
    REQUIRED: ClassVar[tuple[str, ...]] = ("servers", "topic")

    # fmt: off
    topic: str = setting("", NAME_IN_BROKER, "The topic, which has to be there.")
    # fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSink(SinkTable):
    """A Redis Stream."""

    KIND: ClassVar[str] = "redis"
    REQUIRED: ClassVar[tuple[str, ...]] = ("url", "stream")

    # fmt: off
    url: str = setting("", REDIS_URL, "The Redis: `redis://` or `rediss://` (TLS).")
    stream: str = setting("", NAME_IN_BROKER, "The stream's key. It is made if it is missing.")
    length_max: int = setting(0, COUNT,
        "About how many entries the stream keeps; 0 trims nothing.", 0, _LENGTH_MAX)
    # fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsQueueSink(SqsAccess, SinkTable):
    """A queue of SQS, or of a service that speaks its JSON protocol."""

    KIND: ClassVar[str] = "sqs"
    REQUIRED: ClassVar[tuple[str, ...]] = ("queue_url",)


SINK_KINDS: Final[Mapping[str, type[SinkTable]]] = {
    each.KIND: each for each in (RabbitSink, KafkaSink, RedisSink, SqsQueueSink)
}


def read_sinks(raw: object) -> tuple[SinkTable, ...]:
    """The sinks of the tables *raw*, or of their JSON; raises `ValueError` with all faults."""
    return read_tables(raw, SINK_KINDS)


SINKS: Final = Kind(
    "tables",
    'tables [sinks.NAME], or JSON such as {"audit": {"kind": "redis", …}}',
    read_sinks,
    show_tables,
    secret=True,
)
