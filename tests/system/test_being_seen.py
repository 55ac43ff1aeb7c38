"""Everyone is whoever was ever seen, from the first time on."""

from __future__ import annotations

import pytest

from servers.tokens import bearer, token
from tests.system.producer_kit import Producer, expect_json
from tests.system.server_kit import Server


def broadcast(producer: Producer, title: str) -> None:
    body = {"to": {"all": True}, "title": title}
    expect_json(producer.request("POST", "/v1/notifications", json=body), 201)


def titles(server: Server, user: str) -> list[str]:
    answer = server.http.get("/v1/inbox", headers=bearer(token(user)))
    return [each["title"] for each in expect_json(answer)["notifications"]]


@pytest.mark.parametrize("how", ["reads the inbox", "is a recipient", "subscribes", "connects"])
def test_a_user_who_is_seen_is_among_everyone_from_then_on(server: Server, producer, ada, how):
    broadcast(producer, "before")
    expected = ["after"]
    match how:
        case "reads the inbox":
            assert titles(server, ada) == []
        case "is a recipient":
            producer.post(ada, title="first")
            expected = ["after", "first"]
        case "subscribes":
            path = "/v1/me/subscriptions/news"
            assert server.http.put(path, headers=bearer(token(ada))).status_code == 204
        case "connects":
            with server.device(ada) as device:
                device.expect_synced()
    broadcast(producer, "after")
    assert titles(server, ada) == expected
