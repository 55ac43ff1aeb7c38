"""Servers of brokers that tests share, each started when the first test asks for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TypeVar

import pytest

from servers.elasticmq import ElasticMQ
from servers.jars import NoJava
from servers.kafka import Kafka
from servers.rabbitmq import NoErlang, RabbitMQ
from servers.redis import Redis

S = TypeVar("S", Redis, RabbitMQ, Kafka, ElasticMQ)


def running(server: S) -> Iterator[S]:
    """Start *server*, and close it at the end."""
    try:
        server.start()
        yield server
    finally:
        server.close()


def make_kafka() -> Kafka:
    """A Kafka that is not started. The test is skipped where there is no Java, but never in CI."""
    try:
        return Kafka()
    except NoJava as missing:
        if "CI" in os.environ:
            raise
        pytest.skip(str(missing))


def make_elasticmq() -> ElasticMQ:
    """An ElasticMQ that is not started. As with Kafka, the test may be skipped."""
    try:
        return ElasticMQ()
    except NoJava as missing:
        if "CI" in os.environ:
            raise
        pytest.skip(str(missing))


def make_rabbitmq() -> RabbitMQ:
    """A RabbitMQ that is not started. As with Kafka, the test may be skipped."""
    try:
        return RabbitMQ()
    except NoErlang as missing:
        if "CI" in os.environ:
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def broker_kafka() -> Iterator[Kafka]:
    yield from running(make_kafka())


@pytest.fixture(scope="session")
def broker_redis() -> Iterator[Redis]:
    yield from running(Redis(durable=True))


@pytest.fixture(scope="session")
def broker_rabbitmq() -> Iterator[RabbitMQ]:
    yield from running(make_rabbitmq())


@pytest.fixture(scope="session")
def broker_sqs() -> Iterator[ElasticMQ]:
    yield from running(make_elasticmq())
