"""The scheduler: wakes what is due. For now, what expires and what may be forgotten.

It holds one time, that of the next expiry anywhere in the store, and asks again when it has come.
The times themselves are in the store, so nothing is lost with this actor.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog
import trio

from tocsin.actors.runtime import Actor, ActorError, Ref
from tocsin.actors.storage import StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.store import Expire, Expired, Purge, StoreFailed, StoreUnavailable

logger = structlog.get_logger(__name__)

_EXPIRE_MAX: Final = 500
"""Notifications expired in one transaction, so that posts need not wait long behind it."""
_PURGE_INTERVAL: Final = 600.0
_RETRY_DELAY: Final = 5.0
_PAUSE_MIN: Final = 0.1
_SLEEP_MAX: Final = 300.0
"""Wall clocks jump; look again after this long, whatever the next expiry says."""


class ExpiryKnown(msgspec.Struct, frozen=True):
    """A notification will expire *at* this time (Unix milliseconds)."""

    at: int


SchedulerMessage = ExpiryKnown


class Scheduler(Actor[SchedulerMessage]):
    """*idempotency_retention* in seconds; see the module."""

    def __init__(
        self, storage: Ref[StorageMessage], world: World, *, idempotency_retention: float
    ) -> None:
        self._storage = storage
        self._world = world
        self._retention_ms = round(idempotency_retention * 1000)
        self._expire_at = -math.inf
        self._purge_at = -math.inf

    async def receive(self, message: SchedulerMessage) -> None:
        """Wake earlier if this is earlier."""
        self._expire_at = min(self._expire_at, self._deadline_of(message.at))

    def next_deadline(self) -> float:
        """The next expiry or purge."""
        return min(self._expire_at, self._purge_at)

    async def on_deadline(self, now: float) -> None:
        """Do what is due; what the store cannot do now is tried again soon."""
        # Each by itself: an expiry that fails must not keep the purge from its turn.
        if self._expire_at <= now:
            self._expire_at = await _or_retry(self._expire)
        if self._purge_at <= now:
            self._purge_at = await _or_retry(self._purge)

    async def _expire(self) -> float:
        command = Expire(self._world.now_ms(), _EXPIRE_MAX)
        expired = await self._storage.ask(Write(command=command))
        assert isinstance(expired, Expired)
        now = trio.current_time()
        due = math.inf if expired.next_at is None else self._deadline_of(expired.next_at)
        if expired.count:
            logger.info("expired", notifications=expired.count)
        else:
            # Due by the store's word and yet not expired: do not ask without end.
            due = max(due, now + _PAUSE_MIN)
        return min(due, now + _SLEEP_MAX)

    async def _purge(self) -> float:
        now_ms = self._world.now_ms()
        command = Purge(idempotency_before=now_ms - self._retention_ms, tickets_before=now_ms)
        await self._storage.ask(Write(command=command))
        return trio.current_time() + _PURGE_INTERVAL

    def _deadline_of(self, at: int) -> float:
        return trio.current_time() + (at - self._world.now_ms()) / 1000


async def _or_retry(work: Callable[[], Awaitable[float]]) -> float:
    """When to do *work* again: as it says, or soon if it cannot be done now."""
    try:
        return await work()
    except (StoreUnavailable, StoreFailed, ActorError):
        return trio.current_time() + _RETRY_DELAY
