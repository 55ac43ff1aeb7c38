"""Any node tells producers which users and devices are connected."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from servers.node import wait_until
from servers.redis import Redis
from servers.tokens import bearer, token
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user


def presence(server: Server, user: str) -> dict[str, Any]:
    return expect_json(server.producer().request("GET", f"/v1/users/{user}/presence"))


def devices(server: Server, user: str) -> list[str]:
    found = presence(server, user)
    assert found["user"] == user
    assert found["online"] is bool(found["devices"])
    return [each["device"] for each in found["devices"]]


def test_a_node_alone_knows_who_is_connected(server: Server, ada: str):
    assert presence(server, ada) == {"user": ada, "online": False, "devices": []}
    with server.device(ada, "phone") as phone, server.device(ada, "laptop"):
        found = presence(server, ada)["devices"]
        assert [each["device"] for each in found] == ["laptop", "phone"]
        assert {each["node"] for each in found} == {phone.welcome["node"]}
        assert all(each["since"].endswith("Z") for each in found)
    wait_until(lambda: devices(server, ada) == [], what="both to be gone")


def test_only_producers_may_ask(server: Server, ada: str):
    path = f"/v1/users/{ada}/presence"
    expect_problem(server.http.get(path), 401)
    expect_problem(server.http.get(path, headers=bearer(token(ada))), 403)
    expect_problem(server.producer().request("GET", "/v1/users/a%20b/presence"), 404)


def sees_both(server: Server, user: str) -> bool:
    return devices(server, user) == ["laptop", "phone"]


@pytest.fixture
def start_node(
    start_server: Callable[..., Server], postgres_url: str, redis_url: str
) -> Callable[[], Server]:
    return lambda: start_server(database=postgres_url, redis=redis_url)


def test_every_node_knows_who_is_connected_to_any(start_node: Callable[[], Server], ada: str):
    one, two = start_node(), start_node()
    with one.device(ada, "phone") as phone:
        with two.device(ada, "laptop"):
            for each in (one, two):
                wait_until(partial(sees_both, each, ada))
        wait_until(lambda: devices(one, ada) == ["phone"])
        with two.device(ada, "phone"):
            phone.expect_synced()
            phone.expect_goodbye(4409)
            wait_until(lambda: len(presence(one, ada)["devices"]) == 1)
            assert devices(one, ada) == ["phone"]
    wait_until(lambda: devices(two, ada) == [])


def test_a_node_that_stops_takes_its_word_back(start_node: Callable[[], Server], ada: str):
    one, two = start_node(), start_node()
    with one.device(ada, "phone"):
        wait_until(lambda: devices(two, ada) == ["phone"])
        one.stop()
    assert devices(two, ada) == []


@pytest.mark.faults
def test_a_node_that_is_killed_is_forgotten_within_the_lease(
    start_node: Callable[[], Server], ada: str
):
    one, two = start_node(), start_node()
    with one.device(ada, "phone"):
        wait_until(lambda: devices(two, ada) == ["phone"])
        one.kill()
    wait_until(lambda: devices(two, ada) == [], patience=32)


def test_without_redis_nobody_pretends_to_know(
    start_server: Callable[..., Server], postgres_url: str, own_redis: Redis
):
    server = start_server(database=postgres_url, redis=own_redis.url, redis_timeout=0.5)
    ada, path = fresh_user(), "/v1/users/{}/presence"
    with server.device(ada, "phone"):
        own_redis.stop()
        answer = server.producer().request("GET", path.format(ada))
        expect_problem(answer, 503, "bus_unavailable")
        own_redis.start()
        wait_until(
            lambda: server.producer().request("GET", path.format(ada)).status_code == 200,
            what="the bus",
        )
        assert devices(server, ada) == ["phone"]
