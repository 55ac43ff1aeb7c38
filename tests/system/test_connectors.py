"""A real node that takes from a real broker: each message once, in order, whatever dies."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from servers.node import wait_until
from servers.tokens import ADMIN, bearer, token
from tests.actors.tracing_kit import attributes_of
from tests.broker_kit import QUEUES, Queue, until_taken
from tests.broker_servers_kit import (
    broker_kafka,
    broker_rabbitmq,
    broker_redis,
    broker_sqs,
    running,
)
from tests.persistence.brokers.test_source_faults import DURABLE, SERVERS
from tests.system.collector_kit import CollectorServer
from tests.system.server_kit import Server, fresh_user

COUNT = 1200
"""Messages: enough for a node to be killed in the middle of them."""

__all__ = ["broker_kafka", "broker_rabbitmq", "broker_redis", "broker_sqs"]


@pytest.fixture(scope="module")
def collector() -> Iterator[CollectorServer]:
    with CollectorServer() as collector:
        yield collector


@pytest.fixture(params=[*QUEUES])
def fed(request, tmp_path, collector: CollectorServer) -> Iterator[tuple[Server, Any]]:
    """A node that takes from a queue of its own, as the connector `orders`."""
    server_name, kind = QUEUES[request.param]
    queue = kind(request.getfixturevalue(server_name))
    yield from serving(tmp_path, queue, {"trace-url": collector.url})


def serving(
    directory: Path, queue: Any, settings: dict[str, object] | None = None, **more: object
) -> Iterator[tuple[Server, Any]]:
    tables = {"orders": queue.table() | more}
    environment = {"TOCSIN_CONNECTORS": json.dumps(tables)}
    server = Server(directory, {"drain-time": 2, **(settings or {})}, environment=environment)
    try:
        server.start()
        yield server, queue
    finally:
        server.close()


def body(user: str, title: object, **more: object) -> bytes:
    return json.dumps({"to": {"users": [user]}, "title": str(title)} | more).encode()


def unread(server: Server, user: str) -> int:
    answer = server.http.get("/v1/inbox", params={"limit": 1}, headers=bearer(token(user)))
    count: int = answer.json()["unread"]
    return count


def has_stored(server: Server, user: str, count: int) -> bool:
    return unread(server, user) >= count


def titles(server: Server, user: str) -> list[str]:
    """The titles in the user's log, in their order. Not to be asked for again and again: the device
    acknowledges nothing, and would be given up.
    """
    found: dict[str, str] = {}
    cursor = "0"
    while True:
        query: dict[str, str | int] = {"cursor": cursor, "limit": 1000, "device": "x", "wait": 0}
        answer = server.http.get(
            "/v1/inbox/changes", params=query, headers=bearer(token(user))
        ).json()
        for each in answer["changes"]:
            found[each["notification"]["id"]] = each["notification"]["title"]
        cursor = answer["cursor"]
        if not answer["more"]:
            return list(found.values())


def line(server: Server) -> dict[str, Any]:
    answer = server.http.get("/v1/admin/connectors", headers=bearer(ADMIN))
    [shown] = answer.json()["connectors"]
    found: dict[str, Any] = shown
    return found


def letters(server: Server, **query: Any) -> list[dict[str, Any]]:
    answer = server.http.get("/v1/admin/dead-letters", params=query, headers=bearer(ADMIN))
    listed: list[dict[str, Any]] = answer.json()["dead_letters"]
    return listed


def test_messages_reach_the_inbox_in_order_and_poison_becomes_letters(fed):
    server, queue = fed
    user = fresh_user()
    queue.put(*(body(user, number) for number in range(50)))
    queue.put(b"no json", headers={"correlation-id": "c1"})
    queue.put(*(body(user, number) for number in range(50, 100)))

    wait_until(lambda: line(server)["taken"] == 101)
    wait_until(lambda: line(server)["state"] == "idle")
    assert titles(server, user) == [str(number) for number in range(100)]
    [letter] = letters(server)
    assert (letter["kind"], letter["connector"], letter["cause"]) == ("ingest", "orders", "refused")
    whole = server.http.get(f"/v1/admin/dead-letters/{letter['id']}", headers=bearer(ADMIN)).json()
    assert whole["message"]["body"] == "no json"
    assert whole["message"]["headers"]["correlation-id"] == "c1"
    assert whole["problem"]["code"] == "malformed"
    assert server.metric('tocsin_ingest_refused_total{connector="orders"}') == 1
    assert server.metric('tocsin_ingest_state{connector="orders",state="idle"}') == 1
    assert server.http.get("/readyz").json()["hops"]["connectors"] == "ok"
    server.expect_sound()


def test_a_post_goes_on_in_the_trace_of_its_messages_header(fed, collector):
    server, queue = fed
    trace = secrets.token_hex(16)
    queue.put(
        body(fresh_user(), "traced"), headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    )

    def of_this(name: str) -> list[Span]:
        return [each for each in collector.spans(name) if each.trace_id.hex() == trace]

    (publish,) = wait_until(lambda: of_this("publish"), what="the span of the post")
    assert publish.parent_span_id.hex() == "00f067aa0ba902b7"
    assert attributes_of(publish)["tocsin.via"] == "broker"
    assert server.metric('tocsin_publish_seconds_count{via="broker"}') == 1


@pytest.mark.parametrize("kind", QUEUES)
def test_poison_is_moved_to_a_place_at_the_broker_with_its_reason(kind, request, tmp_path):
    server_name, make = QUEUES[kind]
    queue, graves = (make(request.getfixturevalue(server_name)) for _ in range(2))
    user = fresh_user()
    more = {"dead_letters": "broker", "dead_letters_to": graves.name}
    for server, _ in serving(tmp_path, queue, **more):
        queue.put(body(user, "before"))
        queue.put(b"no json", b"{}", headers={"correlation-id": "c1", "x": "y"})
        queue.put(body(user, "after"))
        wait_until(partial(has_stored, server, user, 2))
        first, second = trio.run(until_taken, graves, 2)
        assert (first.body, second.body) == (b"no json", b"{}")
        assert first.headers["tocsin-problem"] == "malformed"
        assert second.headers["tocsin-problem"] == "invalid"
        assert first.headers["tocsin-reason"].startswith("The request could not be read: ")
        assert (first.correlation, first.headers["x"]) == ("c1", "y")
        assert letters(server) == []
        lines = letters(server, status="all", kind="ingest")
        assert [each["status"] for each in lines] == ["discarded", "discarded"]
        assert first.headers["tocsin-place"] in {each["place"] for each in lines}
        assert server.metric('tocsin_ingest_refused_total{connector="orders"}') == 2
        server.expect_sound()


def test_a_letter_is_replayed_mended_and_discarded(fed):
    server, queue = fed
    user = fresh_user()
    queue.put(b"{}", headers={"idempotency-key": "k1"})
    queue.put(b"[]")
    wait_until(lambda: len(letters(server)) == 2)
    second, first = (f"/v1/admin/dead-letters/{each['id']}" for each in letters(server))

    again = server.http.post(f"{first}/replay", headers=bearer(ADMIN))
    assert (again.status_code, again.json()["code"]) == (422, "invalid")
    mended = {"message": json.loads(body(user, "mended"))}
    assert server.http.post(f"{first}/replay", json=mended, headers=bearer(ADMIN)).is_success
    assert titles(server, user) == ["mended"]
    answer = server.http.post(f"{first}/replay", json=mended, headers=bearer(ADMIN))
    assert answer.status_code == 409
    assert server.http.delete(second, headers=bearer(ADMIN)).status_code == 204
    assert server.http.delete(second, headers=bearer(ADMIN)).status_code == 204
    assert letters(server) == []
    assert {each["status"] for each in letters(server, status="all", connector="orders")} == {
        "replayed",
        "discarded",
    }


def test_a_connector_is_paused_and_resumed_also_over_a_restart(fed):
    server, queue = fed
    user = fresh_user()
    path = "/v1/admin/connectors/orders"
    assert server.http.post(f"{path}/pause", headers=bearer(ADMIN)).status_code == 204
    wait_until(lambda: line(server)["state"] == "paused")
    server.kill()
    queue.put(body(user, "late"))
    server.start()
    wait_until(lambda: line(server)["state"] == "paused")
    assert line(server)["taken"] == 0
    assert server.http.post(f"{path}/resume", headers=bearer(ADMIN)).status_code == 204
    wait_until(lambda: unread(server, user) == 1)
    missing = server.http.post("/v1/admin/connectors/none/pause", headers=bearer(ADMIN))
    assert missing.status_code == 404


@pytest.mark.parametrize(
    "kind",
    # The others start as slowly again as they did the first time.
    [each if each == "redis" else pytest.param(each, marks=pytest.mark.faults) for each in QUEUES],
)
def test_each_message_arrives_once_and_in_order_though_node_and_broker_are_killed(kind, tmp_path):
    user = fresh_user()
    for broker in running(SERVERS[kind]()):
        queue: Queue = QUEUES[kind][1](broker)
        queue.put(*(body(user, number) for number in range(COUNT)))
        for server, _ in serving(tmp_path, queue, batch=50):
            kill_all_in_turn(server, broker if kind in DURABLE else None, user)


def kill_all_in_turn(server: Server, broker: Any | None, user: str) -> None:
    """Kill the node, the broker and the node again, and see that all `COUNT` arrive once; a broker
    of tests that forgets its messages is not given.
    """
    wait_until(lambda: unread(server, user) > 100)
    server.kill()
    server.start()
    wait_until(lambda: unread(server, user) > 400)
    if broker is not None:
        broker.restart("immediate")
    wait_until(lambda: unread(server, user) > 700)
    server.kill()
    server.start()
    wait_until(lambda: unread(server, user) >= COUNT)
    wait_until(lambda: line(server)["lag"] == 0)
    assert titles(server, user) == [str(number) for number in range(COUNT)]
    assert letters(server) == []
    server.expect_no_bugs()
