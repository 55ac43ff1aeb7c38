"""A user who looks at their inbox over HTTP, and marks what is in it."""

from __future__ import annotations

from typing import Any

import httpx

from servers.tokens import bearer, token
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server


class Person:
    """Talks to *server* with a token of *user*."""

    def __init__(self, server: Server, user: str) -> None:
        self.user = user
        self._http = server.http
        self._headers = bearer(token(user))

    def request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        return self._http.request(
            method, path, headers={**self._headers, **(headers or {})}, **options
        )

    def get(self, path: str, **query: Any) -> Any:
        return expect_json(self.request("GET", path, params=query))

    def page(self, **query: Any) -> Any:
        return self.get("/v1/inbox", **query)

    def one(self, notification: str) -> Any:
        return self.get(f"/v1/inbox/{notification}")

    def titles(self, **query: Any) -> list[str]:
        """The newest first."""
        return [each["title"] for each in self.page(**query)["notifications"]]

    def states(self) -> dict[str, str]:
        """By title, also what is archived."""
        return {each["title"]: each["state"] for each in self.page(state="all")["notifications"]}

    def counters(self) -> tuple[int, int]:
        """Unread and unseen."""
        page = self.page(limit=1)
        return page["unread"], page["unseen"]

    def try_mark(self, state: str, **which: Any) -> httpx.Response:
        return self.request("POST", "/v1/inbox/mark", json={"state": state, **which})

    def mark(self, state: str, **which: Any) -> Any:
        return expect_json(self.try_mark(state, **which))
