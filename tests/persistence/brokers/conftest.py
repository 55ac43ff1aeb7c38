"""A queue of each kind."""

from __future__ import annotations

import pytest

from tests.broker_kit import QUEUES, InMemory, Queue
from tests.broker_servers_kit import broker_kafka, broker_rabbitmq, broker_redis, broker_sqs

__all__ = ["broker_kafka", "broker_rabbitmq", "broker_redis", "broker_sqs"]


@pytest.fixture(params=["memory", *QUEUES])
def queue(request) -> Queue:
    if request.param == "memory":
        return InMemory()
    server, kind = QUEUES[request.param]
    made: Queue = kind(request.getfixturevalue(server))
    return made
