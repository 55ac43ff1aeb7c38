"""Wakes a task of an actor that has several."""

from __future__ import annotations

import math

import trio

from tocsin.actors.runtime.waiting import WaitingPlace, has_passed


class Bell(WaitingPlace):
    """Wakes one waiting task; a ring while nobody waits is kept."""

    __slots__ = ("_has_rung",)

    def __init__(self) -> None:
        super().__init__()
        self._has_rung = False

    def ring(self) -> None:
        """Whoever waits, or waits next, is to look again."""
        self._has_rung = True
        self._wake()

    async def wait(self, deadline: float = math.inf) -> None:
        """Wait for a ring or for *deadline* (Trio time); cancelled, the ring is kept."""
        if self._has_rung or has_passed(deadline):
            await trio.lowlevel.checkpoint()
        while not (self._has_rung or has_passed(deadline)):
            self._enter(deadline)
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        # A ring just after the deadline is not lost: its hearer is about to look in any case.
        self._has_rung = False
