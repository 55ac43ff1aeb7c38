"""The first steps with a store that is there, or there again, before it serves any request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
import trio

from tocsin.actors.world import World
from tocsin.persistence.store import Store, StoreFailed, StoreUnavailable
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Expire, Expired

logger = structlog.get_logger(__name__)

EXPIRING_MAX: Final = 2.0
"""Seconds for which overdue expiries may keep requests waiting; the rest is done beside them."""
LOOK_TIMEOUT: Final = 1.0
"""Seconds in which a store answers that has lost no more than a connection."""


async def is_there(store: Store) -> bool:
    """Whether *store* answers within `LOOK_TIMEOUT`: then no more than a connection was lost."""
    try:
        with trio.fail_after(LOOK_TIMEOUT):
            await store.probe()
    except (StoreUnavailable, StoreFailed, trio.TooSlowError):
        return False
    return True


async def expire_first(
    store: Store,
    first: Callable[[int], Expire] | None,
    world: World,
    seconds_max: float = EXPIRING_MAX,
) -> list[Result]:
    """Let expire what is due, by commands that *first* makes of the time (Unix ms).

    The last command begins before *seconds_max* have passed.

    Returns the results, to be announced. It comes first because no client may be told a counter
    that counts an expired notification. Raises `StoreUnavailable`; cancelled, some of it may be
    done.
    """
    ends, results = trio.current_time() + seconds_max, list[Result]()
    while first is not None and trio.current_time() < ends:
        command = first(world.now_ms())
        try:
            [result] = await store.write([command])
        except StoreFailed as error:
            # A bug. The scheduler tries again, and no request is to wait for it.
            logger.error("store refused a command", command=command, exc_info=error)
            break
        assert isinstance(result, Expired)
        results.append(result)
        if not result.count or result.next_at is None or result.next_at > command.now_ms:
            break
    return results
