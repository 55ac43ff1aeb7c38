"""Posting notifications from a program without an event loop: Django, Flask, a script."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from tocsin_client.errors import ApiError
from tocsin_client.posts import (
    PATH,
    PATIENCE,
    Attempts,
    Post,
    Posted,
    call_of,
    draft,
    new_post,
    outcomes_of,
    settle,
    take,
)
from tocsin_client.transport import (
    CALL_FAILURES,
    Call,
    client_options,
    failure_of,
    read_answer,
    request_options,
)


class Producer:
    """As `tocsin_client.Producer`, and blocking. Threads may share one."""

    def __init__(
        self, server: str, *, token: str | Callable[[], str], patience: float = PATIENCE
    ) -> None:
        self._server = server
        self._token = token
        self._patience = patience
        self._client = httpx.Client(**client_options(server))

    def __enter__(self) -> Self:
        self._client.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def post(
        self,
        to: str | Iterable[str] | Mapping[str, Any],
        title: str,
        *,
        key: str | None = None,
        **fields: Any,
    ) -> Posted:
        """As `tocsin_client.Producer.post`. Raises `ApiError`."""
        post = new_post(draft(to, title, **fields), key, time.monotonic() + self._patience)
        self._send([post])
        if isinstance(post.outcome, ApiError):
            raise post.outcome
        assert post.outcome is not None
        return post.outcome

    def post_all(self, drafts: Iterable[Mapping[str, Any]]) -> list[Posted | ApiError]:
        """As `tocsin_client.Producer.post_all`: a thousand in one call."""
        deadline = time.monotonic() + self._patience
        posts = [new_post(each, None, deadline) for each in drafts]
        start = 0
        while start < len(posts):
            end = start + take(posts[start:])
            self._send(posts[start:end])
            start = end
        return [post.outcome for post in posts if post.outcome is not None]

    def update(self, notification: str, **fields: Any) -> None:
        """Change *fields* of a notification. Raises `ApiError`."""
        path = f"{PATH}/{quote(notification, safe='')}"
        self._insist(Call("PATCH", path, json.dumps(fields).encode()))

    def withdraw(self, notification: str) -> None:
        """Withdraw a notification; again is no error. Raises `ApiError`."""
        self._insist(Call("DELETE", f"{PATH}/{quote(notification, safe='')}"))

    # --- Inside ----------------------------------------------------------------------------------

    def _send(self, posts: list[Post]) -> None:
        while posts:
            outcomes = self._try(posts)
            posts, delay = settle(posts, outcomes, time.monotonic(), random.random)
            time.sleep(delay)

    def _try(self, posts: list[Post]) -> list[Posted | ApiError]:
        try:
            response = self._call(call_of(posts))
            return outcomes_of(posts, read_answer(response), response.headers)
        except ApiError as error:
            return [error] * len(posts)

    def _insist(self, call: Call) -> None:
        attempts = Attempts(time.monotonic() + self._patience)
        while True:
            try:
                read_answer(self._call(call))
                return
            except ApiError as error:
                delay = attempts.delay(error, time.monotonic(), random.random)
                if delay is None:
                    raise
            time.sleep(delay)

    def _call(self, call: Call) -> httpx.Response:
        token = self._token if isinstance(self._token, str) else self._token()
        try:
            return self._client.request(**request_options(self._server, token, call))
        except CALL_FAILURES as error:
            raise failure_of(error, self._server) from error
