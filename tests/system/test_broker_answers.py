"""A producer behind a real broker hears what became of each of its messages, once, by their ids,
though node and broker are killed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from servers.node import wait_until
from tests.broker_kit import QUEUES, Queue, take
from tests.broker_servers_kit import broker_kafka, broker_rabbitmq, broker_redis, broker_sqs
from tests.system.server_kit import Server, fresh_user
from tests.system.test_connectors import body, has_stored, unread
from tests.system.test_sinks import shown

__all__ = ["broker_kafka", "broker_rabbitmq", "broker_redis", "broker_sqs"]

WAIT = 90.0
"""Seconds for all answers: a group of Kafka waits ten for a node that was killed."""
GROUP = 10
"""Messages that one correlation id has here, so that they can be put at once."""


@contextmanager
def answering(directory: Path, asked: Queue, answers: Queue) -> Iterator[Server]:
    """A node that takes from one queue and says in the other what became of each message."""
    sink = answers.sink_table() | {"events": ["accepted", "refused"]}
    environment = {
        "TOCSIN_CONNECTORS": json.dumps({"orders": asked.table() | {"batch": GROUP}}),
        "TOCSIN_SINKS": json.dumps({"answers": sink}),
    }
    server = Server(directory, {"drain-time": 2}, environment=environment)
    try:
        server.start()
        wait_until(lambda: shown(server), what="the sink")
        yield server
        server.expect_no_bugs()
    finally:
        server.close()


def put(queue: Queue, user: str, groups: int) -> None:
    """Put *groups* of messages; the first of each is poison."""
    for number in range(groups):
        good = (body(user, f"{number} {place}") for place in range(1, GROUP))
        queue.put(b"poison", *good, headers={"correlation-id": f"c{number}"})


async def heard(queue: Queue, count: int) -> list[dict[str, Any]]:
    """The receipts in *queue* until there are *count* of them, by their ids."""
    found: dict[str, dict[str, Any]] = {}
    with trio.fail_after(WAIT):
        async with queue.connect() as source:
            while len(found) < count:
                for message in await take(source, 1):
                    receipt = msgspec.json.decode(message.body)
                    assert message.headers["correlation-id"] == receipt["detail"]["correlation"]
                    found.setdefault(receipt["id"], receipt)
    return list(found.values())


def expect_one_answer_each(server: Server, answers: Queue, user: str, groups: int) -> None:
    found = trio.run(heard, answers, groups * GROUP)
    said = Counter((each["kind"], each["detail"]["correlation"]) for each in found)
    assert said == {
        (kind, f"c{number}"): count
        for number in range(groups)
        for kind, count in (("refused", 1), ("accepted", GROUP - 1))
    }
    ids = {each["notification"] for each in found if each["kind"] == "accepted"}
    assert len(ids) == unread(server, user) == groups * (GROUP - 1)
    one = next(iter(ids))
    assert server.producer().view(one)["state"] == "active"


@pytest.mark.parametrize("kind", QUEUES)
def test_a_producer_hears_of_each_message_whether_it_was_accepted(kind, request, tmp_path):
    server_name, make = QUEUES[kind]
    asked, answers = (make(request.getfixturevalue(server_name)) for _ in range(2))
    user = fresh_user()
    with answering(tmp_path, asked, answers) as server:
        put(asked, user, 2)
        expect_one_answer_each(server, answers, user, 2)


# The lease of a sink, and the place in a group of Kafka, outlive a node that was killed.
@pytest.mark.faults
@pytest.mark.parametrize("kind", QUEUES)
def test_it_hears_once_though_the_node_is_killed_twice(kind, request, tmp_path):
    server_name, make = QUEUES[kind]
    asked, answers = (make(request.getfixturevalue(server_name)) for _ in range(2))
    user, groups = fresh_user(), 40
    with answering(tmp_path, asked, answers) as server:
        put(asked, user, groups)
        for some in (groups, 3 * groups):
            wait_until(partial(has_stored, server, user, some))
            server.kill()
            server.start()
        expect_one_answer_each(server, answers, user, groups)
