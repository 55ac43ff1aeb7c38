"""A node's own signs of life: when it gave one, and whether one that is heard is its own.

That it hears itself is how a node knows that it hears anybody. Words come back with its name and a
time by its clock; but a second node may have been given the same name, and then its words look like
ours while its clock, which begins anywhere, says that they were said long ago, or are yet to be
said. Taken for ours, they would hide for ever that this node is deaf. So it remembers what it said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from tocsin.protocol.envelopes import Alive

_REMEMBERED: Final = 600
"""Five minutes of them, at the most: none comes back as late as that."""


class Canary:
    """See the module."""

    def __init__(self, now: Callable[[], float] = trio.current_time) -> None:
        self._now = now
        self._said: deque[float] = deque(maxlen=_REMEMBERED)

    def sing(self) -> Alive:
        """A sign of life of this moment."""
        self._said.append(self._now())
        return Alive(self._said[-1])

    def is_own(self, heard: Alive) -> bool:
        """Whether this node has said what is *heard* in its name."""
        return heard.said_at in self._said
