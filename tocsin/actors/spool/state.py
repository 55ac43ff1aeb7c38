"""The node's knowledge of the spool: a table that outlives the spooler and its drain.

Above all it says whether an entry may wait, and which entries the store has settled and the spool
has not yet forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import trio

from tocsin.actors.runtime.bell import Bell
from tocsin.persistence.store.ingest_commands import IngestLetter

HOLD: Final = 0.5
"""Seconds for which posts are held at most; then they are not held for as long again."""


@dataclass(slots=True)
class SpoolStatistics:
    """Counters since the node's start.

    Commands *spooled* here and entries *drained* by this node; of the latter, *repeated* were known
    to the store already, *expired* have expired in the spool, and *moot* would change a
    notification that has ended. *poisoned* entries were set aside.
    """

    spooled: int = 0
    drained: int = 0
    repeated: int = 0
    expired: int = 0
    moot: int = 0
    poisoned: int = 0


class SpoolState:
    """The state of the spool as this node knows it; `drain` explains *waiting* and *held*."""

    def __init__(self) -> None:
        self.waiting = True
        """Whether new posts have to go behind entries in the spool."""
        self.hold_until = -math.inf
        """Until when (Trio time) posts are held."""
        self.reachable = False
        """Whether the spool could be used at the last look."""
        self.size = 0
        """Entries in the spool, of all nodes, at the last look."""
        self.signs = 0
        """How many signs there have been that an entry waits."""
        self.appending_now = False
        self.settled: dict[str, str | None] = {}
        """Id of each entry that the store has decided on -> why it is poison, if it is."""
        self.letters: dict[str, IngestLetter] = {}
        """Id of each of them whose producer, behind a broker, has to be answered -> its letter."""
        self.statistics = SpoolStatistics()
        self.bell = Bell()
        """Rings when the drain has a reason to look."""
        self._held_again_at = -math.inf

    def store_changed(self, available: bool) -> None:
        """Doubt that the spool is empty if the store is back: spooled entries come first."""
        if available:
            self.doubt()

    def doubt(self) -> None:
        """Believe that an entry waits until a look that begins after this has found none."""
        self.waiting = True
        self.signs += 1
        self.hold()
        self.bell.ring()

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Hold around an append: from its beginning on, an entry may wait."""
        self.waiting = self.appending_now = True
        self.signs += 1
        try:
            yield
        finally:
            self.appending_now = False
            self.bell.ring()

    def lost(self) -> None:
        """Note that the spool cannot be reached, so posts go to the store alone."""
        self.reachable = self.waiting = False

    def hold(self) -> None:
        """Hold posts for a moment, unless they were held just before."""
        now = trio.current_time()
        if now >= self._held_again_at:
            self.hold_until, self._held_again_at = now + HOLD, now + 2 * HOLD
