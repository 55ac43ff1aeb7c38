"""A real node that carries receipts to a real broker: all of them, in order, whatever dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from servers.node import wait_until
from servers.tokens import ADMIN, bearer
from tests.broker_kit import QUEUES, Queue, until_taken
from tests.broker_servers_kit import broker_kafka, broker_rabbitmq, broker_redis, broker_sqs
from tests.system.person_kit import Person
from tests.system.server_kit import Server, fresh_user

__all__ = ["broker_kafka", "broker_rabbitmq", "broker_redis", "broker_sqs"]


@pytest.fixture(params=[*QUEUES])
def fed(request, tmp_path) -> Iterator[tuple[Server, Any]]:
    """A node that carries receipts to a queue of its own, as the sink `audit`."""
    server_name, kind = QUEUES[request.param]
    queue = kind(request.getfixturevalue(server_name))
    yield from carrying(tmp_path, queue)


def carrying(directory: Path, queue: Any) -> Iterator[tuple[Server, Any]]:
    environment = {"TOCSIN_SINKS": json.dumps({"audit": queue.sink_table()})}
    server = Server(directory, {"drain-time": 2}, environment=environment)
    try:
        server.start()
        # A sink starts at the head of the log, so it has to be there before what it is to tell.
        wait_until(lambda: shown(server), what="the sink")
        yield server, queue
    finally:
        server.close()


def shown(server: Server) -> dict[str, Any]:
    answer = server.http.get("/v1/admin/sinks", headers=bearer(ADMIN)).json()
    return next(iter(answer["sinks"]), {})


def delivered(server: Server, user: str, count: int) -> list[str]:
    """Notifications that a device of *user* has acknowledged, in order."""
    with server.device(user) as device:
        device.expect_synced()
        made = [server.producer().post(user, title=f"n{n}") for n in range(count)]
        for _ in made:
            device.ack(device.expect_push())
    return made


def all_delivered(server: Server, made: list[str]) -> bool:
    producer = server.producer()
    return all(producer.view(each)["counts"]["delivered"] == 1 for each in made)


def heard(queue: Queue, count: int) -> list[dict[str, Any]]:
    """The receipts that are in *queue*, *count* different ones, in order, each once."""
    found: dict[str, dict[str, Any]] = {}
    while len(found) < count:
        for message in trio.run(until_taken, queue, 1):
            receipt = msgspec.json.decode(message.body)
            assert message.headers["receipt-id"] == receipt["id"]
            assert message.headers["kind"] == receipt["kind"]
            found.setdefault(receipt["id"], receipt)
    return list(found.values())


def test_receipts_come_in_order_though_the_node_is_killed(fed):
    server, queue = fed
    user = fresh_user()
    made = delivered(server, user, 20)
    Person(server, user).mark("read", ids=[made[0]])
    first = heard(queue, 21)
    assert [each["notification"] for each in first if each["kind"] == "delivered"] == made
    assert [each["notification"] for each in first if each["kind"] == "read"] == made[:1]

    more = delivered(server, fresh_user(), 20)
    # What was acknowledged may linger for a moment before it is written.
    wait_until(lambda: all_delivered(server, more), what="the acknowledgments")
    server.kill()
    server.start()
    wait_until(lambda: shown(server)["behind"] == 0, what="the position to move")
    assert [each["notification"] for each in heard(queue, 20)] == more
    server.expect_no_bugs()


def test_a_sink_is_shown_paused_enabled_and_rewound(tmp_path, broker_redis):
    for server, queue in carrying(tmp_path, QUEUES["redis"][1](broker_redis)):
        path = "/v1/admin/sinks/audit"
        headers = bearer(ADMIN)
        line = shown(server)
        assert (line["name"], line["kind"], line["state"]) == ("audit", "redis", "active")
        assert server.http.post(f"{path}/pause", headers=headers).status_code == 204
        made = delivered(server, fresh_user(), 3)
        assert (shown(server)["state"], queue.server.execute("XLEN", queue.place.stream)) == (
            "paused",
            0,
        )
        assert server.http.post(f"{path}/enable", headers=headers).status_code == 204
        assert [each["notification"] for each in heard(queue, 3)] == made
        since = {"since": "2020-01-01T00:00:00Z"}
        again = server.http.post(f"{path}/rewind", json=since, headers=headers)
        assert again.status_code == 204
        assert [each["notification"] for each in heard(queue, 3)] == made
        missing = server.http.post("/v1/admin/sinks/none/pause", headers=headers)
        assert missing.status_code == 404
