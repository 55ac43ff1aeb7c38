"""A repeated post is looked up before it is judged, over every door."""

from __future__ import annotations

import json
import time
from typing import Any, cast

import httpx
import pytest

from servers.node import wait_until
from servers.tokens import PRODUCER, bearer
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.server_kit import Server, fresh_user
from tocsin.protocol.values import to_rfc3339

LIFETIME = 700
"""Milliseconds that a post lives: long enough to be posted in time on a busy machine."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Brief:
    """A post that is soon too late, and the times at which it is."""

    def __init__(self, **fields: Any) -> None:
        self.expires_at = now_ms() + LIFETIME
        self.post = {
            "to": {"users": [fresh_user()]},
            "title": "Hello",
            "expires_at": to_rfc3339(self.expires_at),
            "deliver_at": to_rfc3339(self.expires_at - LIFETIME // 2),
        } | fields

    def pass_by(self) -> None:
        wait_until(lambda: now_ms() > self.expires_at + 50, what="the post to have expired")


def post(producer: Producer, post: dict[str, Any], key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return producer.request("POST", "/v1/notifications", json=post, headers=headers)


def test_alone(server: Server):
    producer, brief, key, new = server.producer(), Brief(), fresh_user("key"), fresh_user("key")
    first = post(producer, brief.post, key)
    assert first.status_code == 201
    brief.pass_by()

    again = post(producer, brief.post, key)

    assert (again.status_code, again.text) == (201, first.text)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = post(producer, brief.post | {"title": "x"}, key)
    expect_problem(other, 422, "idempotency_key_reused")
    expect_problem(post(producer, brief.post, new), 422, "invalid")
    expect_problem(post(producer, brief.post), 422, "invalid")
    # A key that was refused is still good.
    assert post(producer, Brief().post, new).status_code == 201


@pytest.mark.parametrize("media", ["application/json", "application/x-ndjson"])
def test_in_a_batch(server: Server, media: str):
    producer, brief = server.producer(), Brief()
    own = brief.post | {"title": "Other", "idempotency_key": fresh_user("key")}
    items = [brief.post, own]
    lines = "\n".join(map(json.dumps, items))
    body = json.dumps(items) if media == "application/json" else lines
    headers = {"Idempotency-Key": fresh_user("key"), "Content-Type": media}

    def send() -> dict[str, Any]:
        return expect_json(
            producer.request("POST", "/v1/notifications/batch", content=body, headers=headers)
        )

    first = [each["id"] for each in send()["results"]]
    brief.pass_by()

    assert send()["results"] == [{"status": 201, "id": id_, "replayed": True} for id_ in first]


def test_in_a_frame(server: Server):
    brief, key = Brief(), fresh_user("key")
    with server.connect(headers=bearer(PRODUCER)) as socket:
        socket.hello(None)
        socket.expect_welcome()
        socket.expect_synced()
        first = socket.publish(1, brief.post, idempotency_key=key)
        assert first["ok"]
        brief.pass_by()

        again = socket.publish(2, brief.post, idempotency_key=key)
        assert again["result"] == first["result"]
        new = socket.publish(3, brief.post, idempotency_key=fresh_user("key"))
        assert new["problem"]["status"] == 422


def test_the_same_meaning_in_other_words(server: Server):
    producer, key = server.producer(), fresh_user("key")
    first = {
        "to": {"users": ["ada", "bob"]},
        "title": "Hello",
        "expires_at": "2040-01-01T12:00:00Z",
        "data": {"n": 1},
    }
    again = {
        "title": "H\u0065llo",
        "data": {"n": 1.0},
        "body": None,
        "expires_at": "2040-01-01T13:00:00.000+01:00",
        "to": {"users": ["bob", "ada", "bob"], "topic": None},
    }
    id_ = expect_json(post(producer, first, key), 201)["id"]
    assert expect_json(post(producer, again, key), 201)["id"] == id_


@pytest.mark.parametrize(
    ("time", "status"),
    [
        ("2040-12-31T23:59:60Z", 201),
        ("2040-01-01t00:00:00.5z", 201),
        ("2040-01-01T00:00:00+0100", 422),
        ("2040-01-01 00:00:00Z", 422),
        ("2040-02-30T00:00:00Z", 422),
    ],
)
def test_instants_are_those_of_rfc_3339(server: Server, time: str, status: int):
    producer = server.producer()
    id_ = producer.post(fresh_user())
    for field in ("expires_at", "deliver_at"):
        answer = producer.try_post(fresh_user(), **cast(Any, {field: time}))
        assert answer.status_code == status, answer.text
        if status == 422:
            assert expect_problem(answer, 422, "invalid")["errors"][0]["path"] == f"$.{field}"
    patch = producer.request("PATCH", f"/v1/notifications/{id_}", json={"expires_at": time})
    assert patch.status_code == (200 if status == 201 else 422)


def test_a_key_that_is_there_twice_is_refused_at_every_door(server: Server):
    producer, user = server.producer(), fresh_user()
    good = json.dumps({"to": {"users": [user]}, "title": "Hello"})
    twice = good.replace("}}", "}").removesuffix("}") + ',"title":"Other"}'
    inside = good.removesuffix("}") + ',"data":{"a":{"b":":","b":2}}}'

    for body in (twice, inside):
        answer = producer.request("POST", "/v1/notifications", content=body)
        assert "more than once" in expect_problem(answer, 422, "invalid")["detail"]
        for media, batch in (
            ("application/json", f"[{body},{good}]"),
            ("application/x-ndjson", f"{body}\n{good}"),
        ):
            headers = {"Content-Type": media}
            path = "/v1/notifications/batch"
            answer = producer.request("POST", path, content=batch, headers=headers)
            results = expect_json(answer)["results"]
            assert [each["status"] for each in results] == [422, 201]
    with server.connect(headers=bearer(PRODUCER)) as socket:
        socket.hello(None)
        socket.expect_welcome()
        socket.expect_synced()
        for body in (twice, inside):
            socket.socket.send(f'{{"type":"publish","request":1,"notification":{body}}}')
            assert socket.expect("reply", request=1)["problem"]["status"] == 422
        socket.socket.send('{"type":"ping","type":"ping"}')
        assert "more than once" in socket.expect_goodbye(4400)["detail"]
