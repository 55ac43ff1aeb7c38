"""The tables `[connectors.NAME]`: the brokers from which a node takes notifications.

    [connectors.orders]
    kind = "redis"
    url_file = "/run/secrets/redis"
    stream = "orders"

The readers raise `ValueError` with a text that completes "<key> …", as those of `kinds` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from tocsin.settings.broker_tables import (
    CATEGORIES,
    FLAG,
    NAME_IN_BROKER,
    REDIS_URL,
    TOPICS,
    BrokerTable,
    KafkaAccess,
    RabbitAccess,
    SqsAccess,
    read_tables,
    show_tables,
)
from tocsin.settings.kinds import COUNT, DURATION, TEXT, Kind, choice
from tocsin.settings.setting import setting

BATCH_MAX: Final = 1000
"""Messages of a batch: all are decoded and held in memory until they are stored."""


def read_age(raw: object) -> float | None:
    return None if raw == "none" else DURATION.read(raw)


def show_age(seconds: float | None) -> str:
    return "none" if seconds is None else DURATION.show(seconds)


AGE: Final = Kind("duration or none", "a duration such as 1d, or none", read_age, show_age)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorTable(BrokerTable):
    """A broker from which notifications are taken."""

    # fmt: off
    ordered: bool = setting(True, FLAG,
        "One node at a time takes, in the broker's order. `false`: all nodes compete.")
    batch: int = setting(256, COUNT,
        "Messages taken at once, and stored in one transaction.", 1, BATCH_MAX)
    age_max: float | None = setting(None, AGE,
        "Messages older than this, by the broker's clock, become dead letters (`too_old`).",
        1.0, 3650 * 86400.0)
    categories: tuple[str, ...] = setting((), CATEGORIES,
        "Categories that may be posted; a message of another one becomes a dead letter "
        "(`forbidden`). Without it, all.")
    dead_letters: str = setting("store", choice("store", "broker"),
        "Where messages go that can never be stored: `store` keeps them as dead letters, `broker` "
        "moves them to `dead_letters_to`.")
    dead_letters_to: str = setting("", NAME_IN_BROKER,
        "The queue, topic or stream at the same broker to which they are moved. It has to be "
        "there, but a stream. Without it, the name of what is taken from with `.dead` behind; of a "
        "queue of SQS, `-dead`, in front of `.fifo`.")
    # fmt: on

    @property
    def taken_from(self) -> str:
        """The name of the place in the broker, the first if there are several."""
        raise NotImplementedError

    @property
    def dead_place(self) -> str | None:
        """The name of the place for messages that can never be stored, if it is at the broker."""
        if self.dead_letters == "store":
            return None
        return self.dead_letters_to or f"{self.taken_from}.dead"

    @property
    def credential(self) -> str:
        """The name under which this connector posts."""
        return f"connector:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisConnector(ConnectorTable):
    """A Redis Stream."""

    KIND: ClassVar[str] = "redis"
    REQUIRED: ClassVar[tuple[str, ...]] = ("url", "stream")

    # fmt: off
    url: str = setting("", REDIS_URL, "The Redis: `redis://` or `rediss://` (TLS).")
    stream: str = setting("", NAME_IN_BROKER, "The stream's key. It is made if it is missing.")
    group: str = setting("tocsin", NAME_IN_BROKER,
        "The consumer group, made from the stream's first entry on if it is missing.")
    delete: bool = setting(False, FLAG,
        "Entries are deleted (`XDEL`) once they are stored; otherwise trimming is the producer's.")
    # fmt: on

    @property
    def taken_from(self) -> str:
        return self.stream


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitConnector(RabbitAccess, ConnectorTable):
    """A queue of RabbitMQ."""

    KIND: ClassVar[str] = "rabbitmq"
    REQUIRED: ClassVar[tuple[str, ...]] = ("url", "queue")

    # fmt: off
    queue: str = setting("", NAME_IN_BROKER, "The queue. It has to be there, but with `declare`.")
    declare: bool = setting(False, FLAG,
        "The queue is made if it is missing: durable, and of the quorum type.")
    dead_letter_exchange: str = setting("", TEXT,
        "The exchange that moved messages go through, with `dead_letters_to` as their routing key. "
        "Without it the default one, in which that is a queue's name.")
    # fmt: on

    @property
    def taken_from(self) -> str:
        return self.queue


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnector(KafkaAccess, ConnectorTable):
    """Topics of Kafka."""

    KIND: ClassVar[str] = "kafka"
    REQUIRED: ClassVar[tuple[str, ...]] = ("servers", "topics")

    # fmt: off
    topics: tuple[str, ...] = setting((), TOPICS,
        "The topics, which have to be there. Order is kept within each partition, and the nodes "
        "share the partitions, whatever `ordered` says.")
    group: str = setting("tocsin", NAME_IN_BROKER, "The consumer group.")
    start: str = setting("earliest", choice("earliest", "latest"),
        "Where a group without offsets begins. `latest` loses what was written before.")
    # fmt: on

    @property
    def taken_from(self) -> str:
        return self.topics[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsConnector(SqsAccess, ConnectorTable):
    """A queue of SQS, or of a service that speaks its JSON protocol. All nodes take from it,
    whatever `ordered` says; a FIFO queue keeps the order within each message group.
    """

    KIND: ClassVar[str] = "sqs"
    REQUIRED: ClassVar[tuple[str, ...]] = ("queue_url",)

    # fmt: off
    visibility: float = setting(60.0, DURATION,
        "Time for which a message that was taken is kept from other nodes; it is extended while "
        "the message is in hand.", 10.0, 12 * 3600.0)
    wait: float = setting(5.0, DURATION,
        "Time that one look into an empty queue waits: each is a request that AWS charges for, "
        "and a stop waits for its end.", 1.0, 20.0)
    pollers: int = setting(2, COUNT,
        "Requests at a time while a batch is gathered; of a FIFO queue one.", 1, 16)
    # fmt: on

    @property
    def taken_from(self) -> str:
        return self.queue_url.rpartition("/")[2]

    @property
    def dead_place(self) -> str | None:
        # Names of queues have no dot but that of `.fifo`.
        if self.dead_letters == "store" or self.dead_letters_to:
            return super(SqsConnector, self).dead_place
        name, dot, fifo = self.taken_from.partition(".")
        return f"{name}-dead{dot}{fifo}"


KINDS: Final[Mapping[str, type[ConnectorTable]]] = {
    each.KIND: each for each in (RabbitConnector, KafkaConnector, RedisConnector, SqsConnector)
}


def read_connectors(raw: object) -> tuple[ConnectorTable, ...]:
    """The connectors of the tables *raw*, or of their JSON; raises `ValueError` with all faults."""
    return read_tables(raw, KINDS)


CONNECTORS: Final = Kind(
    "tables",
    'tables [connectors.NAME], or JSON such as {"orders": {"kind": "redis", …}}',
    read_connectors,
    show_tables,
    secret=True,
)
