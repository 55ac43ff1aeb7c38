"""When a group of writes may be committed: arithmetic on times.

While a transaction is under way, the next group gathers. If the store is idle, a command that comes
alone goes at once. The first command of a crowd waits for the others, a moment at most (`WAIT_MAX`)
and only until as many are here as are expected. For askers that have just been answered ask again
nearly at once, and one transaction for all their commands costs little more than one for the first.

Waiting has to pay. If the first of k commands goes at once, the others wait for its transaction and
for their own; if it waits, all wait as long as it does. So a wait is worth it if it is shorter than
(k - 1) / k of a transaction. Two commands are not waited for, because they may as well have come
one by one; and no wait is longer than half a transaction, however many commands are expected.

The same holds for a group that gathered during a transaction: without a wait, sixteen askers fall
into two groups of eight that take turns for ever, and pay for twice as many transactions. So it
waits for those that were just answered, by the same rule: the fewer of all they are, the shorter.
Askers that do not ask again, as those of a batch, are not waited for: where none of them came, the
next transactions (`_REGROUPING_PAUSE`) follow at once.
"""

from __future__ import annotations

import math
from typing import Final

WAIT_MAX: Final = 0.002
"""Seconds that the first of a crowd waits for it: less than the transaction itself takes."""
_CROWD_MIN: Final = 3
"""Commands that are worth waiting for."""
_FORGOTTEN_AFTER: Final = 1.0
"""Seconds without a command after which no crowd is expected any more."""
_REGROUPING_PAUSE: Final = 8
"""Transactions after which a group waits again for others, if none came."""


class CommitPace:
    """The pace of commits: *due* says when (Trio time) the commands that wait may be committed."""

    __slots__ = ("_crowd", "_gathered", "_last_at", "_pause", "_wait", "due")

    def __init__(self) -> None:
        self.due = -math.inf
        self._wait = WAIT_MAX
        self._last_at = -math.inf
        self._crowd = 0
        self._gathered = -1  # commands that wait for others, or none
        self._pause = 0

    def came(self, now: float, count: int) -> bool:
        """Note a command at *now* (Trio time), when *count* wait; returns whether `due` changed."""
        if now - self._last_at > _FORGOTTEN_AFTER:
            self._crowd = 0
        self._last_at = now
        if count >= self._crowd and self.due > now:
            self.due = now
            return True
        if count == 1:
            self.due = now if self._crowd < _CROWD_MIN else now + self._wait
            return True
        return False

    def went(self, count: int) -> None:
        """Note that *count* commands went into one transaction."""
        self._crowd = max(count, self._crowd // 2)
        if count == self._gathered:
            self._pause = _REGROUPING_PAUSE
        self._gathered = -1

    def ended(self, now: float, took: float, answered: int, waiting: int) -> None:
        """Note that a transaction ended at *now* that *took* so many seconds.

        It *answered* so many commands; meanwhile those *waiting* have gathered.
        """
        self._wait = min(WAIT_MAX, took / 2)
        if self._pause:
            self._pause -= 1
        elif waiting and answered + waiting >= _CROWD_MIN:
            self._crowd = answered + waiting
            self._gathered = waiting
            self.due = now + self._wait * answered / self._crowd
