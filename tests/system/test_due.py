"""Expiries that fall due while the server is down come before any client is told anything, and a
session that was told a counter is told of an expiry that changes it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from servers.node import wait_until
from servers.tokens import bearer, token
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server, fresh_user

LIFETIME = 5
"""Seconds: long enough to see that it is there, on a busy machine."""
AT_ONCE = 2.0
"""Seconds from a start; a node that waited for its next look would take five."""


@pytest.fixture
def own(new_store, tmp_path: Path):
    server = Server(tmp_path, new_store())
    try:
        yield server.start()
    finally:
        server.close()
    server.expect_no_bugs()


def inbox(server: Server, user: str) -> dict[str, Any]:
    return expect_json(server.http.get("/v1/inbox", headers=bearer(token(user))))


def test_right_after_a_start(own: Server):
    # A node that waits does so after each start; a machine that stutters does not.
    assert any(start_over(own) < AT_ONCE for _ in range(3))


def start_over(own: Server) -> float:
    """Kill the node and start it when something is due; the seconds until that is done."""
    producer, user, other = own.producer(), fresh_user(), fresh_user()
    ends = time.monotonic() + 1.5
    producer.post(user, ttl=1.5)
    producer.post(user)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1.5))
    producer.post(other, deliver_at=at)
    own.kill()
    wait_until(lambda: time.monotonic() > ends + 1, what="both to fall due")

    own.start()
    started = time.monotonic()
    with own.connect(user) as device:
        device.hello()
        device.expect_welcome(unread=1, unseen=1)
        device.expect_push()
        device.expect_synced()
        page = inbox(own, user)
        assert (page["unread"], len(page["notifications"])) == (1, 1)
    wait_until(lambda: inbox(own, other)["unread"] == 1, what="what was scheduled")
    return time.monotonic() - started


@pytest.mark.parametrize("to", ["user", "topic", "all"])
def test_a_session_is_told_what_an_expiry_changes(server: Server, to: str):
    producer, user = server.producer(), fresh_user()
    topic = fresh_user("topic")
    headers = bearer(token(user))
    assert server.http.put(f"/v1/me/subscriptions/{topic}", headers=headers).status_code == 204
    recipients = {"user": {"users": [user]}, "topic": {"topic": topic}, "all": {"all": True}}[to]
    with (
        server.device(user, "phone") as phone,
        server.http.stream("GET", "/v1/inbox/stream?device=tv", headers=headers) as stream,
    ):
        phone.expect_synced()
        events = (line for line in stream.iter_lines() if line.startswith(("event:", "data:")))
        post = {"to": recipients, "title": "Hello", "ttl": LIFETIME}
        assert producer.request("POST", "/v1/notifications", json=post).status_code == 201
        push = phone.expect_push(unread=1, unseen=1)
        phone.ack(push)

        phone.expect("counters", unread=0, unseen=0)

        assert next(line for line in events if line == "event: counters")
        data = json.loads(next(events).removeprefix("data: "))
        assert data == {"type": "counters", "unread": 0, "unseen": 0}


def test_a_poll_that_waits_is_told_too(server: Server):
    producer, user = server.producer(), fresh_user()
    headers = bearer(token(user))
    producer.post(user, ttl=LIFETIME)
    first = expect_json(server.http.get("/v1/inbox/changes", headers=headers))
    assert (len(first["changes"]), first["unread"]) == (1, 1)
    started = time.monotonic()

    query = f"/v1/inbox/changes?wait=20&cursor={first['cursor']}"
    second = expect_json(server.http.get(query, headers=headers, timeout=30))

    assert (second["changes"], second["unread"], second["unseen"]) == ([], 0, 0)
    assert time.monotonic() - started < 15
