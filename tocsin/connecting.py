"""From the tables of the settings to connectors: each table with the adapter of its broker.

An adapter, and the library behind it, is imported only if a table names its broker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.source import Connect
from tocsin.server.connector_status import TAKE_WAIT, ConnectorTerms
from tocsin.settings import Settings
from tocsin.settings.connectors import (
    ConnectorTable,
    KafkaConnector,
    RabbitConnector,
    RedisConnector,
    SqsConnector,
)
from tocsin.settings.setting import SettingProblem, SettingsError

if TYPE_CHECKING:
    from tocsin.persistence.brokers.sqs_client import SqsPlace

_AWS_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_MS: Final = 1000
"""Milliseconds in a second: keys are kept by the former."""


def make_connectors(settings: Settings) -> tuple[ConnectorTerms, ...]:
    """The connectors that the settings have tables for; nothing is connected yet.

    Raises `SettingsError` if the library of a broker is not installed.
    """
    longer = settings.ingest_retention - settings.idempotency_retention
    return tuple(
        _terms(table, settings, round(max(0.0, longer) * _MS)) for table in settings.connectors
    )


def _terms(table: ConnectorTable, settings: Settings, key_longer_ms: int) -> ConnectorTerms:
    assert settings.node is not None, "the node is named before it is started"
    faults = LoopFaults()
    return ConnectorTerms(
        name=table.name,
        kind=table.KIND,
        connect=_connect(table, settings.node, faults),
        ordered=table.ordered,
        batch=table.batch,
        age_max=table.age_max,
        categories=frozenset(table.categories),
        key_longer_ms=key_longer_ms,
        wait=table.wait if isinstance(table, SqsConnector) else TAKE_WAIT,
        loop_faults=lambda: faults.count,
    )


def _connect(table: ConnectorTable, node: str, faults: LoopFaults) -> Connect:
    match table:
        case RedisConnector():
            from tocsin.persistence.brokers import redis_stream

            place = redis_stream.StreamPlace(
                url=table.url,
                stream=table.stream,
                group=table.group,
                ordered=table.ordered,
                delete=table.delete,
            )
            return partial(redis_stream.connect, place, node, faults)
        case RabbitConnector():
            with _needs("rabbitmq", table):
                from tocsin.persistence.brokers import rabbitmq

            queue = rabbitmq.QueuePlace(
                url=table.url,
                queue=table.queue,
                ordered=table.ordered,
                declare=table.declare,
                batch=table.batch,
            )
            return partial(rabbitmq.connect, queue, faults)
        case KafkaConnector():
            with _needs("kafka", table):
                from tocsin.persistence.brokers import kafka

            topics = kafka.TopicsPlace(
                servers=table.servers,
                topics=table.topics,
                group=table.group,
                start=table.start,
                security=table.security.upper(),
                sasl="" if table.sasl == "none" else table.sasl.upper(),
                user=table.user,
                password=table.password,
                ca_file=table.ca_file,
            )
            return partial(kafka.connect, topics, faults)
        case SqsConnector():
            from tocsin.persistence.brokers import sqs

            return partial(sqs.connect, _sqs_place(table))
        case _:
            raise AssertionError(table)


def _sqs_place(table: SqsConnector) -> SqsPlace:
    from tocsin.persistence.brokers.aws_signature import AwsCredentials
    from tocsin.persistence.brokers.sqs_client import SqsPlace

    if not table.region_of_queue:
        raise _problem(table, "whose region is not known", "name its region")
    if bool(table.access_key) != bool(table.secret_key):
        raise _problem(table, "which has one of access_key and secret_key", "give both, or neither")
    if table.access_key:
        credentials = AwsCredentials(table.access_key, table.secret_key)
    else:
        given = (os.environ.get(name, "") for name in _AWS_VARIABLES)
        credentials = AwsCredentials(*given)
    if not (credentials.key and credentials.secret):
        remedy = "give access_key and secret_key, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
        raise _problem(table, "which has no credentials", remedy)
    return SqsPlace(
        url=table.queue_url,
        region=table.region_of_queue,
        credentials=credentials,
        visibility=round(table.visibility),
        pollers=table.pollers,
        ca_file=table.ca_file,
    )


def _problem(table: ConnectorTable, wrong: str, remedy: str) -> SettingsError:
    text = f"name {table.name}, a {table.KIND}, {wrong}"
    return SettingsError(SettingProblem(("connectors",), text, f"{remedy}, or take the table out"))


@contextmanager
def _needs(extra: str, table: ConnectorTable) -> Iterator[None]:
    """Raise `SettingsError` if the block cannot import the library of the package's *extra*."""
    try:
        yield
    except ModuleNotFoundError as error:
        wrong, remedy = f"and {error.name} is not installed", f"pip install 'tocsin[{extra}]'"
        raise _problem(table, wrong, remedy) from error
