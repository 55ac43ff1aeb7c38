"""Following the inbox over plain HTTP, with a client that is not ours: events, and long polls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from servers.node import PATIENCE, wait_until
from servers.tokens import bearer, token
from tests.system.device_kit import Frame
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server


@dataclass
class Event:
    """One event as it stands in the stream."""

    name: str = ""
    data: Frame = field(default_factory=dict)
    id: str | None = None
    retry: int | None = None


class Events:
    """A stream that is open; keeps the last id, as an EventSource does."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_id: str | None = None
        self.comments = 0
        self._lines = response.iter_lines()

    def __iter__(self) -> Iterator[Event]:
        """Every event to the end of the stream."""
        event = Event()
        for line in self._lines:
            name, _, value = line.partition(": ")
            match name:
                case "event":
                    event.name = value
                case "data":
                    event.data = json.loads(value)
                case "id":
                    event.id = self.last_id = value
                case "retry":
                    event.retry = int(value)
                case ":":
                    self.comments += 1
                case "" if event.name:
                    assert event.data["type"] == event.name
                    yield event
                    event = Event()

    def expect(self, name: str, **fields: Any) -> Event:
        """The next event, which must be of this name and have these fields."""
        event = next(iter(self))
        assert event.name == name, f"expected {name}, got {event}"
        for key, value in fields.items():
            assert event.data.get(key) == value, f"expected {key}={value!r} in {event}"
        return event

    def expect_push(self, title: str, **fields: Any) -> Event:
        event = self.expect("push", **fields)
        assert event.data["notification"]["title"] == title, event
        assert str(event.id).endswith(f".{event.data['sequence']}")
        return event

    def expect_live(self) -> str:
        """Welcome and synced; the device's name."""
        welcome = self.expect("welcome")
        assert self.response.headers["Content-Type"] == "text/event-stream"
        self.expect("synced")
        name: str = welcome.data["device"]
        return name

    def expect_goodbye(self, code: int) -> Event:
        """The last event is a goodbye with *code*; others may come before."""
        events = list(self)
        assert events, "the stream ended without a word"
        assert events[-1].name == "goodbye", events[-3:]
        assert events[-1].data["code"] == code
        return events[-1]


@contextmanager
def stream(
    server: Server, user: str = "", *, headers: Mapping[str, str] | None = None, **query: object
) -> Iterator[Events]:
    """Opens a stream; with *user*, the request carries a token."""
    credential = bearer(token(user)) if user else {}
    with (
        httpx.Client(base_url=server.url, timeout=PATIENCE, verify=False) as http,
        http.stream(
            "GET",
            "/v1/inbox/stream",
            params={name: str(value) for name, value in query.items()},
            headers={**credential, **(headers or {})},
        ) as response,
    ):
        assert response.status_code == 200, response.read()
        yield Events(response)


class Front(Protocol):
    """The taker of requests: a server, or a proxy in front of one."""

    @property
    def url(self) -> str: ...


def try_poll(
    server: Front, user: str, *, patience: float = PATIENCE, **query: object
) -> httpx.Response:
    """One long poll on a connection of its own, so that several may wait."""
    return httpx.get(
        f"{server.url}/v1/inbox/changes",
        params={name: str(value) for name, value in query.items()},
        headers=bearer(token(user)),
        timeout=patience,
        verify=False,
    )


def poll(server: Server, user: str, **query: Any) -> dict[str, Any]:
    answer = try_poll(server, user, **query)
    assert answer.headers["Cache-Control"] == "no-store"
    return expect_json(answer)


def wait_until_begun(server: Server, user: str, device: str) -> None:
    """The session of a *device* that was not known before has got its start from the store.

    An outage before that, or a stop, is a problem for it; it is counted as a session by then.
    """

    def is_known() -> bool:
        answer = expect_json(server.http.get("/v1/me/devices", headers=bearer(token(user))))
        return any(each["device"] == device for each in answer["devices"])

    wait_until(is_known, what=f"the session of {device} to begin")


def titles(answer: Mapping[str, Any]) -> list[str]:
    return [change["notification"]["title"] for change in answer["changes"]]


def acknowledge(server: Server, user: str, **body: object) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/inbox/ack",
        json=body,
        headers=bearer(token(user)),
        timeout=PATIENCE,
        verify=False,
    )
