"""Tickets that let a stream come back, as an EventSource does by itself: and nothing else."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from servers.node import wait_until
from servers.tokens import ADMIN, bearer, token
from tests.system.plain_http_kit import stream
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user

PATH = "/v1/inbox/stream"
APP = {"Origin": "https://app.example"}


def ask(server: Server, credential: str, **body: object) -> httpx.Response:
    return server.http.post("/v1/tickets", json=body, headers=bearer(credential))


def ticket_of(server: Server, user: str, **body: object) -> str:
    issued = expect_json(ask(server, token(user), **{"for": "stream", **body}), 201)
    ticket: str = issued["ticket"]
    return ticket


def refused(server: Server, ticket: str, code: str, headers: dict[str, str] | None = None, **query):
    params = {"ticket": ticket, **query}
    expect_problem(server.http.get(PATH, params=params, headers=headers), 401, code)


# --- Asking for one -----------------------------------------------------------------------------


def test_a_ticket_of_a_stream_says_whose_and_for_how_long(server, ada):
    issued = expect_json(ask(server, token(ada, lifetime=900), **{"for": "stream"}), 201)
    assert issued["device"].startswith("device-")
    left = datetime.fromisoformat(issued["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=880) < left <= timedelta(seconds=900)

    issued = expect_json(ask(server, token(ada), **{"for": "stream", "device": "web"}), 201)
    assert issued["device"] == "web"


def test_no_ticket_of_a_stream_lasts_longer_than_the_setting(start_server, ada):
    server = start_server(stream_ticket_lifetime="2s")
    ticket = ticket_of(server, ada)
    with stream(server, ticket=ticket) as events:
        events.expect_live()
        time.sleep(2)  # waits for: the ticket to expire
        refused(server, ticket, "ticket_expired")
        # The stream that it has opened goes on, until the token ends.
        server.producer().post(ada, title="still here")
        events.expect_push("still here")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"for":"connection"}'])
def test_a_request_without_a_purpose_gets_a_plain_ticket(server, ada, content):
    answer = server.http.post("/v1/tickets", content=content, headers=bearer(token(ada)))
    issued = expect_json(answer, 201)
    assert issued.keys() == {"ticket", "expires_at"}
    with stream(server, ticket=issued["ticket"]) as events:
        events.expect_live()
    refused(server, issued["ticket"], "ticket_unknown")


@pytest.mark.parametrize(
    "body",
    [
        {"for": "everything"},
        {"for": "stream", "device": "no device"},
        {"for": "connection", "device": "web"},
        {"device": "web"},
        {"for": "stream", "user": "eve"},
        {"purpose": "stream"},
    ],
    ids=str,
)
def test_a_purpose_that_cannot_be_asked_for_is_refused(server, ada, body):
    expect_problem(ask(server, token(ada), **body), 422, "invalid")


def test_an_api_key_gets_none(server):
    expect_problem(ask(server, token("", "notify"), **{"for": "stream"}), 401)


# --- Uses of a ticket ---------------------------------------------------------------------------


def test_a_stream_comes_back_by_its_ticket_with_the_last_id(server, producer, ada):
    ticket = ticket_of(server, ada, device="web")
    with stream(server, ticket=ticket) as events:
        events.expect("welcome", user=ada, device="web")
        events.expect("synced")
        producer.post(ada, title="1")
        events.expect_push("1")
        last = {"Last-Event-ID": str(events.last_id)}
    producer.post(ada, title="2")
    for _ in range(2):
        with stream(server, ticket=ticket, headers=last) as events:
            events.expect("welcome", device="web", resumed=True)
            events.expect_push("2", replay=True)
            events.expect("synced")


def test_the_last_id_of_who_acknowledges_explicitly_says_nothing_by_a_ticket_either(
    server, producer, ada
):
    ticket = ticket_of(server, ada, device="web")
    with stream(server, ticket=ticket, ack="explicit") as events:
        events.expect_live()
        producer.post(ada, title="1")
        events.expect_push("1")
        last = {"Last-Event-ID": str(events.last_id)}
    with stream(server, ticket=ticket, ack="explicit", headers=last) as events:
        events.expect("welcome", resumed=True)
        events.expect_push("1", attempt=2)


def test_a_stream_comes_back_that_has_heard_nothing_yet(server, producer, ada):
    issued = expect_json(ask(server, token(ada), **{"for": "stream"}), 201)
    for _ in range(3):
        with stream(server, ticket=issued["ticket"]) as events:
            events.expect("welcome", device=issued["device"])
    devices = expect_json(server.http.get("/v1/me/devices", headers=bearer(token(ada))))["devices"]
    assert [each["device"] for each in devices] == [issued["device"]]


def test_it_is_good_for_no_other_device(server, ada):
    ticket = ticket_of(server, ada, device="web")
    refused(server, ticket, "ticket_elsewhere", device="phone")
    with stream(server, ticket=ticket, device="web") as events:
        events.expect("welcome", device="web")


def test_it_is_good_for_no_other_origin_than_the_first(server, ada):
    ticket = ticket_of(server, ada)
    with stream(server, ticket=ticket, headers=APP) as events:
        events.expect_live()
    for headers in ({"Origin": "https://evil.example"}, {}, {"Origin": "null"}):
        refused(server, ticket, "ticket_elsewhere", headers)
    with stream(server, ticket=ticket, headers={"Origin": "https://APP.example"}) as events:
        events.expect_live()


def test_a_page_of_ours_sends_no_origin_and_then_nobody_else_may(server, ada):
    ticket = ticket_of(server, ada)
    with stream(server, ticket=ticket) as events:
        events.expect_live()
    refused(server, ticket, "ticket_elsewhere", APP)
    refused(server, ticket_of(server, ada), "ticket_elsewhere", {"Origin": "x" * 2000})


def test_it_opens_nothing_but_the_stream(server, ada):
    ticket = ticket_of(server, ada, device="web")
    for path in ("/v1/inbox", "/v1/inbox/changes", "/v1/me/devices"):
        answer = server.http.get(path, params={"ticket": ticket})
        assert answer.status_code == 401
    expect_problem(server.http.post("/v1/tickets", headers=bearer(ticket)), 401)
    with server.connect(query=f"?ticket={ticket}") as device:
        device.hello("web")
        device.expect_goodbye(4401)
    # And none of that has used it up.
    with stream(server, ticket=ticket) as events:
        events.expect_live()


def test_it_gives_no_scopes(server):
    ada = fresh_user()
    issued = expect_json(ask(server, token(ada, "notify admin"), **{"for": "stream"}), 201)
    answer = server.http.get("/metrics", params={"ticket": issued["ticket"]})
    assert answer.status_code == 401


def test_the_stream_it_opened_ends_with_the_token(server, ada):
    issued = expect_json(ask(server, token(ada, lifetime=2), **{"for": "stream"}), 201)
    with stream(server, ticket=issued["ticket"]) as events:
        events.expect_live()
        events.expect_goodbye(4401)
    refused(server, issued["ticket"], "ticket_expired")


# --- Taking it back -----------------------------------------------------------------------------


def test_a_device_that_is_removed_does_not_come_back_by_it(server, ada):
    ticket = ticket_of(server, ada, device="web")
    with stream(server, ticket=ticket) as events:
        events.expect_live()
        removed = server.http.delete("/v1/me/devices/web", headers=bearer(token(ada)))
        assert removed.status_code == 204
        events.expect_goodbye(4410)
    refused(server, ticket, "ticket_unknown")


def test_a_user_who_is_disconnected_does_not_come_back_by_it(server, ada):
    ticket = ticket_of(server, ada)
    with stream(server, ticket=ticket) as events:
        events.expect_live()
        path = f"/v1/admin/users/{ada}/disconnect"
        assert server.http.post(path, headers=bearer(ADMIN)).status_code == 204
        events.expect_goodbye(4410)
    refused(server, ticket, "ticket_unknown")


def test_a_newer_one_of_the_device_takes_its_place(server, ada):
    older, newer = ticket_of(server, ada, device="web"), ticket_of(server, ada, device="web")
    refused(server, older, "ticket_unknown")
    with stream(server, ticket=newer) as events:
        events.expect_live()


def test_it_is_kept_as_a_hash_and_stands_in_no_log(start_server, ada):
    server = start_server(log_level="debug")
    ticket = ticket_of(server, ada)
    with stream(server, ticket=ticket) as events:
        events.expect_live()
    wait_until(lambda: server.metric("tocsin_sessions") == 0)
    server.stop()
    for file in server.directory.rglob("*"):
        if file.is_file():
            assert ticket.encode() not in file.read_bytes(), file
