"""Receipts for producers: the log as a long poll and as a stream."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest

from servers.node import PATIENCE
from servers.tokens import PRODUCER, bearer, token
from tests.system.person_kit import Person
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user


def poll(server: Server, cursor: str | None = None, **query: Any) -> dict[str, Any]:
    given = {} if cursor is None else {"cursor": cursor}
    answer = server.http.get(
        "/v1/receipts", params={**given, **query}, headers=bearer(PRODUCER), timeout=PATIENCE
    )
    return expect_json(answer)


def deliver(server: Server, user: str) -> str:
    """A notification that a device of *user* has acknowledged."""
    with server.device(user) as device:
        device.expect_synced()
        made = server.producer().post(user)
        device.ack(device.expect_push())
    return made


def follow(server: Server, cursor: str, user: str, count: int) -> list[dict[str, Any]]:
    """The next receipts about *user*, of whatever else happens on a server that tests share."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        page = poll(server, cursor, wait=10)
        assert not page["reset"]
        found += [each for each in page["receipts"] if each["user"] == user]
        cursor = page["cursor"]
    return found


def test_a_producer_follows_what_becomes_of_its_notifications(server):
    user, start = fresh_user(), poll(server)["cursor"]
    made = deliver(server, user)
    Person(server, user).mark("read", ids=[made])
    found = follow(server, start, user, 2)
    assert {(each["kind"], each["notification"]) for each in found} == {
        ("delivered", made),
        ("read", made),
    }
    # The same cursor, the same receipts.
    assert follow(server, start, user, 2) == found


def test_a_poll_waits_for_the_first_receipt(server):
    user, start = fresh_user(), poll(server)["cursor"]
    answers: list[list[dict[str, Any]]] = []
    waiting = threading.Thread(target=lambda: answers.append(follow(server, start, user, 1)))
    waiting.start()
    made = deliver(server, user)
    waiting.join(PATIENCE)
    assert [each["notification"] for each in answers[0]] == [made]


def test_only_the_kinds_that_are_asked_for_are_told(server):
    user, start = fresh_user(), poll(server)["cursor"]
    made = deliver(server, user)
    Person(server, user).mark("read", ids=[made])
    follow(server, start, user, 2)
    page = poll(server, start, kinds="read", wait=5)
    assert {each["kind"] for each in page["receipts"]} == {"read"}


def test_a_page_goes_on_where_it_ended(server):
    user, start = fresh_user(), poll(server)["cursor"]
    for _ in range(3):
        deliver(server, user)
    whole = follow(server, start, user, 3)
    pages: list[dict[str, Any]] = []
    cursor = start
    while len(pages) < 3:
        page = poll(server, cursor, limit=1, wait=5)
        assert len(page["receipts"]) <= 1
        pages += [each for each in page["receipts"] if each["user"] == user]
        cursor = page["cursor"]
    assert pages == whole


def test_a_cursor_of_another_log_begins_anew(server):
    poll(server)
    page = poll(server, "otherepoch.5")
    assert (page["reset"], page["reason"]) == (True, "epoch")
    beyond = poll(server)["cursor"].partition(".")[0] + ".999999999"
    assert poll(server, beyond)["reason"] == "epoch"
    assert not poll(server, "0")["reset"]


@pytest.mark.parametrize("query", [{"cursor": "x y"}, {"kinds": "born"}, {"wait": "-1"}])
def test_a_question_that_makes_no_sense_is_refused(server, query):
    answer = server.http.get("/v1/receipts", params=query, headers=bearer(PRODUCER))
    expect_problem(answer, 422, "invalid")


def test_users_do_not_read_receipts(server):
    answer = server.http.get("/v1/receipts", headers=bearer(token(fresh_user())))
    expect_problem(answer, 403)


def test_a_stream_tells_the_same_and_goes_on_where_it_stopped(server):
    user, start = fresh_user(), poll(server)["cursor"]
    first = deliver(server, user)
    event = next_receipt(server, user, {"cursor": start})
    assert event["notification"] == first
    second = deliver(server, user)
    epoch, _, position = event["id"].rpartition("-")
    after = next_receipt(server, user, {}, {"Last-Event-ID": f"{epoch}.{position}"})
    assert after["notification"] == second


def next_receipt(
    server: Server, user: str, query: dict[str, str], headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """The first event of a stream that is a receipt about *user*."""
    with httpx.stream(
        "GET",
        f"{server.url}/v1/receipts/stream",
        params=query,
        headers={**bearer(PRODUCER), **(headers or {})},
        timeout=PATIENCE,
    ) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data: "):
                said: dict[str, Any] = json.loads(line.removeprefix("data: "))
                if said.get("user") == user:
                    return said
    raise AssertionError("the stream ended")
