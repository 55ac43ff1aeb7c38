"""Posting notifications from a program with an event loop, Trio's or asyncio's."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import anyio
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
from tocsin_client.tasks import background
from tocsin_client.tokens import TokenSource, token_of
from tocsin_client.transport import (
    CALL_FAILURES,
    Call,
    client_options,
    failure_of,
    read_answer,
    request_options,
)

CALLS_MAX: Final = 4
"""Calls with posts under way at a time; meanwhile further posts gather, and go in one call."""


class Producer:
    """Posts notifications to *server*, with an API key or a token of the scope `notify`.

    Use it as an asynchronous context manager. Each post has an idempotency key, and is repeated for
    *patience* seconds where that may help: while the server restarts, has lost its store or asks
    for a pause. Posts that come while others are under way go together in one call.
    """

    def __init__(self, server: str, *, token: TokenSource, patience: float = PATIENCE) -> None:
        self._server = server
        self._token = token
        self._patience = patience
        self._waiting: list[Post] = []
        self._bell = anyio.Event()
        self._stack = AsyncExitStack()
        self._is_open = False
        self._client = httpx.AsyncClient(**client_options(server))

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        tasks = await self._stack.enter_async_context(background())
        for _ in range(CALLS_MAX):
            tasks.start_soon(self._carry)
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False
        try:
            await self._stack.__aexit__(kind, error, trace)
        finally:
            for post in self._waiting:
                post.settle(_closed())

    async def post(
        self,
        to: str | Iterable[str] | Mapping[str, Any],
        title: str,
        *,
        key: str | None = None,
        **fields: Any,
    ) -> Posted:
        """Post one notification: *to* is a user, users, `{"topic": …}` or `{"all": True}`; *fields*
        are those of docs/protocol.md. Durable when it returns. Raises `ApiError`.

        Cancelled, it may have been posted; with the same *key* it can be posted again.
        """
        [outcome] = await self.post_all([draft(to, title, **fields)], [key])
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome

    async def post_all(
        self, drafts: Iterable[Mapping[str, Any]], keys: Sequence[str | None] | None = None
    ) -> list[Posted | ApiError]:
        """Post *drafts*, each as `tocsin_client.posts.draft` makes them and with its own outcome,
        in their order. Cancelled, some of them may have been posted. Raises `RuntimeError` unless
        the producer is open; what is under way when it closes ends as an `ApiError` (`closed`).
        """
        if not self._is_open:
            raise RuntimeError("the producer is not open: use it in `async with`")
        deadline = anyio.current_time() + self._patience
        drafts = list(drafts)
        given = keys or [None] * len(drafts)
        posts = [new_post(each, key, deadline) for each, key in zip(drafts, given, strict=True)]
        over = [anyio.Event() for _ in posts]
        for post, event in zip(posts, over, strict=True):
            post.settled = event.set
        self._waiting += posts
        self._ring()
        try:
            for event in over:
                await event.wait()
        finally:
            self._waiting = [each for each in self._waiting if each not in posts]
        return [post.outcome for post in posts if post.outcome is not None]

    async def update(self, notification: str, **fields: Any) -> None:
        """Change *fields* of a notification. Raises `ApiError`. Cancelled, it may be done."""
        path = f"{PATH}/{quote(notification, safe='')}"
        await self._insist(Call("PATCH", path, json.dumps(fields).encode()))

    async def withdraw(self, notification: str) -> None:
        """Withdraw a notification; again is no error. Raises `ApiError`. Cancelled, it may be
        done."""
        await self._insist(Call("DELETE", f"{PATH}/{quote(notification, safe='')}"))

    # --- Inside ----------------------------------------------------------------------------------

    def _ring(self) -> None:
        self._bell.set()
        self._bell = anyio.Event()

    async def _carry(self) -> None:
        """Send what waits, again and again."""
        while True:
            while not self._waiting:
                await self._bell.wait()
            number = take(self._waiting)
            posts, self._waiting = self._waiting[:number], self._waiting[number:]
            try:
                await self._send(posts)
            finally:
                # Those that wait for them may be in tasks that outlive the producer.
                for post in posts:
                    if post.outcome is None:
                        post.settle(_closed())

    async def _send(self, posts: list[Post]) -> None:
        """Send *posts* until each has an outcome."""
        while posts:
            outcomes = await self._try(posts)
            posts, delay = settle(posts, outcomes, anyio.current_time(), random.random)
            await anyio.sleep(delay)

    async def _try(self, posts: list[Post]) -> Sequence[Posted | ApiError]:
        try:
            response = await self._call(call_of(posts))
            return outcomes_of(posts, read_answer(response), response.headers)
        except ApiError as error:
            return [error] * len(posts)

    async def _insist(self, call: Call) -> None:
        attempts = Attempts(anyio.current_time() + self._patience)
        while True:
            try:
                read_answer(await self._call(call))
                return
            except ApiError as error:
                delay = attempts.delay(error, anyio.current_time(), random.random)
                if delay is None:
                    raise
            await anyio.sleep(delay)

    async def _call(self, call: Call) -> httpx.Response:
        try:
            token = await token_of(self._token)
        except Exception as error:
            # One call's trouble, and perhaps over soon: not the end of the producer.
            raise ApiError(0, "token", f"there is no token: {error}") from error
        try:
            return await self._client.request(**request_options(self._server, token, call))
        except CALL_FAILURES as error:
            raise failure_of(error, self._server) from error


def _closed() -> ApiError:
    return ApiError(0, "closed", "the producer was closed before there was an answer")
