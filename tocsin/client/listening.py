"""One device of a user in a terminal, which shows changes as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import trio

from tocsin.client.narration import Narrator
from tocsin_client.actions import News, Reset, Status, Stop
from tocsin_client.changes import Changes, Stopped, follow
from tocsin_client.closing import UNAUTHENTICATED
from tocsin_client.follower import RECONNECT_CAP
from tocsin_client.frames import Push
from tocsin_client.tokens import TokenSource


class Screen(Protocol):
    """Where the news goes; it is shown before it is acknowledged, so it must not return early."""

    def show(self, push: Push) -> None:
        """A push, for the first time."""

    def tell(self, text: str, raw: str | None) -> None:
        """Something about the connection; *raw* if a program has to know it as well."""


@dataclass(frozen=True, slots=True)
class Place:
    """The log to follow, that of *user* on *server*, as *device*, from *cursor* on. *shown_max* is
    after how many pushes to stop, *reconnect_cap* the longest delay in seconds."""

    server: str
    user: str
    device: str
    token: TokenSource
    client: str
    cursor: str | None = None
    acknowledge: bool = True
    shown_max: int | None = None
    reconnect_cap: float = RECONNECT_CAP


@dataclass(frozen=True, slots=True)
class Outcome:
    """Over: *trouble* says why, None if it is what was wanted. *unauthenticated*: the server does
    not know the credential; another one might do."""

    trouble: str | None = None
    unauthenticated: bool = False


class Listening:
    """Shows on *screen* what comes at *place*, in the words of *narrator*."""

    def __init__(self, place: Place, screen: Screen, narrator: Narrator) -> None:
        self._place = place
        self._screen = screen
        self._narrator = narrator
        self._left = False
        self._waiting = trio.CancelScope()

    def leave(self) -> None:
        """Have `run` end soon: what was shown is acknowledged, and the connection closed."""
        self._left = True
        self._waiting.cancel()

    async def run(self) -> Outcome:
        """Follow until there is no use in going on, or until told to leave.

        Cancelling cuts the connection: what was shown last may come again.
        """
        place = self._place
        try:
            async with follow(
                place.server,
                token=place.token,
                device=place.device,
                cursor=place.cursor,
                user=place.user,
                acknowledge=place.acknowledge,
                news=self._tell,
                client=place.client,
                reconnect_cap=place.reconnect_cap,
            ) as changes:
                await self._show(changes)
        except Stopped as stopped:
            stop = Stop(stopped.reason, stopped.code, stopped.detail)
            trouble = self._narrator.trouble(stop, place.device)
            return Outcome(trouble, unauthenticated=stop.code == UNAUTHENTICATED)
        return Outcome()

    async def _show(self, changes: Changes) -> None:
        shown = 0
        while not self._left:
            push: Push | None = None
            with trio.CancelScope() as self._waiting:
                push = await anext(changes)
            if push is None:
                return
            self._screen.show(push)
            shown += 1
            if shown == self._place.shown_max:
                break
        changes.acknowledge()

    def _tell(self, news: News) -> None:
        if self._left:
            return
        text = self._narrator.text(news, self._place.device)
        if text is not None:
            self._screen.tell(text, news.raw if isinstance(news, Reset | Status) else None)
