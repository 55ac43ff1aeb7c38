"""The upkeep of footprints by nodes: the store gets a life, and what all have read is forgotten.

Each node does it, because there is no leader; the statements bear that. A node forgets what lies
in front of its own place of some minutes ago. Another node that has not looked for so long finds
the horizon behind its place, and looks at all users.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from tocsin.actors.cluster.trail import TrailPlace
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.footprints import BeginLife, ForgetFootprints

INTERVAL: Final = 300.0
"""Seconds between two times of forgetting, and for which footprints are kept at least: many looks,
so that a node that could not look for a while goes on from where it was."""
LIFE_BYTES: Final = 8
"""Bytes of entropy in the name of a life."""


class TrailUpkeep:
    """See the module; *write* runs a command, *entropy* gives random bytes."""

    def __init__(
        self,
        write: Callable[[Command[Any]], Awaitable[Any]],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._write = write
        self._entropy = entropy
        self._former: TrailPlace | None = None
        self._due = trio.current_time() + INTERVAL

    async def keep(self, place: TrailPlace) -> None:
        """Do what is due, at *place*. Raises what *write* raises; then it is due again later."""
        if place.life is None:
            await self._write(BeginLife(self._entropy(LIFE_BYTES).hex()))
            return
        if (now := trio.current_time()) < self._due:
            return
        former, self._former, self._due = self._former, place, now + INTERVAL
        if former is not None and former.life == place.life:
            await self._write(ForgetFootprints(former.oldest))
