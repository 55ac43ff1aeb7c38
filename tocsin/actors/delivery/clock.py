"""The clock that the users' actors of a node share."""

from __future__ import annotations

import trio

from tocsin.actors.runtime.turns import turn_counter
from tocsin.actors.world import World


class Clock:
    """Both clocks, read once in each turn of the loop: *now* in Trio seconds, *now_ms* in Unix
    milliseconds.

    So a fan-out to thousands, and the acknowledgments that come together, happen at one time. That
    is a little early for the last of them, by the length of a turn at most: a deadline may be
    early, and a push seems to have been sent sooner than it was, not later.
    """

    __slots__ = ("_turn", "_turns", "_world", "now", "now_ms")

    def __init__(self, world: World) -> None:
        self._world = world
        self._turns = turn_counter()
        self._turn = -1
        self.now = 0.0
        self.now_ms = 0

    def tick(self) -> None:
        """Read both clocks again, if another turn has begun."""
        if (turn := self._turns.number) != self._turn:
            self._turn = turn
            self.now = trio.current_time()
            self.now_ms = self._world.now_ms()
