"""The store's clock, as this node reads it: the one clock by which nodes share out work.

A lease says until when a node has something, and other nodes wait for that time. By the wall clock
of its writer it would hold for minutes if that clock is ahead, and a reader whose clock is ahead
would take it while it is in force. So leases, and the times at which something is tried again, are
written and judged by the clock of the database. (The rejected alternative has each statement ask
for the time itself: commands would not say any more what they do, and a test could not either.)

The time is asked for now and then, and goes on by Trio's clock, which does not jump. It is that of
an answer's arrival, so it may be behind the store's by as long as the answer took, and never ahead.
"""

from __future__ import annotations

import math
from typing import Final

import trio

from tocsin.actors.runtime.ref import Ref
from tocsin.actors.storage.requests import Read, StorageMessage
from tocsin.actors.world import World
from tocsin.persistence.store.queries import ReadClock

_FRESH: Final = 30.0
"""Seconds for which a reading serves: by then two clocks have not drifted apart."""
_DELAY_MAX: Final = 1.0
"""Seconds that an answer may take to replace a reading that is there."""


class StoreClock:
    """See the module. Until the store has been asked, it shows the time of *world*."""

    def __init__(self, storage: Ref[StorageMessage], world: World) -> None:
        self._storage = storage
        self._world = world
        self._read_at = -math.inf
        self._shown_ms = 0

    def now_ms(self) -> int:
        """The store's time, in Unix milliseconds."""
        if self._read_at == -math.inf:
            return self._world.now_ms()
        return self._shown_ms + math.floor((trio.current_time() - self._read_at) * 1000)

    async def look(self) -> None:
        """Ask the store for its time, if the last reading is old.

        Raises what the storage actor answers: `StoreUnavailable`, `StoreFailed`, `ActorError`.
        Cancelling keeps the last reading.
        """
        asked_at = trio.current_time()
        if asked_at - self._read_at < _FRESH:
            return
        shown_ms = await self._storage.ask(Read(query=ReadClock()))
        now = trio.current_time()
        if now - asked_at <= _DELAY_MAX or self._read_at == -math.inf:
            self._read_at, self._shown_ms = now, shown_ms
