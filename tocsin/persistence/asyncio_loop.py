"""The asyncio loop inside Trio, in which asyncpg and redis-py run; ours takes whole turns.

trio-asyncio runs one callback of asyncio in each turn of Trio. A statement is some twenty
callbacks, one after the other, so the length of a transaction depended on the other work of the
node: with a few hundred handshakes under way a turn lasts a millisecond or two, and a transaction
of a dozen statements a third of a second. Here a turn runs the callbacks that are ready, and those
that they make ready, as asyncio's own loop does; up to a bound, because other tasks wait too.

trio-asyncio also ends the whole loop, with all tasks in it, for an exception that no task collects.
One example is that of a task of asyncpg's own, which cancels a statement and finds that the network
is gone. Here such a fault is logged and counted, as by asyncio's own loop, and the loop goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio
import trio_asyncio

from tocsin.persistence.loop_faults import LoopFaults

CALLBACKS_MAX: Final = 100
"""Callbacks in one turn, which take two milliseconds or so."""


@asynccontextmanager
async def open_asyncio_loop(faults: LoopFaults | None = None) -> AsyncIterator[LoopFaults]:
    """As `trio_asyncio.open_loop`: the stores and buses on asyncio work inside the block.

    Exceptions that no task of the loop collects are counted in *faults*, or in new ones; they are
    yielded, and such an exception ends nothing. A block inside another one has a loop of its own,
    whose tasks all end with it.
    """
    faults = faults or LoopFaults()
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(faults.note)
        # A private method of trio-asyncio: its version is pinned, and a contract test watches it.
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
