"""From the tables of the settings to sinks in brokers, each with the adapter of its broker."""

from __future__ import annotations

from functools import partial

from tocsin.actors.sinks.terms import SinkTerms
from tocsin.broker_access import kafka_brokers, needs, sqs_place
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.sink import ConnectSink
from tocsin.protocol.receipts.receipt import Filter
from tocsin.settings import Settings
from tocsin.settings.sinks import KafkaSink, RabbitSink, RedisSink, SinkTable, SqsQueueSink


def make_sinks(settings: Settings) -> tuple[SinkTerms, ...]:
    """The sinks that the settings have tables for; nothing is connected yet.

    Raises `SettingsError` if the library of a broker is not installed.
    """
    return tuple(
        SinkTerms(
            name=table.name,
            kind=table.KIND,
            connect=_connect(table),
            filter=Filter(table.events, table.categories),
            batch_max=table.batch,
            by_notification=table.key == "notification",
        )
        for table in settings.sinks
    )


def _connect(table: SinkTable) -> ConnectSink:
    faults = LoopFaults()
    match table:
        case RabbitSink():
            with needs("sinks", "rabbitmq", table):
                from tocsin.persistence.brokers import rabbitmq_sink

            exchange = rabbitmq_sink.ExchangePlace(
                url=table.url,
                exchange=table.exchange,
                routing_key=table.routing_key,
                ca_file=table.ca_file,
            )
            return partial(rabbitmq_sink.connect_sink, exchange, faults)
        case KafkaSink():
            with needs("sinks", "kafka", table):
                from tocsin.persistence.brokers import kafka_sink

            topic = kafka_sink.TopicPlace(brokers=kafka_brokers(table), topic=table.topic)
            return partial(kafka_sink.connect_sink, topic, faults)
        case RedisSink():
            from tocsin.persistence.brokers import redis_sink

            stream = redis_sink.StreamEnd(
                url=table.url, stream=table.stream, length_max=table.length_max or None
            )
            return partial(redis_sink.connect_sink, stream, faults)
        case SqsQueueSink():
            from tocsin.persistence.brokers import sqs_sink

            return partial(sqs_sink.connect_sink, sqs_place("sinks", table, table))
        case _:
            raise AssertionError(table)
