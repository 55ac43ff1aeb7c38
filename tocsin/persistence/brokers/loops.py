"""An asyncio loop for one connection to a broker.

Libraries of brokers leave tasks behind, and have exceptions that no task collects. In a loop of
their own neither concerns others: leaving the block ends every task of the loop, and its faults are
counted for the connector. An open loop costs a third of a millisecond and two descriptors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import trio
import trio_asyncio

from tocsin.persistence.asyncio_loop import open_asyncio_loop
from tocsin.persistence.loop_faults import LoopFaults


@asynccontextmanager
async def connector_loop(faults: LoopFaults) -> AsyncIterator[None]:
    """Open a loop for the block. An exception that leaves the block comes out as it is, and not in
    the groups of the nurseries around the loop.
    """
    try:
        async with open_asyncio_loop(faults):
            yield
    except BaseExceptionGroup as group:
        if (only := _only(group)) is None:
            raise
        raise only from only.__cause__


async def close_in_order(close: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Have *close*, of a library in this loop, end a connection; what it raises is of no use.

    Cancelling waits as well, for *seconds* at most: an end without a word costs the broker more.
    """
    with trio.move_on_after(seconds, shield=True), suppress(Exception):
        await trio_asyncio.aio_as_trio(close)()


def _only(group: BaseException) -> Exception | None:
    """The one exception in *group*, however deep; `None` if there are several, or none of ours."""
    while isinstance(group, BaseExceptionGroup):
        if len(group.exceptions) != 1:
            return None
        [group] = group.exceptions
    return group if isinstance(group, Exception) else None
