"""Tables about brokers, `[connectors.NAME]` and `[sinks.NAME]`: what they have in common.

A key of a table is a `Setting` like any other, with a kind, bounds and a reason. A secret may stand
in a file instead, named by its key and `_file`. A variable takes the same tables as JSON:
`TOCSIN_CONNECTORS={"orders": {"kind": "redis", …}}`.

The readers raise `ValueError` with a text that completes "<key> …", as those of `kinds` do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from tocsin.settings.kinds import (
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
"""A table's name stands in paths, labels and credentials."""
_NAME: Final = re.compile(NAME_PATTERN)
_CATEGORY: Final = re.compile(r"[A-Za-z0-9._:@-]{1,64}")
_SERVER: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_QUEUE_PATH: Final = re.compile(r"(/[A-Za-z0-9_-]{1,80}){1,3}(\.fifo)?")
_REGION: Final = re.compile(r"(?:^|\.)sqs\.([a-z0-9-]{2,40})\.|^([a-z0-9-]{2,40})\.queue\.")
"""The region in the host of a queue's address, in the present form and in the old one."""
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
TABLES_MAX: Final = 64
"""Tables of one family: each has a task, a loop and a connection."""


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


FLAG: Final = Kind("true|false", "true or false", read_flag, lambda flag: str(flag).lower())
CATEGORIES: Final = Kind("list", 'categories such as ["orders"]', read_categories, ",".join)
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
class BrokerTable:
    """One table; its *name* is the table's. Durations are seconds."""

    KIND: ClassVar[str] = ""
    REQUIRED: ClassVar[tuple[str, ...]] = ()

    name: str


@dataclass(frozen=True, kw_only=True)
class RabbitAccess:
    """A broker of RabbitMQ, and as whom it is used."""

    # fmt: off
    url: str = setting("", AMQP_URL, "The broker: `amqp://` or `amqps://` (TLS), with user and "
        "password, and a virtual host as the path.")
    ca_file: str | None = setting(None, TEXT,
        "Certificate of the broker's authority, if the system does not know it; with `amqps://`.")
    # fmt: on


@dataclass(frozen=True, kw_only=True)
class KafkaAccess:
    """How the brokers of Kafka are found and talked to."""

    # fmt: off
    servers: tuple[str, ...] = setting((), SERVERS,
        "Brokers to begin with; they name the others.")
    security: str = setting("plaintext", choice("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
        "How brokers are talked to.")
    sasl: str = setting("none", choice("none", "plain", "scram-sha-256", "scram-sha-512"),
        "How the user is known to the brokers, with `security` of a `sasl_` kind.")
    user: str = setting("", TEXT, "The user, with `sasl`.")
    password: str = setting("", SECRET, "The password, with `sasl`.")
    ca_file: str | None = setting(None, TEXT,
        "Certificate of the brokers' authority, if the system does not know it.")
    # fmt: on


@dataclass(frozen=True, kw_only=True)
class SqsAccess:
    """A queue of SQS, and as whom it is used."""

    # fmt: off
    queue_url: str = setting("", QUEUE_URL,
        "The queue's address, at which it is also asked.")
    region: str = setting("", TEXT, "The region, if the address does not name it.")
    access_key: str = setting("", TEXT,
        "The id of the access key. Without it, that of the variable `AWS_ACCESS_KEY_ID`.")
    secret_key: str = setting("", SECRET,
        "The secret of the access key. Without it, that of `AWS_SECRET_ACCESS_KEY`, with "
        "`AWS_SESSION_TOKEN` if there is one.")
    credentials: str = setting("auto", choice("auto", "instance"),
        "Where they come from. `auto`: this table, else the variables, else the role that web "
        "identity or the container gives. `instance`: the role of the EC2 instance.")
    ca_file: str | None = setting(None, TEXT,
        "Certificate of the service's authority, if the system does not know it.")
    # fmt: on

    @property
    def region_of_queue(self) -> str:
        """The region, as given or as the address has it; `""` if neither says it."""
        found = _REGION.search(urlsplit(self.queue_url).hostname or "")
        return self.region or (found[1] or found[2] if found else "")


T = TypeVar("T", bound=BrokerTable)


def show_tables(tables: Iterable[BrokerTable]) -> str:
    """Names and kinds: what a table says beside them may be secret."""
    return ", ".join(f"{each.name} ({each.KIND})" for each in tables)


def table_settings(kind: type[BrokerTable]) -> dict[str, Setting]:
    """The keys of a table of *kind*, those of all kinds first."""
    return {
        each.name: replace(each.metadata["setting"], name=each.name)
        for each in fields(kind)
        if "setting" in each.metadata
    }


def read_tables(raw: object, kinds: Mapping[str, type[T]]) -> tuple[T, ...]:
    """The tables *raw*, or of their JSON, each of one of *kinds*; raises `ValueError` with all
    faults.
    """
    if isinstance(raw, str):
        try:
            raw = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            raise ValueError("is not JSON") from None
    if not isinstance(raw, dict):
        raise ValueError("is not tables by name")  # noqa: TRY004 (as every kind does)
    if len(raw) > TABLES_MAX:
        raise ValueError(f"has more than {TABLES_MAX} tables")
    wrong: list[str] = []
    found = [_read_table(name, table, kinds, wrong) for name, table in raw.items()]
    if wrong:
        raise ValueError("cannot be used: " + "; ".join(wrong))
    return tuple(each for each in found if each is not None)


def _read_table(
    name: object, table: object, kinds: Mapping[str, type[T]], wrong: list[str]
) -> T | None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        wrong.append(f"{str(name)[:64]!r} is no name of 1 to 63 characters of a-z 0-9 _ -")
        return None
    if not isinstance(table, dict):
        wrong.append(f"{name} is not a table")
        return None
    kind = kinds.get(table.get("kind", ""))
    if kind is None:
        wrong.append(f"{name}.kind is not one of {', '.join(kinds)}")
        return None
    faults = len(wrong)
    values: dict[str, Any] = dict(_values(name, kind, table, wrong))
    missing = [key for key in kind.REQUIRED if not {key, f"{key}_file"} & table.keys()]
    wrong.extend(f"{name}.{key} is missing" for key in missing)
    return kind(name=name, **values) if len(wrong) == faults else None


def _values(
    name: str, kind: type[BrokerTable], table: Mapping[str, object], wrong: list[str]
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
                wrong.append(f"{name}.{key} is no key of a table of kind {kind.KIND}")
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
