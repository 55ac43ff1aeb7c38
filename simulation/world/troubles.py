"""What is or was wrong with whom, and when: what excuses what the checks would else complain of.

An excuse is narrow: of the one who was in trouble, for as long as that lasted and a while after. A
check that does not ask is one whose promise holds through everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Trouble:
    """*who* (a node's name, `store`, `bus`, or a client's) suffers *what*; times in seconds."""

    who: str
    what: str
    began_at: float
    ended_at: float = math.inf


class Troubles:
    """All of a run, the earliest first."""

    def __init__(self) -> None:
        self._all: list[Trouble] = []

    def begin(self, who: str, what: str, now: float) -> None:
        """*who* suffers *what* from now on."""
        self._all.append(Trouble(who, what, now))

    def end(self, who: str, what: str, now: float) -> None:
        """That is over, the earlier one if there are two; nothing if there is no such trouble."""
        for trouble in self._all:
            if (trouble.who, trouble.what) == (who, what) and trouble.ended_at == math.inf:
                trouble.ended_at = now
                return

    def touch(self, since: float, until: float, *whom: str) -> bool:
        """Whether any of *whom* (none named: anybody) was in trouble between the two times."""
        return any(
            trouble.began_at <= until and trouble.ended_at >= since
            for trouble in self._all
            if not whom or trouble.who in whom
        )

    def touch_by(self, since: float, until: float, who: str, *kinds: str) -> bool:
        """Whether *who* suffered any of *kinds* between the two times."""
        return any(
            trouble.began_at <= until and trouble.ended_at >= since
            for trouble in self._all
            if trouble.who == who and trouble.what in kinds
        )

    def suffered(self, who: str, what: str, since: float, until: float) -> Trouble | None:
        """That of *who* which was *what*, and lasted the whole time from *since* to *until*."""
        for trouble in self._all:
            is_it = (trouble.who, trouble.what) == (who, what)
            if is_it and trouble.began_at <= since and trouble.ended_at >= until:
                return trouble
        return None
