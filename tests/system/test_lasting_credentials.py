"""All that lasts ends with the credential that began it: streams, connections, polls."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from servers.node import PATIENCE
from servers.tokens import bearer, token
from tests.system.followers_kit import events
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.server_kit import Server

ROOT = bearer(token("root", "admin notify"))
STREAM = "text/event-stream"


@pytest.fixture(scope="session")
def server(sqlite_servers) -> Server:
    """Credentials end in the same way on each store."""
    shared: Server = sqlite_servers.get("server", {})
    return shared


def streams(server: Server) -> list[str]:
    """The paths of all streams that the node says it has."""
    paths = server.http.get("/openapi.json").json()["paths"]
    return [
        path
        for path, calls in paths.items()
        if STREAM in calls.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    ]


def begin(stack: ExitStack, server: Server, path: str, credential: str) -> Iterator[Any]:
    """The events of the stream at *path*, which has begun; none if the caller may not have it."""
    answer = stack.enter_context(
        httpx.stream(
            "GET", server.url + path, headers=bearer(credential), timeout=httpx.Timeout(PATIENCE)
        )
    )
    assert answer.status_code in {200, 403}, answer.read()
    lines = answer.iter_lines()
    if answer.status_code == 200:
        next(lines)
    return events(lines) if answer.status_code == 200 else iter(())


def expect_goodbye(told: Iterator[Any]) -> None:
    name, data = list(told)[-1]
    assert (name, json.loads(data)["code"]) == ("goodbye", 4401)


def test_all_that_lasts_ends_when_its_key_is_revoked(server: Server):
    made = expect_json(
        server.http.post("/v1/admin/keys", json={"scopes": ["admin", "notify"]}, headers=ROOT), 201
    )
    of_key = bearer(made["text"])
    polled: list[httpx.Response] = []

    def poll() -> None:
        # Late receipts of tests before may answer the first.
        while not polled or polled[-1].is_success:
            answer = server.http.get(
                "/v1/receipts", params={"wait": 50}, headers=of_key, timeout=PATIENCE
            )
            polled.append(answer)

    with ExitStack() as stack:
        began = {path: begin(stack, server, path, made["text"]) for path in streams(server)}
        own = began.pop("/v1/inbox/stream")
        assert len(began) >= 2
        assert list(own) == []  # a key has no inbox
        device = stack.enter_context(server.connect(headers=of_key))
        device.hello(None)
        device.expect("welcome")
        polling = threading.Thread(target=poll)
        polling.start()
        server.http.delete(f"/v1/admin/keys/{made['id']}", headers=ROOT)
        for told in began.values():
            expect_goodbye(told)
        device.expect_goodbye(4401)
        polling.join(PATIENCE)
        # A poll that came behind the revocation is refused at the door, by the same word.
        expect_problem(polled[-1], 401, "key_revoked")


def test_each_stream_ends_when_its_token_expires(server: Server, ada: str):
    # Each of them is checked when it begins, so the token has to last that long on a slow machine.
    short = token(ada, "admin notify", 8)
    with ExitStack() as stack:
        for told in [begin(stack, server, path, short) for path in streams(server)]:
            expect_goodbye(told)
