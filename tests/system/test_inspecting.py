"""Questions of an operator: samples of the node, a user, and why a device does not have it."""

from __future__ import annotations

from typing import Any

import pytest

from servers.node import wait_until
from servers.tokens import ADMIN, bearer, token
from tests.system.device_kit import Device
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server


def ask(server: Server, path: str, **query: str | int) -> Any:
    return expect_json(server.http.get(path, params=query, headers=bearer(ADMIN)))


def test_samples_come_each_second_and_only_what_is_new_is_told(server: Server):
    first = wait_until(lambda: ask(server, "/v1/admin/samples")["rows"], what="a sample")
    after = first[-1][0]
    new = wait_until(lambda: ask(server, "/v1/admin/samples", after=int(after))["rows"])
    assert all(row[0] > after for row in new)
    columns = ask(server, "/v1/admin/samples")["columns"]
    assert all(len(row) == len(columns) for row in first + new)
    assert dict(zip(columns, new[-1], strict=True))["store"] == 1


def test_a_user_is_seen_with_devices_and_where_they_are(
    server: Server, producer: Producer, phone: Device, ada: str
):
    producer.post(ada)
    phone.ack(phone.expect_push())

    def here() -> bool:
        found = ask(server, f"/v1/admin/users/{ada}")
        (device,) = found["devices"]
        return found["unread"] == 1 and device["behind"] == 0 and device["node"] is not None

    wait_until(here, what="the acknowledgment to be stored")


def test_a_user_who_was_never_seen_has_nothing(server: Server):
    found = ask(server, "/v1/admin/users/nobody-yet")
    assert (found["head"], found["devices"]) == (0, [])


def test_it_is_explained_who_has_it_and_who_does_not(
    server: Server, producer: Producer, phone: Device, ada: str
):
    with server.device(ada, "tablet") as tablet:
        tablet.expect_synced()
    notification = producer.post(ada)
    phone.ack(phone.expect_push())

    def says() -> dict[str, str]:
        path = f"/v1/admin/users/{ada}/explain"
        found = ask(server, path, notification=notification)
        assert found["says"] == "It is in the user's inbox; some devices do not have it yet."
        return {each["device"]: each["says"] for each in found["devices"]}

    wait_until(lambda: says()["phone"].startswith("It acknowledged it at"))
    assert "It has not been sent to it" in says()["tablet"]
    assert "is sent it when it comes back" in says()["tablet"]


def test_a_users_inbox_is_seen_and_stays_as_it_is(server: Server, producer: Producer, ada: str):
    read, unseen = producer.post(ada, title="first"), producer.post(ada, title="second")
    mark = {"state": "read", "ids": [read]}
    server.http.post("/v1/inbox/mark", json=mark, headers=bearer(token(ada)))
    for _ in range(2):
        found = ask(server, f"/v1/admin/users/{ada}/inbox")
        assert [(each["id"], each["state"]) for each in found["notifications"]] == [
            *((unseen, "unseen"), (read, "read"))
        ]
        assert (found["unread"], found["next"]) == (1, None)
    first = ask(server, f"/v1/admin/users/{ada}/inbox", limit=1)
    last = ask(server, f"/v1/admin/users/{ada}/inbox", limit=1, before=first["next"])
    assert [each["title"] for each in last["notifications"]] == ["first"]
    assert ask(server, f"/v1/admin/users/{ada}/inbox", state="archived")["notifications"] == []


@pytest.mark.parametrize(
    "path", ["/v1/admin/samples", "/v1/admin/users/ada", "/v1/admin/users/ada/inbox"]
)
def test_only_operators_may_look(server: Server, path):
    expect_problem(server.http.get(path), 401)
    expect_problem(server.http.get(path, headers=bearer(token("ada"))), 403)
