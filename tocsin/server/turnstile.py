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

from collections import deque
from types import TracebackType
from typing import Final, Protocol, Self

import trio

HANDSHAKES_MAX: Final = 4
"""Handshakes at a time: half a millisecond of each turn. With fewer, the turns themselves would be
what newcomers cost; more would not be sooner over, since they share one core."""
ATTACHING_MAX: Final = 32
"""Devices whose place in the log is being looked up: what a transaction takes without growing
long, because commits that go with it wait as long."""
SPEAKERS_MAX: Final = 4
"""Of the WebSockets that have more to say than is handled in a turn, those that go on in one: a
millisecond or two of each turn, however many they are."""
MARKING_MAX: Final = 32
"""Marks from WebSockets on their way to the store: as many are answered in one turn, because they
are committed together."""

ANSWERS_MAX: Final = 4
"""Long polls that are answered in a turn: one publish may be what thousands have waited for. With
the polls that follow, a turn is a millisecond or two."""


class Turnstile:
    """Lets *inside_max* through at a time, in order."""

    __slots__ = ("_free", "_queue")

    def __init__(self, inside_max: int) -> None:
        self._free = inside_max
        self._queue = trio.lowlevel.ParkingLot()

    async def enter(self) -> Place:
        """Wait for a place, which is to be left. Cancelling gives up the place in the queue.

        Not a checkpoint if there is room and nobody waits for it.
        """
        place = self.enter_now()
        if place is None:
            await self._queue.park()
            place = Place(self)  # it was handed on
        return place

    def enter_now(self) -> Place | None:
        """A place, if there is room."""
        if not self._free:
            return None
        self._free -= 1
        return Place(self)

    def leave(self) -> None:
        """One place is left; for a `Place` to say, once."""
        if not self._queue.unpark():
            self._free += 1

    @property
    def waiting(self) -> int:
        """How many stand in the queue."""
        return len(self._queue)


class InLine(Protocol):
    """One that stands in an `AnswerLine`."""

    @property
    def has_gone(self) -> bool:
        """Whether it wants no place any more."""

    def come(self) -> None:
        """Take the place that is free, and leave it later; must not block or raise."""


class AnswerLine:
    """As `Turnstile`, for sleepers: *inside_max* of them are woken at a time, in order.

    A task that is woken to stand at a turnstile is switched to twice more until it is through. Here
    the sleeper stands in the line, and its task is woken when it is through.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self, inside_max: int) -> None:
        self._free = inside_max
        self._waiting: deque[InLine] = deque()

    def join(self, sleeper: InLine) -> None:
        """Have *sleeper* come when it is its turn, which may be now. To be called once for it."""
        if self._free:
            self._free -= 1
            sleeper.come()
        else:
            self._waiting.append(sleeper)

    def leave(self) -> None:
        """One place is left; for each that has come to say, once."""
        while self._waiting:
            sleeper = self._waiting.popleft()
            if not sleeper.has_gone:
                sleeper.come()
                return
        self._free += 1


class Place:
    """One place inside; as a context manager it is left with the block."""

    __slots__ = ("_turnstile",)

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile: Turnstile | None = turnstile

    def leave(self) -> None:
        """Let the next one in; again is no harm."""
        turnstile, self._turnstile = self._turnstile, None
        if turnstile is not None:
            turnstile.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.leave()
