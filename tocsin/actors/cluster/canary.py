"""A node's own signs of life: when it gave each, and whether a sign that it hears is its own.

A node knows that it hears the others because it hears itself. Its signs come back with its name and
a time by its clock. But a second node may have been given the same name: its signs then look like
ours, while their times, by a clock that begins anywhere, lie in our past or our future. If we took
them for our own, they would hide for ever that this node is deaf. So the node remembers the signs
that it gave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from tocsin.protocol.cluster.envelopes import Alive

_REMEMBERED: Final = 600
"""Signs that are remembered, of five minutes at least: none comes back as late as that."""


class Canary:
    """The signs of life of one node; see the module."""

    def __init__(self, now: Callable[[], float] = trio.current_time) -> None:
        self._now = now
        self._said: deque[float] = deque(maxlen=_REMEMBERED)

    def sing(self) -> Alive:
        """Make a sign of life of this moment, and remember it."""
        self._said.append(self._now())
        return Alive(self._said[-1])

    def is_own(self, heard: Alive) -> bool:
        """Whether this node gave the sign *heard*, which bears its name."""
        return heard.said_at in self._said
