"""The stream of what nodes do: an operator sees a user's notifications travel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from servers.node import PATIENCE
from servers.tokens import ADMIN, bearer, token
from tests.system.device_kit import Device
from tests.system.followers_kit import events
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server

PATH = "/v1/admin/events"
Events = Iterator[tuple[str, Any]]


@pytest.fixture(scope="session")
def server(sqlite_servers) -> Server:
    """Spectators know no store: one kind is enough."""
    shared: Server = sqlite_servers.get("server", {})
    return shared


@contextmanager
def looking_on(server: Server, credential: str = ADMIN, **query: str) -> Iterator[Events]:
    """The events of the stream, read as they come."""
    with server.http.stream(
        "GET", PATH, params=query, headers=bearer(credential), timeout=httpx.Timeout(PATIENCE)
    ) as answer:
        assert answer.status_code == 200
        yield ((name, json.loads(data)) for name, data in events(answer.iter_lines()))


def test_a_users_notification_is_seen_on_its_way(
    server: Server, producer: Producer, phone: Device, ada: str
):
    with looking_on(server, user=ada) as told:
        next(told)  # from now on sightings are taken
        notification = producer.post(ada)
        phone.ack(phone.expect_push())
        seen: dict[str, Any] = {}
        while "acknowledged" not in seen:
            name, second = next(told)
            assert name == "second"
            assert second["sample"]["store"] == 1
            seen.update((each["kind"], each) for each in second["events"])
    for kind in ("pushed", "acknowledged"):
        assert (seen[kind]["notification"], seen[kind]["user"]) == (notification, ada)
        assert (seen[kind]["device"], seen[kind]["detail"]) == ("phone", "websocket")


def test_without_a_user_commits_of_all_are_seen_and_counted(
    server: Server, producer: Producer, ada: str
):
    with looking_on(server) as told:
        next(told)
        notification = producer.post(ada)
        for _, second in told:
            ids = [each["notification"] for each in second["events"]]
            if notification in ids:
                break
    assert second["counts"]["committed"] >= 1


def test_a_key_that_is_revoked_sees_no_more(server: Server):
    root = bearer(token("root", "admin"))
    made = expect_json(
        server.http.post("/v1/admin/keys", json={"scopes": ["admin"], "name": ""}, headers=root),
        201,
    )
    with looking_on(server, made["text"]) as told:
        next(told)
        server.http.delete(f"/v1/admin/keys/{made['id']}", headers=root)
        goodbye = next(data for name, data in told if name == "goodbye")
        assert goodbye["code"] == 4401
        assert next(told, None) is None


def test_only_operators_may_look(server: Server, ada: str):
    expect_problem(server.http.get(PATH), 401)
    expect_problem(server.http.get(PATH, headers=bearer(token(ada))), 403)
