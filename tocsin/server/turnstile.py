"""How many newcomers are let in at a time: the share of a node that those outside may have.

All devices of a node that died come back in one moment. Each costs more in its first instants than
in the next hour: a handshake, a token, an actor, a transaction. Every runnable task runs in every
turn of the event loop, so a thousand handshakes at once would make every turn as long as a
thousand handshakes, and all who are here already would wait for it. So newcomers pass a turnstile,
so many at a time and in the order in which they came; the rest stand in a queue and cost nothing.

Only what is ours to do is done inside. No client holds a place while we wait for it, so that those
who say nothing keep nobody out.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

import trio

HANDSHAKES_MAX: Final = 2
"""Handshakes at a time: half a millisecond of each turn. More would not be sooner over, since they
share one core."""
ATTACHING_MAX: Final = 32
"""Devices whose place in the log is being looked up: what a transaction takes without growing
long, because commits that go with it wait as long."""
SPEAKERS_MAX: Final = 4
"""Of the WebSockets that have more to say than is handled in a turn, those that go on in one: a
millisecond or two of each turn, however many they are."""
MARKING_MAX: Final = 32
"""Marks from WebSockets on their way to the store: as many are answered in one turn, because they
are committed together."""

ANSWERS_MAX: Final = 2
"""Long polls that are answered at a time: one publish may be what thousands have waited for, and an
answer costs a millisecond."""


class Turnstile:
    """Lets *inside_max* through at a time, in order."""

    def __init__(self, inside_max: int) -> None:
        self._limiter = trio.CapacityLimiter(inside_max)

    async def enter(self) -> Place:
        """Wait for a place, which is to be left. Cancelling gives up the place in the queue.

        Not a checkpoint if there is room and nobody waits for it.
        """
        place = Place(self._limiter)
        try:
            self._limiter.acquire_on_behalf_of_nowait(place)
        except trio.WouldBlock:
            await self._limiter.acquire_on_behalf_of(place)
        return place

    @property
    def waiting(self) -> int:
        """How many stand in the queue."""
        return self._limiter.statistics().tasks_waiting


class Place:
    """One place inside; as a context manager it is left with the block."""

    __slots__ = ("__weakref__", "_limiter")

    def __init__(self, limiter: trio.CapacityLimiter) -> None:
        self._limiter: trio.CapacityLimiter | None = limiter

    def leave(self) -> None:
        """Let the next one in; again is no harm."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.release_on_behalf_of(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.leave()
