"""A user's changes as an asynchronous iteration, on Trio and on asyncio."""

from __future__ import annotations

import random
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Self

import anyio
import anyio.lowlevel

from tocsin_client.actions import News, Stop
from tocsin_client.follower import RECONNECT_CAP, Follower
from tocsin_client.frames import Push
from tocsin_client.line import Line
from tocsin_client.tasks import background
from tocsin_client.tokens import TokenSource

WAITING_MAX: Final = 1024
"""Pushes that wait for the program: no window of a server is larger."""


class Stopped(Exception):
    """The server has ended it, and coming back is no use: *reason* is a word of docs/protocol.md,
    such as `replaced` or `unauthenticated`; `refused` where it did not open a WebSocket,
    `no_inbox` where the token is no user's, `not_tocsin` where something else answers."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.reason if stop.detail is None else f"{stop.reason}: {stop.detail}")
        self.reason = stop.reason
        self.code = stop.code
        self.detail = stop.detail


class Changes:
    """Each change of a user's log once and in order; see `follow`, which makes it. An iteration
    raises `Stopped` where the server has ended it for good."""

    def __init__(self, follower: Follower, line: Callable[[Changes], Line]) -> None:
        self._follower = follower
        self._waiting: deque[Push] = deque()
        self._current: Push | None = None
        self._stop: Stop | None = None
        self._bell = anyio.Event()
        self._line = line(self)

    @property
    def device(self) -> str | None:
        """This device's name; None until the server has given it one."""
        return self._follower.device

    @property
    def cursor(self) -> str | None:
        """Where a follower that comes later goes on; the server knows it as well."""
        return self._follower.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Push:
        """Acknowledge the change before, and wait for the next. Cancelled, none is lost."""
        self.acknowledge()
        await anyio.lowlevel.checkpoint()
        while not self._waiting:
            if self._stop is not None:
                raise Stopped(self._stop)
            await self._bell.wait()
        self._current = self._waiting.popleft()
        self._ring()
        return self._current

    def acknowledge(self) -> None:
        """The program is done with the present change, and does not ask for another yet."""
        self._done(None)

    def refuse(self, reason: str) -> None:
        """The program cannot do with the present change now: the server sends it again later, and
        those behind it go on meanwhile."""
        self._done(reason)

    # --- The line --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow until the server ends it for good; cancelled as `Line.run` is."""
        self._stop = await self._line.run()
        self._ring()

    async def leave(self) -> None:
        """End in order; see `Line.leave`. Cancelled, the connection may be cut."""
        await self._line.leave()

    def show(self, push: Push) -> None:
        """A push for the program."""
        self._waiting.append(push)
        self._ring()

    async def room(self) -> None:
        """Wait until there is room for another push; cancelling does no harm."""
        while len(self._waiting) >= WAITING_MAX:
            await self._bell.wait()

    def _done(self, error: str | None) -> None:
        push, self._current = self._current, None
        if push is not None:
            self._line.handled(push, error)

    def _ring(self) -> None:
        self._bell.set()
        self._bell = anyio.Event()


@asynccontextmanager
async def follow(
    server: str,
    *,
    token: TokenSource,
    device: str | None = None,
    cursor: str | None = None,
    user: str | None = None,
    acknowledge: bool = True,
    news: Callable[[News], None] = lambda _: None,
    client: str = "tocsin-python",
    context: ssl.SSLContext | None = None,
    reconnect_cap: float = RECONNECT_CAP,
) -> AsyncIterator[Changes]:
    """Follow a user's log on *server*, through lost connections and servers that restart.

    A change is acknowledged when the next is asked for; one that was not is sent again, to the next
    follower of the *device*, which the server remembers by its name. *token* is a token of the user
    or a function that gives one; the function is called for each connection, and before its token
    ends. *cursor* is where to start (`"0"`: with all that is retained), *user* whose log it must
    be. Without *acknowledge* it only watches. *news* is called with what happens to the connection
    (`tocsin_client.actions.News`). Times are seconds.

    Leaving the block acknowledges what was handled, and takes up to three seconds for that;
    cancelled, the connection is cut.
    """
    follower = Follower(
        random=random.random,
        device=device,
        cursor=cursor,
        client=client,
        user=user,
        acknowledge=acknowledge,
        reconnect_cap=reconnect_cap,
    )

    def line(changes: Changes) -> Line:
        take, room = changes.show, changes.room
        return Line(follower, server, token, show=take, room=room, news=news, context=context)

    async with background() as tasks:
        changes = Changes(follower, line)
        tasks.start_soon(changes.run)
        try:
            yield changes
        except Exception:
            await changes.leave()
            raise
        await changes.leave()
