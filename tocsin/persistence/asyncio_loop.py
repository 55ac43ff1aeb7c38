"""The asyncio loop inside Trio, in which asyncpg and redis-py live; ours takes whole turns.

trio-asyncio runs one callback of asyncio in each turn of Trio's. A statement is some twenty
callbacks, one after the other, so how long a transaction takes was decided by how much else the
node had to do: with a few hundred handshakes under way a turn lasts a millisecond or two, and a
transaction of a dozen statements a third of a second. Here a turn runs what is ready, and what that
makes ready, as asyncio's own loop does; within a bound, for others are waiting too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio
import trio_asyncio

CALLBACKS_MAX: Final = 100
"""Callbacks in one turn: two milliseconds or so."""


@asynccontextmanager
async def open_asyncio_loop() -> AsyncIterator[None]:
    """As `trio_asyncio.open_loop`; what runs in the block may use asyncio's adapters."""
    async with trio_asyncio.open_loop() as loop:
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
        yield
