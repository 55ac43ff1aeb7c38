"""The tables `[connectors.NAME]`: the brokers from which a node takes notifications.

    [connectors.orders]
    kind = "redis"
    url_file = "/run/secrets/redis"
    stream = "orders"

A key of a table is a `Setting` like any other, with a kind, bounds and a reason. A secret may stand
in a file instead, named by its key and `_file`. The variable `TOCSIN_CONNECTORS` takes the same
tables as JSON: `{"orders": {"kind": "redis", …}}`.

The readers raise `ValueError` with a text that completes "<key> …", as those of `kinds` do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from tocsin.settings.kinds import (
    COUNT,
    DURATION,
    SECRET,
    TEXT,
    Kind,
    choice,
    read_list,
    read_redis,
    read_text,
)
from tocsin.settings.service_urls import show_database, split_address
from tocsin.settings.setting import Setting, setting

NAME_PATTERN: Final = r"[a-z0-9][a-z0-9_-]{0,62}"
"""A connector's name stands in paths, labels and credentials."""
_NAME: Final = re.compile(NAME_PATTERN)
_CATEGORY: Final = re.compile(r"[A-Za-z0-9._:@-]{1,64}")
_SERVER: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_QUEUE_PATH: Final = re.compile(r"(/[A-Za-z0-9_-]{1,80}){1,3}(\.fifo)?")
_REGION: Final = re.compile(r"(?:^|\.)sqs\.([a-z0-9-]{2,40})\.|^([a-z0-9-]{2,40})\.queue\.")
"""The region in the host of a queue's address, in the present form and in the old one."""
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
CONNECTORS_MAX: Final = 64
"""Connectors of a node: each has a task, a loop and a connection."""
BATCH_MAX: Final = 1000
"""Messages of a batch: all are decoded and held in memory until they are stored."""


