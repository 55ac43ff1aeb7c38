"""A moment that one task waits for, within a deadline."""

from __future__ import annotations

import math

import trio

from tocsin.actors.runtime.waiting import WaitingPlace, has_passed
from tocsin.server.turnstile import AnswerLine


class Moment(WaitingPlace):
    """As `trio.Event`, for one waiting task, whose deadline is an alarm and not a cancel scope: a
    poll waits twice, and scopes would be a tenth of its price."""

    __slots__ = ("_has_come",)

    def __init__(self) -> None:
        super().__init__()
        self._has_come = False

    def set(self) -> None:
        """It has come, and stays so; again is no harm."""
        self._has_come = True
        self._wake()

    def is_set(self) -> bool:
        """Whether it has come."""
        return self._has_come

    async def wait(self, deadline: float = math.inf) -> bool:
        """Wait for it, or for *deadline* (Trio time); returns whether it has come.

        A checkpoint only where it has to wait. Cancelling is safe.
        """
        try:
            while not (self._has_come or has_passed(deadline)):
                self._enter(deadline)
                await trio.lowlevel.wait_task_rescheduled(self._abort)
        finally:
            # Others wait as briefly by the thousand, and an alarm that is not needed stays until
            # its time.
            self._forget_alarm()
        return self._has_come


class Turn(Moment):
    """A moment whose task goes on when it is its turn in *line*, of which it then has a place.

    The task ends with `leave`.
    """

    __slots__ = ("_has_place", "_line", "_stands", "has_gone")

    def __init__(self, line: AnswerLine) -> None:
        super().__init__()
        self._line = line
        self._stands = self._has_place = False
        self.has_gone = False

    def set(self) -> None:
        """Stand in the line, from now on; again is no harm."""
        if not self._stands:
            self._stands = True
            self._line.join(self)

    def come(self) -> None:
        """It is its turn."""
        self._has_place = True
        super().set()

    def leave(self) -> None:
        """Leave the place, if it has one, to the next in the line; or the line. Once."""
        self.has_gone = True
        if self._has_place:
            self._line.leave()
