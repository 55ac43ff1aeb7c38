"""Troubles: the faults that a part of the system suffers or suffered, and when.

They excuse what a check would otherwise report. An excuse is narrow: it holds for the part that was
in trouble, during the trouble and for some time after it. A check that asks for no excuse judges a
promise that holds through every fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Trouble:
    """*who* (a node, `store`, `bus`, or a client) suffers *what*; times in seconds."""

    who: str
    what: str
    began_at: float
    ended_at: float = math.inf


class Troubles:
    """All troubles of a run, the earliest first."""

    def __init__(self) -> None:
        self._all: list[Trouble] = []

    def begin(self, who: str, what: str, now: float) -> None:
        """*who* suffers *what* from *now* on."""
        self._all.append(Trouble(who, what, now))

    def end(self, who: str, what: str, now: float) -> None:
        """*who* no longer suffers *what*; of two such troubles, the earlier one ends."""
        for trouble in self._all:
            if (trouble.who, trouble.what) == (who, what) and trouble.ended_at == math.inf:
                trouble.ended_at = now
                return

    def touch(self, since: float, until: float, *whom: str) -> bool:
        """Whether any of *whom* (default: anyone) was in trouble between *since* and *until*."""
        return any(
            trouble.began_at <= until and trouble.ended_at >= since
            for trouble in self._all
            if not whom or trouble.who in whom
        )

    def touch_by(self, since: float, until: float, who: str, *kinds: str) -> bool:
        """Whether *who* suffered any of *kinds* between *since* and *until*."""
        return any(
            trouble.began_at <= until and trouble.ended_at >= since
            for trouble in self._all
            if trouble.who == who and trouble.what in kinds
        )

    def suffered(self, who: str, what: str, since: float, until: float) -> Trouble | None:
        """The trouble *what* of *who* that lasted all the time from *since* to *until*."""
        for trouble in self._all:
            is_it = (trouble.who, trouble.what) == (who, what)
            if is_it and trouble.began_at <= since and trouble.ended_at >= until:
                return trouble
        return None
