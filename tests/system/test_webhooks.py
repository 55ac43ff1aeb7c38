"""Webhooks, as operators and receivers see them: receipts that come, in order, and come again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from servers.node import wait_until
from servers.tokens import ADMIN, PRODUCER, bearer
from tests.system.person_kit import Person
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.receiver_kit import OPEN, Hooks, Receiver, verified
from tests.system.server_kit import Server, fresh_user
from tests.system.shared_servers_kit import SharedServers


@pytest.fixture(scope="session")
def sender(shared_servers: SharedServers) -> Server:
    """A server that sends to this machine."""
    return shared_servers.get("sender", OPEN)


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def hooks(sender: Server):
    hooks = Hooks(sender)
    yield hooks
    for each in expect_json(hooks.ask("GET"))["webhooks"]:
        hooks.ask("DELETE", f"/{each['id']}")


def delivered(server: Server, count: int, user: str = "", **fields: Any) -> list[str]:
    """Notifications that a device of *user* has acknowledged, in order."""
    user = user or fresh_user()
    with server.device(user) as device:
        device.expect_synced()
        made = [server.producer().post(user, title=f"n{n}", **fields) for n in range(count)]
        for _ in made:
            device.ack(device.expect_push())
    return made


def all_delivered(server: Server, made: list[str]) -> bool:
    producer = server.producer()
    return all(producer.view(each)["counts"]["delivered"] == 1 for each in made)


# --- Receipts that arrive -----------------------------------------------------------------------


def test_deliveries_and_reads_are_posted_signed_and_in_order(sender, receiver, hooks):
    hook = hooks.make(receiver.url, description="the shop")
    user = fresh_user()
    made = delivered(sender, 5, user)
    Person(sender, user).mark("read", ids=[made[0]])

    assert receiver.wait(5) == made
    assert receiver.wait(1, "read") == made[:1]
    # An acknowledgment may linger for a moment, so the mark may have been committed before it.
    first = next(each for each in receiver.taken if each["kind"] == "delivered")
    assert (first["user"], first["device"], first["category"]) == (user, "phone", "default")
    for _, headers, body in receiver.asked:
        assert verified(hook["secret"], headers, body)
        assert headers["webhook-id"].startswith("rcp_")
    wait_until(lambda: hooks.show(hook)["behind"] == 0, what="the position to move")
    assert "secret" not in hooks.show(hook)


def test_an_expiry_is_told(sender, receiver, hooks):
    hooks.make(receiver.url)
    made = sender.producer().post(fresh_user(), ttl=1)
    assert receiver.wait(1, "expired") == [made]


def test_a_webhook_gets_the_kinds_and_categories_that_it_wants(sender, receiver, hooks):
    hook = hooks.make(receiver.url, events=["delivered"], categories=["orders"], batch_max=1)
    user = fresh_user()
    delivered(sender, 1, user)
    wanted = delivered(sender, 2, user, category="orders")
    assert receiver.wait(2) == wanted
    assert len(receiver.taken) == 2
    changed = expect_json(hooks.ask("PATCH", f"/{hook['id']}", json={"categories": []}))
    assert (changed["events"], changed["categories"]) == (["delivered"], [])
    other = delivered(sender, 1, user)
    assert receiver.wait(3) == [*wanted, *other]


def test_a_test_is_carried_now_and_shows_the_answer(sender, receiver, hooks):
    hook = hooks.make(receiver.url)
    receiver.status = lambda said: 418 if said["type"] == "test" else 204
    tested = hooks.do(hook, "test")
    assert (tested["status"], tested["error"]) == (418, None)
    [(_, headers, body)] = receiver.asked
    assert verified(hook["secret"], headers, body)
    receiver.close()
    tested = hooks.do(hook, "test")
    assert (tested["status"], tested["answer"]) == (None, None)
    assert "no connection" in tested["error"]


def test_a_rotated_secret_signs_beside_the_new_one(sender, receiver, hooks):
    hook = hooks.make(receiver.url)
    fresh = hooks.do(hook, "rotate", overlap=3600)["secret"]
    hooks.do(hook, "test")
    [(_, headers, body)] = receiver.asked
    assert verified(hook["secret"], headers, body)
    assert verified(fresh, headers, body)
    hooks.do(hook, "rotate", overlap=0)
    hooks.do(hook, "test")
    _, headers, body = receiver.asked[-1]
    assert not verified(hook["secret"], headers, body)
    assert not verified(fresh, headers, body)


# --- A receiver in trouble ----------------------------------------------------------------------


def test_a_receiver_that_was_down_gets_all_in_order(sender, receiver, hooks):
    hook = hooks.make(receiver.url)
    before = delivered(sender, 3)
    assert receiver.wait(3) == before
    receiver.close()
    during = delivered(sender, 120)
    failing = wait_until(
        lambda: (shown := hooks.show(hook))["failing_since"] and shown, what="a failure"
    )
    assert (failing["reason"], failing["state"]) == ("no_connection", "active")
    with Receiver(receiver.port) as back:
        assert back.wait(120) == during
        wait_until(lambda: hooks.show(hook)["behind"] == 0, what="the end")
        assert hooks.show(hook)["failing_since"] is None


@pytest.mark.parametrize("status", [500, 503, 429, 307])
def test_a_receiver_in_trouble_is_asked_again_with_the_same_message(
    sender, receiver, hooks, status
):
    hooks.make(receiver.url)
    receiver.status = lambda _: status
    receiver.headers = {"location": receiver.url}
    made = delivered(sender, 2)
    wait_until(lambda: receiver.asked, what="the first attempt")
    receiver.status = lambda _: 204
    assert receiver.wait(2) == made
    first, second = receiver.asked[0], receiver.asked[1]
    assert first[1]["webhook-id"] == second[1]["webhook-id"]
    assert first[2] == second[2]
    assert second[0] - first[0] > 3.5


def test_a_receiver_says_when_to_come_again(sender, receiver, hooks):
    hooks.make(receiver.url)
    receiver.status, receiver.headers = (lambda _: 503), {"retry-after": "8"}
    delivered(sender, 1)
    wait_until(lambda: receiver.asked, what="the first attempt")
    receiver.status, receiver.headers = (lambda _: 204), {}
    receiver.wait(1)
    assert receiver.asked[1][0] - receiver.asked[0][0] > 7.5


def test_a_receiver_that_is_gone_is_not_asked_again_until_it_is_enabled(sender, receiver, hooks):
    hook = hooks.make(receiver.url)
    receiver.status = lambda _: 410
    made = delivered(sender, 1)
    wait_until(lambda: hooks.show(hook)["state"] == "disabled", what="it to be disabled")
    assert hooks.show(hook)["reason"] == "gone"
    receiver.status = lambda _: 204
    later = delivered(sender, 1)
    assert receiver.taken == []
    hooks.do(hook, "enable")
    assert receiver.wait(2) == made + later


def test_a_paused_webhook_keeps_its_place(sender, receiver, hooks):
    hook = hooks.make(receiver.url)
    hooks.do(hook, "pause")
    made = delivered(sender, 3)
    assert receiver.asked == []
    hooks.do(hook, "enable")
    assert receiver.wait(3) == made


def test_a_rewound_webhook_is_carried_what_it_has_had_again(sender, receiver, hooks):
    hook = hooks.make(receiver.url)
    made = delivered(sender, 3)
    receiver.wait(3)
    again = receiver.taken[1]["at"]
    receiver.taken.clear()
    hooks.do(hook, "rewind", since=again)
    wait_until(lambda: made[-1] in receiver.kinds(), what="the last of them")
    assert made[1] in receiver.kinds()


def test_a_receiver_that_hangs_does_not_keep_others_waiting(sender, receiver, hooks):
    slow = hooks.make(receiver.url)
    receiver.hanging.set()
    with Receiver() as quick:
        hooks.make(quick.url)
        made = delivered(sender, 2)
        assert quick.wait(2) == made
    assert hooks.show(slow)["behind"] > 0
    receiver.hanging.clear()
    assert receiver.wait(2) == made


# --- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("http://10.0.0.1/", "https://169.254.169.254/latest", "http://[::1]:8080/"),
        *("ftp://shop.example/", "https://me:secret@shop.example/", "https://shop.example:22/"),
        *("https://no.such.name.invalid/", "nothing", "https://[::ffff:10.0.0.1]/"),
    ],
)
def test_a_url_that_leads_inside_is_refused(sender, hooks, url):
    problem = expect_problem(hooks.ask("POST", json={"url": url}), 422, "invalid")
    assert problem["errors"][0]["path"] == "$.url"


def test_a_server_sends_only_to_the_internet_unless_it_is_told(server):
    refused = Hooks(server).ask("POST", json={"url": "https://127.0.0.1:8443/"})
    assert "127.0.0.1" in expect_problem(refused, 422, "invalid")["detail"]
    expect_problem(Hooks(server).ask("POST", json={"url": "http://shop.example/"}), 422, "invalid")


@pytest.mark.parametrize("path", ["", "/rotate", "/test", "/pause", "/enable", "/letters"])
def test_a_webhook_that_there_is_not_is_not_found(sender, hooks, path):
    method = "GET" if path in ("", "/letters") else "POST"
    missing = "/0198f0a8-5c1e-7d3a-9b64-2f1c80a7e5d1"
    expect_problem(hooks.ask(method, missing + path), 404, "not_found")


def test_producers_do_not_make_webhooks(sender):
    answer = sender.http.get("/v1/webhooks", headers=bearer(PRODUCER))
    expect_problem(answer, 403)


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session")
def test_a_refused_receipt_is_among_the_letters_and_is_replayed(sender, receiver, hooks):
    hook, user = hooks.make(receiver.url), fresh_user()
    # Half an hour of refusals, in short: the letter is written by hand.
    letter = {
        "id": "e-1",
        "kind": "delivered",
        "at": "2026-03-09T08:15:00.000Z",
        "notification": "0198f0a8-5c1e-7d3a-9b64-2f1c80a7e5d1",
        "category": "default",
        "user": user,
        "device": "phone",
        "channel": None,
        "detail": None,
    }
    row = (hook["id"], 1, user, json.dumps(letter), "status_400", 1, "dead")
    with (
        closing(sqlite3.connect(Path(sender.settings["data"]) / "tocsin.db")) as database,
        database,
    ):
        columns = "sink_id, position, user_id, receipt, reason, at, status, letter"
        number = "(SELECT max(seq) + 1 FROM sqlite_sequence WHERE name = 'dead_letters')"
        database.execute(
            f"INSERT INTO sink_letters ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, {number})", row
        )
    operator, path = sender.producer(ADMIN), "/v1/admin/dead-letters"
    listed = expect_json(operator.request("GET", path, params={"user": user}))["dead_letters"]
    assert [(each["kind"], each["webhook"]) for each in listed] == [("receipt", hook["id"])]
    each = f"{path}/{listed[0]['id']}"
    assert expect_json(operator.request("GET", each))["receipt"] == letter

    receiver.status = lambda _: 503
    expect_problem(operator.request("POST", f"{each}/replay"), 409, "conflict")
    receiver.status = lambda _: 204
    assert expect_json(operator.request("POST", f"{each}/replay"))["status"] == "replayed"
    expect_problem(operator.request("POST", f"{each}/replay"), 409, "conflict")
    assert operator.request("DELETE", each).status_code == 204
    assert expect_json(operator.request("GET", each))["status"] == "replayed"


# --- Nodes that die -----------------------------------------------------------------------------


def test_a_node_that_is_killed_carries_the_rest_when_it_is_back(
    start_server: Callable[..., Server], receiver, new_store
):
    server = start_server(**new_store(), webhook_http="on", outbound_allow="127.0.0.0/8")
    hook = Hooks(server).make(receiver.url)
    made = []
    for _ in range(3):
        receiver.hanging.set()
        made += delivered(server, 10)
        # An acknowledgment is durable, and is told, when the ledger was written.
        wait_until(partial(all_delivered, server, made), what="the ledger")
        server.kill()
        receiver.hanging.clear()
        server.start()
    assert receiver.wait(30, patience=60) == made
    assert Hooks(server).show(hook)["lost"] == 0
