"""Users as identity providers name them, from the token to the ledger."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from servers.node import wait_until
from servers.tokens import ADMIN, bearer
from tests.system.person_kit import Person
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user

NAMES = ["auth0|5f7c8ec7", "ada+x@example.org", "Ädä", '"\\{}', "%41", "?x=1&y#z;", "😀" * 240]


@pytest.fixture(params=[*NAMES, "https://idp.example/users/42"], ids=lambda name: ascii(name)[:20])
def user(request) -> str:
    return fresh_user(request.param)


def path(template: str, user: str) -> str:
    return template.format(quote(user, safe=""))


def test_a_device_of_theirs_is_sent_what_is_for_them(server: Server, producer: Producer, user: str):
    with server.device(user) as phone:
        assert phone.welcome["user"] == user
        phone.expect_synced()
        notification = producer.post(user)
        phone.ack(phone.expect_push())
    [line] = wait_until(lambda: ledger(producer, notification, acknowledged=1))
    assert (line["user"], line["device"]) == (user, "phone")


def test_they_read_their_own_inbox(server: Server, producer: Producer, user: str):
    notification = producer.post(user)
    inbox = expect_json(Person(server, user).request("GET", "/v1/inbox"))
    assert [each["id"] for each in inbox["notifications"]] == [notification]


def test_the_ledger_goes_on_behind_them(server: Server, producer: Producer, user: str):
    users = sorted([user, f"{user}/b", f"{user}!", f"{user}/phone"])
    notification = producer.post(*users)
    for each in users:
        with server.device(each) as phone:
            phone.ack(phone.expect_push())
    wait_until(lambda: ledger(producer, notification, acknowledged=len(users)))
    seen: list[str] = []
    after: dict[str, str] = {}
    for _ in users:
        answer = producer.request(
            "GET", f"/v1/notifications/{notification}/deliveries", params={"limit": "1", **after}
        )
        page = expect_json(answer)
        seen += [line["user"] for line in page["deliveries"]]
        after = {"after": page["next"]}
    assert seen == users


def test_they_are_listed_among_subscribers(producer: Producer, user: str):
    topic = fresh_user("topic")
    users = sorted([user, f"{user}1", f"{user}2"])
    added = producer.request("POST", f"/v1/topics/{topic}/subscribers", json={"users": users})
    assert expect_json(added) == {"added": 3, "refused": []}
    page = f"/v1/topics/{topic}/subscribers"
    first = expect_json(producer.request("GET", page, params={"limit": "2"}))
    rest = expect_json(producer.request("GET", page, params={"after": first["next"]}))
    assert first["subscribers"] + rest["subscribers"] == users


def test_dead_letters_are_found_by_them(server: Server, producer: Producer, user: str):
    notification = producer.post(user, ttl=0.05)
    operator = Producer(server.http, ADMIN)

    def letters() -> Any:
        answer = operator.request("GET", "/v1/admin/dead-letters", params={"user": user})
        return expect_json(answer)["dead_letters"]

    [letter] = wait_until(letters)
    assert (letter["user"], letter["notification"]) == (user, notification)


# --- In a path ------------------------------------------------------------------------------------


@pytest.fixture(
    params=[
        *NAMES,
        "https://idp.example/users/42",
    ],
    ids=lambda name: ascii(name)[:20],
)
def named(request) -> str:
    return fresh_user(request.param)


def test_in_a_path_they_are_percent_encoded(server: Server, producer: Producer, named: str):
    subscriber = path(f"/v1/topics/{fresh_user('topic')}/subscribers/{{}}", named)
    assert producer.request("PUT", subscriber).status_code == 204
    with server.device(named) as phone:
        presence = expect_json(producer.request("GET", path("/v1/users/{}/presence", named)))
        assert (presence["user"], presence["online"]) == (named, True)
        disconnect = path("/v1/admin/users/{}/disconnect", named)
        assert server.http.post(disconnect, headers=bearer(ADMIN)).status_code == 204
        phone.expect_goodbye(4410)


@pytest.mark.parametrize("unseen", ["%20", "a%0Ab", "%E2%80%AE", "%FF", "%F3%B0%80%80"])
def test_a_text_that_can_name_no_user_is_not_found(producer: Producer, unseen: str):
    expect_problem(producer.request("GET", f"/v1/users/{unseen}/presence"), 404)


def ledger(producer: Producer, notification: str, *, acknowledged: int) -> list[dict[str, Any]]:
    """All lines, once so many of them are acknowledged."""
    answer = producer.request("GET", f"/v1/notifications/{notification}/deliveries")
    lines: list[dict[str, Any]] = expect_json(answer)["deliveries"]
    done = sum(line["outcome"] == "acknowledged" for line in lines)
    return lines if done == acknowledged else []
