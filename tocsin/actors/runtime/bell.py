"""Wakes a task of an actor that has several."""

from __future__ import annotations

import math

import trio


class Bell:
    """Wakes one waiting task; a ring while nobody waits is kept."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        """Whoever waits, or waits next, is to look again."""
        self._event.set()

    async def wait(self, deadline: float = math.inf) -> None:
        """Wait for a ring or for *deadline* (Trio time)."""
        with trio.move_on_at(deadline):
            await self._event.wait()
        # A ring just after the deadline is not lost: its hearer is about to look in any case.
        self._event = trio.Event()
