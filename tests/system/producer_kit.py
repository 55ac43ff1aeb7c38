"""A backend that posts over HTTP, and the answers that it expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from servers.tokens import bearer


class Producer:
    """A backend that posts."""

    def __init__(self, http: httpx.Client, credential: str) -> None:
        self._http = http
        self.credential = credential
        self._headers = bearer(credential)

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        return self._http.request(
            method, path, headers={**self._headers, **(headers or {})}, **options
        )

    def post(self, *users: str, title: str = "Hello", **fields: Any) -> str:
        """Post to *users*; the notification's id."""
        answer = self.try_post(*users, title=title, **fields)
        assert answer.status_code == 201, answer.text
        notification: str = answer.json()["id"]
        return notification

    def try_post(
        self, *users: str, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        body = {"to": {"users": list(users)}, "title": "Hello", **fields}
        return self.request("POST", "/v1/notifications", json=body, headers=headers)

    def update(self, notification: str, **fields: Any) -> dict[str, Any]:
        return expect_json(self.request("PATCH", f"/v1/notifications/{notification}", json=fields))

    def withdraw(self, notification: str) -> None:
        answer = self.request("DELETE", f"/v1/notifications/{notification}")
        assert answer.status_code == 204, answer.text

    def view(self, notification: str) -> dict[str, Any]:
        return expect_json(self.request("GET", f"/v1/notifications/{notification}"))

    def ledger(self, notification: str) -> dict[str, dict[str, Any]]:
        """The ledger's lines by device, for notifications to one user."""
        path = f"/v1/notifications/{notification}/deliveries"
        lines = expect_json(self.request("GET", path))["deliveries"]
        return {line["device"]: line for line in lines}


def expect_json(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    read: dict[str, Any] = answer.json()
    return read


def expect_problem(answer: httpx.Response, status: int, code: str = "") -> dict[str, Any]:
    """An RFC 9457 problem, whole, with a request id."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.get("X-Request-Id"), "every answer has a request id"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "detail", "code"} <= problem.keys()
    assert problem["type"] == f"/docs#error-{problem['code']}"
    if code:
        assert problem["code"] == code, problem
    return problem
