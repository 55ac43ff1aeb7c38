"""The asyncio loop inside Trio, in which asyncpg and redis-py live; ours takes whole turns.

trio-asyncio runs one callback of asyncio in each turn of Trio's. A statement is some twenty
callbacks, one after the other, so how long a transaction takes was decided by how much else the
node had to do: with a few hundred handshakes under way a turn lasts a millisecond or two, and a
transaction of a dozen statements a third of a second. Here a turn runs what is ready, and what that
makes ready, as asyncio's own loop does; within a bound, for others are waiting too.

trio-asyncio also ends the whole loop, and with it all that lives there, for an exception that
nobody collects: that of a task of asyncpg's own, which cancels a statement and finds that the
network is gone. Here such a fault is told and counted, as asyncio's own loop does, and all goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
import trio
import trio_asyncio

logger = structlog.get_logger(__name__)

CALLBACKS_MAX: Final = 100
"""Callbacks in one turn: two milliseconds or so."""
FAULT_INTERVAL: Final = 10.0
"""Seconds between two lines of the log about faults."""


class LoopFaults:
    """Exceptions of the loop's tasks and callbacks that nobody has collected: how many so far."""

    def __init__(self) -> None:
        self.count = 0
        self._untold = 0
        self._told_at = -FAULT_INTERVAL

    def note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For `loop.set_exception_handler`. Tells of one in a while, with its traceback."""
        self.count += 1
        self._untold += 1
        now = trio.current_time()
        if now - self._told_at >= FAULT_INTERVAL:
            logger.error(
                "fault in asyncio",
                what=str(context.get("message")),
                count=self._untold,
                exc_info=context.get("exception"),
            )
            self._told_at, self._untold = now, 0


@asynccontextmanager
async def open_asyncio_loop() -> AsyncIterator[LoopFaults]:
    """As `trio_asyncio.open_loop`; what runs in the block may use asyncio's adapters.

    What nobody in the loop collects is in the faults that this yields, and ends nothing.
    """
    faults = LoopFaults()
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(faults.note)
        # A private method, so the version is pinned and a contract test watches it.
        run_one = loop._main_loop_one

        async def run_ready(no_wait: bool = False) -> None:
            await run_one(no_wait)
            if no_wait:
                return
            for _ in range(CALLBACKS_MAX - 1):
                try:
                    await run_one(no_wait=True)
                except trio.WouldBlock:
                    return

        loop._main_loop_one = run_ready
        yield faults
