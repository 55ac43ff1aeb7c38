"""From the tables of the settings to connectors: each table with the adapter of its broker.

An adapter, and the library behind it, is imported only if a table names its broker.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from tocsin.broker_access import kafka_brokers, needs, sqs_place, table_problem
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.sink import ConnectSink
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
        dead_letters=_dead_letters(table, faults),
    )


def _dead_letters(table: ConnectorTable, faults: LoopFaults) -> ConnectSink | None:
    """The place at the broker of *table* for messages that can never be stored, if there is one."""
    name = table.dead_place
    if name is None:
        return None
    if name in (table.taken_from, *getattr(table, "topics", ())):
        wrong = f"which moves messages back to {name}, from where it takes them"
        raise table_problem("connectors", table, wrong, "name another place in dead_letters_to")
    match table:
        case RedisConnector():
            from tocsin.persistence.brokers import redis_sink

            stream = redis_sink.StreamEnd(url=table.url, stream=name, length_max=None)
            return partial(redis_sink.connect_sink, stream, faults)
        case RabbitConnector():
            from tocsin.persistence.brokers import rabbitmq_sink

            exchange = rabbitmq_sink.ExchangePlace(
                url=table.url,
                exchange=table.dead_letter_exchange,
                routing_key=name,
                ca_file=table.ca_file,
            )
            return partial(rabbitmq_sink.connect_sink, exchange, faults)
        case KafkaConnector():
            from tocsin.persistence.brokers import kafka_sink

            topic = kafka_sink.TopicPlace(brokers=kafka_brokers(table), topic=name)
            return partial(kafka_sink.connect_sink, topic, faults)
        case SqsConnector():
            from tocsin.persistence.brokers import sqs_sink

            url = f"{table.queue_url.rpartition('/')[0]}/{name}"
            queue = replace(sqs_place("connectors", table, table), url=url)
            return partial(sqs_sink.connect_sink, queue)
        case _:
            raise AssertionError(table)


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
            with needs("connectors", "rabbitmq", table):
                from tocsin.persistence.brokers import rabbitmq

            queue = rabbitmq.QueuePlace(
                url=table.url,
                queue=table.queue,
                ordered=table.ordered,
                declare=table.declare,
                batch=table.batch,
                ca_file=table.ca_file,
            )
            return partial(rabbitmq.connect, queue, faults)
        case KafkaConnector():
            with needs("connectors", "kafka", table):
                from tocsin.persistence.brokers import kafka

            topics = kafka.TopicsPlace(
                brokers=kafka_brokers(table),
                topics=table.topics,
                group=table.group,
                start=table.start,
            )
            return partial(kafka.connect, topics, faults)
        case SqsConnector():
            from tocsin.persistence.brokers import sqs

            place_of_queue = replace(
                sqs_place("connectors", table, table),
                visibility=round(table.visibility),
                pollers=table.pollers,
            )
            return partial(sqs.connect, place_of_queue)
        case _:
            raise AssertionError(table)
