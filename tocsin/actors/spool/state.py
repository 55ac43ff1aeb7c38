"""The node's knowledge of the spool: the table behind the spooler and its drain, which it outlives.

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

HOLD: Final = 0.5
"""Seconds that posts are held at most; then they are spooled, and for as long not held again."""


@dataclass(slots=True)
class SpoolStatistics:
    """Counters since the node's start.

    *spooled* here; *drained* by this node, of which *repeated* were known to the store already,
    *expired* in the spool, and *moot*, because what they change is no more.
    """

    spooled: int = 0
    drained: int = 0
    repeated: int = 0
    expired: int = 0
    moot: int = 0
    poisoned: int = 0


class SpoolState:
    """*Waiting* and *held* as `drain` has it; see the module."""

    def __init__(self) -> None:
        self.waiting = True
        """Whether new posts have to go behind what waits."""
        self.hold_until = -math.inf
        """Until when (Trio time) posts are held."""
        self.reachable = False
        """Whether the spool could be used at the last look."""
        self.size = 0
        """Entries in the spool, of all nodes, at the last look."""
        self.signs = 0
        """How often something was a sign that something waits."""
        self.appending_now = False
        self.settled: dict[str, str | None] = {}
        """Entries that the store has decided on, each with why it can never be stored, if so."""
        self.statistics = SpoolStatistics()
        self.bell = Bell()
        """Rings when there is reason for a look."""
        self._held_again_at = -math.inf

    def store_changed(self, available: bool) -> None:
        """The store was lost, or is back: what was spooled meanwhile comes first."""
        if available:
            self.doubt()

    def doubt(self) -> None:
        """Something may wait: nothing goes to the store before a look that begins now."""
        self.waiting = True
        self.signs += 1
        self.hold()
        self.bell.ring()

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Around an append: from now on something waits."""
        self.waiting = self.appending_now = True
        self.signs += 1
        try:
            yield
        finally:
            self.appending_now = False
            self.bell.ring()

    def lost(self) -> None:
        """The spool cannot be reached. While the store can, nothing goes behind what waits."""
        self.reachable = self.waiting = False

    def hold(self) -> None:
        """Hold posts for a moment, unless they were held just before."""
        now = trio.current_time()
        if now >= self._held_again_at:
            self.hold_until, self._held_again_at = now + HOLD, now + 2 * HOLD