def read_flag(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip().lower() in ("true", "false"):
        return raw.strip().lower() == "true"
    raise ValueError(f"is {raw!r}, which is neither true nor false")


def read_categories(raw: object) -> tuple[str, ...]:
    categories = read_list(raw)
    if not categories or not all(map(_CATEGORY.fullmatch, categories)):
        raise ValueError("does not name categories")
    return tuple(dict.fromkeys(categories))


def read_age(raw: object) -> float | None:
    return None if raw == "none" else DURATION.read(raw)


def show_age(seconds: float | None) -> str:
    return "none" if seconds is None else DURATION.show(seconds)


FLAG: Final = Kind("true|false", "true or false", read_flag, lambda flag: str(flag).lower())
CATEGORIES: Final = Kind("list", 'categories such as ["orders"]', read_categories, ",".join)
AGE: Final = Kind("duration or none", "a duration such as 1d, or none", read_age, show_age)
NAME_IN_BROKER: Final = Kind("text", "the name that it has in the broker", read_text)
REDIS_URL: Final = Kind(
    "url", "redis://:password@host/number", read_redis, show_database, secret=True
)


def read_amqp(raw: object) -> str:
    text = read_text(raw)
    parts = split_address(text)
    if parts is None or parts[0] not in ("amqp", "amqps"):
        raise ValueError("is not an amqp:// or amqps:// address")
    return text


def read_servers(raw: object) -> tuple[str, ...]:
    servers = read_list(raw)
    if not servers or not all(map(_SERVER.fullmatch, servers)):
        raise ValueError("does not name brokers by host and port")
    return tuple(dict.fromkeys(servers))


def read_topics(raw: object) -> tuple[str, ...]:
    topics = read_list(raw)
    if not topics or not all(map(_TOPIC.fullmatch, topics)):
        raise ValueError("does not name topics")
    return tuple(dict.fromkeys(topics))


def read_queue_url(raw: object) -> str:
    text = read_text(raw)
    parts = split_address(text)
    if parts is None or parts[0] not in ("http", "https") or "@" in text:
        raise ValueError("is not an https:// address without a user")
    if not _QUEUE_PATH.fullmatch(parts[2]):
        raise ValueError("does not end in an account and a queue's name")
    return text


SERVERS: Final = Kind("list", 'brokers such as ["kafka-1:9092"]', read_servers, ",".join)
TOPICS: Final = Kind("list", 'topics such as ["notify"]', read_topics, ",".join)
QUEUE_URL: Final = Kind("url", "https://sqs.REGION.amazonaws.com/ACCOUNT/QUEUE", read_queue_url)
AMQP_URL: Final = Kind(
    "url", "amqp://user:password@host/vhost", read_amqp, show_database, secret=True
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorTable:
    """One table; its *name* is the table's. Durations are seconds."""

    KIND: ClassVar[str] = ""
    REQUIRED: ClassVar[tuple[str, ...]] = ()

    name: str

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
    # fmt: on

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitConnector(ConnectorTable):
    """A queue of RabbitMQ."""

    KIND: ClassVar[str] = "rabbitmq"
    REQUIRED: ClassVar[tuple[str, ...]] = ("url", "queue")

    # fmt: off
    url: str = setting("", AMQP_URL, "The broker: `amqp://` or `amqps://` (TLS), with user and "
        "password, and a virtual host as the path.")
    queue: str = setting("", NAME_IN_BROKER, "The queue. It has to be there, but with `declare`.")
    declare: bool = setting(False, FLAG,
        "The queue is made if it is missing: durable, and of the quorum type.")
    # fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnector(ConnectorTable):
    """Topics of Kafka."""

    KIND: ClassVar[str] = "kafka"
    REQUIRED: ClassVar[tuple[str, ...]] = ("servers", "topics")

    # fmt: off
    servers: tuple[str, ...] = setting((), SERVERS,
        "Brokers to begin with; they name the others.")
    topics: tuple[str, ...] = setting((), TOPICS,
        "The topics, which have to be there. Order is kept within each partition, and the nodes "
        "share the partitions, whatever `ordered` says.")
    group: str = setting("tocsin", NAME_IN_BROKER, "The consumer group.")
    start: str = setting("earliest", choice("earliest", "latest"),
        "Where a group without offsets begins. `latest` loses what was written before.")
    security: str = setting("plaintext", choice("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
        "How brokers are talked to.")
    sasl: str = setting("none", choice("none", "plain", "scram-sha-256", "scram-sha-512"),
        "How the user is known to the brokers, with `security` of a `sasl_` kind.")
    user: str = setting("", TEXT, "The user, with `sasl`.")
    password: str = setting("", SECRET, "The password, with `sasl`.")
    ca_file: str | None = setting(None, TEXT,
        "Certificate of the brokers' authority, if the system does not know it.")
    # fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsConnector(ConnectorTable):
    """A queue of SQS, or of a service that speaks its JSON protocol."""

    KIND: ClassVar[str] = "sqs"
    REQUIRED: ClassVar[tuple[str, ...]] = ("queue_url",)

    # fmt: off
    queue_url: str = setting("", QUEUE_URL,
        "The queue's address, at which it is also asked. All nodes take from it, whatever "
        "`ordered` says; a FIFO queue keeps the order within each message group.")
    region: str = setting("", TEXT, "The region, if the address does not name it.")
    access_key: str = setting("", TEXT,
        "The id of the access key. Without it, that of the variable `AWS_ACCESS_KEY_ID`.")
    secret_key: str = setting("", SECRET,
        "The secret of the access key. Without it, that of `AWS_SECRET_ACCESS_KEY`, with "
        "`AWS_SESSION_TOKEN` if there is one.")
    visibility: float = setting(60.0, DURATION,
        "Time for which a message that was taken is kept from other nodes; it is extended while "
        "the message is in hand.", 10.0, 12 * 3600.0)
    wait: float = setting(5.0, DURATION,
        "Time that one look into an empty queue waits: each is a request that AWS charges for, "
        "and a stop waits for its end.", 1.0, 20.0)
    pollers: int = setting(2, COUNT,
        "Requests at a time while a batch is gathered; of a FIFO queue one.", 1, 16)
    ca_file: str | None = setting(None, TEXT,
        "Certificate of the service's authority, if the system does not know it.")
    # fmt: on

    @property
    def region_of_queue(self) -> str:
        """The region, as given or as the address has it; `""` if neither says it."""
        found = _REGION.search(urlsplit(self.queue_url).hostname or "")
        return self.region or (found[1] or found[2] if found else "")


KINDS: Final[Mapping[str, type[ConnectorTable]]] = {
    each.KIND: each for each in (RabbitConnector, KafkaConnector, RedisConnector, SqsConnector)
}


def table_settings(kind: type[ConnectorTable]) -> dict[str, Setting]:
    """The keys of a table of *kind*, those of all kinds first."""
    return {
        each.name: replace(each.metadata["setting"], name=each.name)
        for each in fields(kind)
        if "setting" in each.metadata
    }


def read_connectors(raw: object) -> tuple[ConnectorTable, ...]:
    """The connectors of the tables *raw*, or of their JSON; raises `ValueError` with all faults."""
    if isinstance(raw, str):
        try:
            raw = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            raise ValueError("is not JSON") from None
    if not isinstance(raw, dict):
        raise ValueError("is not tables by name")  # noqa: TRY004 (as every kind does)
    if len(raw) > CONNECTORS_MAX:
        raise ValueError(f"has more than {CONNECTORS_MAX} tables")
    wrong: list[str] = []
    found = [_read_table(name, table, wrong) for name, table in raw.items()]
    if wrong:
        raise ValueError("cannot be used: " + "; ".join(wrong))
    return tuple(each for each in found if each is not None)


def show_connectors(connectors: tuple[ConnectorTable, ...]) -> str:
    """Names and kinds: what a table says beside them may be secret."""
    return ", ".join(f"{each.name} ({each.KIND})" for each in connectors)


CONNECTORS: Final = Kind(
    "tables",
    'tables [connectors.NAME], or JSON such as {"orders": {"kind": "redis", …}}',
    read_connectors,
    show_connectors,
    secret=True,
)


def _read_table(name: object, table: object, wrong: list[str]) -> ConnectorTable | None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        wrong.append(f"{str(name)[:64]!r} is no name of 1 to 63 characters of a-z 0-9 _ -")
        return None
    if not isinstance(table, dict):
        wrong.append(f"{name} is not a table")
        return None
    kind = KINDS.get(table.get("kind", ""))
    if kind is None:
        wrong.append(f"{name}.kind is not one of {', '.join(KINDS)}")
        return None
    faults = len(wrong)
    values: dict[str, Any] = dict(_values(name, kind, table, wrong))
    missing = [key for key in kind.REQUIRED if not {key, f"{key}_file"} & table.keys()]
    wrong.extend(f"{name}.{key} is missing" for key in missing)
    return kind(name=name, **values) if len(wrong) == faults else None


def _values(
    name: str, kind: type[ConnectorTable], table: Mapping[str, object], wrong: list[str]
) -> Iterator[tuple[str, object]]:
    """The values of *table* by key; what is wrong with them is added to *wrong*."""
    known = table_settings(kind)
    for key, raw in table.items():
        if key == "kind":
            continue
        try:
            if key in known:
                yield key, _checked(known[key], raw)
            elif (bare := key.removesuffix("_file")) != key and _may_be_in_file(known.get(bare)):
                yield bare, _checked(known[bare], _in_file(raw))
            else:
                wrong.append(f"{name}.{key} is no key of a connector of kind {kind.KIND}")
        except ValueError as error:
            wrong.append(f"{name}.{key} {error}")


def _may_be_in_file(known: Setting | None) -> bool:
    return known is not None and known.kind.secret


def _checked(known: Setting, raw: object) -> object:
    value: Any = known.kind.read(raw)
    if known.low is None or known.high is None or value is None:
        return value
    if not known.low <= value <= known.high:
        raise ValueError(f"is {known.kind.show(value)}; give {known.bounds}")
    return value


def _in_file(raw: object) -> str:
    path = read_text(raw)
    try:
        text = Path(path).read_bytes().decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"names the file {path!r}, which cannot be read: {reason}") from None
    return re.sub(r"\r?\n\Z", "", text)
