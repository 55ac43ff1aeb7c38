"""The scheduler: has the store release, expire and purge notifications when they are due.

For each of the three it holds one time, that of the next due notification anywhere in the store,
and asks the store when that time has come. The times themselves are in the store, so nothing is
lost with this actor, and several nodes may ask at once: the store gives each row to one of them.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, assert_never

import msgspec
import structlog
import trio

from tocsin.actors.runtime.errors import ActorError, ActorStopped, MailboxFull
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import Actor
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import Changed, Publish, Update, Withdraw
from tocsin.persistence.store.upkeep_commands import Expire, Purge, Release
from tocsin.protocol.channels.escalation import first_due

logger = structlog.get_logger(__name__)

_EXPIRE_MAX: Final = 500
"""Notifications that one transaction expires, so that posts need not wait long behind it."""
_RELEASE_MAX: Final = 100
"""Notifications in one transaction, so that posts need not wait long behind it."""
_PURGE_MAX: Final = 1000
"""Rows in one transaction, so that posts need not wait long behind it."""
_PURGE_INTERVAL: Final = 600.0
"""Seconds between two purges; fewer where rows are kept for less."""
_SLICE_PAUSE: Final = 2.0
"""Seconds between two purges of `_PURGE_MAX` devices: a million take half an hour."""
_REMOVED_KEPT: Final = 600.0
"""Seconds for which the store remembers a removed device after it was last seen: by then its
session has long ended, on whichever node."""
_FIRST_DEVICE: Final = ("", "")
"""User and device: identifiers are not empty, so all devices are behind it."""
_RETRY_DELAY: Final = 5.0
"""Seconds before a store that failed is asked again: none of this work is urgent."""
_PAUSE_MIN: Final = 0.1
"""Seconds between two transactions while there is more to do, so that posts come in between."""
_SLEEP_MAX: Final = 15.0
"""Seconds after which to look again in any case: wall clocks jump, and the node that stored a time
may have died before it told its scheduler, or may not have heard that the time was stored."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The retention of each kind of row, in seconds.

    With *dead_letters*, a notification that expires before any device had it leaves a dead letter.
    """

    idempotency: float
    notifications: float
    archived: float
    expired: float
    dead_letters: bool
    receipts: float


class ExpiryKnown(msgspec.Struct, frozen=True):
    """A notification expires *at* this time (Unix milliseconds)."""

    at: int


class ReleaseKnown(msgspec.Struct, frozen=True):
    """A notification is to be published *at* this time (Unix milliseconds)."""

    at: int


class EscalationKnown(msgspec.Struct, frozen=True):
    """A plan of escalation has a step that is due *at* this time (Unix milliseconds)."""

    at: int


class StoreBack(msgspec.Struct, frozen=True):
    """The store is there, for the first time or again: what fell due meanwhile is done now."""


SchedulerMessage = ExpiryKnown | ReleaseKnown | EscalationKnown | StoreBack


class Scheduler(Actor[SchedulerMessage]):
    """The scheduler of a node, which keeps to the retentions in *upkeep*; see the module.

    *plan_known* is called with the time (Unix ms) of each plan of escalation that begins here.
    """

    def __init__(
        self,
        storage: Ref[StorageMessage],
        world: World,
        upkeep: Upkeep,
        plan_known: Callable[[int], None] = lambda at: None,
    ) -> None:
        self._storage = storage
        self._world = world
        self._upkeep = upkeep
        self._plan_known = plan_known
        self._expire_at = -math.inf
        self._release_at = -math.inf
        self._purge_at = -math.inf
        self._devices_after = _FIRST_DEVICE

    async def receive(self, message: SchedulerMessage) -> None:
        """Bring the deadline forward if *message* tells an earlier time."""
        match message:
            case ExpiryKnown(at=at):
                self._expire_at = min(self._expire_at, self._deadline_of(at))
            case ReleaseKnown(at=at):
                self._release_at = min(self._release_at, self._deadline_of(at))
            case EscalationKnown(at=at):
                self._plan_known(at)
            case StoreBack():
                self._expire_at = self._release_at = self._purge_at = -math.inf
            case _:
                assert_never(message)

    def next_deadline(self) -> float:
        """When (Trio time) the next release, expiry or purge is due."""
        return min(self._release_at, self._expire_at, self._purge_at)

    async def on_deadline(self, now: float) -> None:
        """Do what is due; if the store cannot do it now, try again soon."""
        # Each for itself: if one fails, the others must have their turn all the same.
        if self._release_at <= now:
            self._release_at = await _or_retry(self._release)
        if self._expire_at <= now:
            self._expire_at = await _or_retry(self._expire)
        if self._purge_at <= now:
            self._purge_at = await _or_retry(self._purge)

    async def _release(self) -> float:
        command = Release(self._world.now_ms(), _RELEASE_MAX)
        released = await self._storage.ask(Write(command=command))
        count = len(released.changes)
        if count:
            logger.info("released", notifications=count)
        for change in released.changes:
            if change.content.expires_at is not None:
                self._expire_at = min(self._expire_at, self._deadline_of(change.content.expires_at))
        return self._next_look(released.next_at, worked=count > 0)

    async def _expire(self) -> float:
        command = expire_due(self._world.now_ms(), upkeep=self._upkeep)
        expired = await self._storage.ask(Write(command=command))
        if expired.count:
            logger.info("expired", notifications=expired.count)
        return self._next_look(expired.next_at, worked=expired.count > 0)

    async def _purge(self) -> float:
        now_ms, upkeep = self._world.now_ms(), self._upkeep
        command = Purge(
            idempotency_before=now_ms - round(upkeep.idempotency * 1000),
            tickets_before=now_ms,
            archived_before=now_ms - round(upkeep.archived * 1000),
            expired_before=now_ms - round(upkeep.expired * 1000),
            created_before=now_ms - round(upkeep.notifications * 1000),
            removed_before=now_ms - round(_REMOVED_KEPT * 1000),
            receipts_before=now_ms - round(upkeep.receipts * 1000),
            devices_after=self._devices_after,
            limit=_PURGE_MAX,
        )
        purged = await self._storage.ask(Write(command=command))
        if purged.rows:
            logger.info("purged", inbox_rows=purged.rows)
        shortest = min(upkeep.archived, upkeep.expired, upkeep.notifications, upkeep.receipts)
        interval = min(_PURGE_INTERVAL, max(shortest, 1.0))
        through = purged.devices_through
        self._devices_after = through or _FIRST_DEVICE
        if through is not None:
            interval = min(interval, _SLICE_PAUSE)
        return trio.current_time() + (_PAUSE_MIN if purged.more else interval)

    def _next_look(self, next_at: int | None, *, worked: bool) -> float:
        now = trio.current_time()
        due = math.inf if next_at is None else self._deadline_of(next_at)
        if not worked:
            # The store says that a row is due and yet has not done it: do not ask without pause.
            due = max(due, now + _PAUSE_MIN)
        return min(due, now + _SLEEP_MAX)

    def _deadline_of(self, at: int) -> float:
        return trio.current_time() + (at - self._world.now_ms()) / 1000


def expire_due(now_ms: int, *, upkeep: Upkeep) -> Expire:
    """The command that expires what is due at *now_ms* (Unix ms), a transaction's worth of it."""
    return Expire(now_ms, _EXPIRE_MAX, dead_letters=upkeep.dead_letters)


def tell_scheduler(scheduler: Ref[SchedulerMessage], message: SchedulerMessage) -> None:
    """Tell *scheduler* a *message*, if it has room; if not, it finds out at its next look."""
    with suppress(MailboxFull, ActorStopped):
        scheduler.tell(message)


def tell_store_changed(scheduler: Ref[SchedulerMessage], available: bool) -> None:
    """Have *scheduler* look into the store, if that is back."""
    if available:
        tell_scheduler(scheduler, StoreBack())


def tell_times(
    scheduler: Ref[SchedulerMessage], changed: Changed, command: Publish | Update | Withdraw
) -> None:
    """Tell *scheduler* when the notification that *command* has changed falls due."""
    if isinstance(command, Publish) and command.deliver_at is not None:
        tell_scheduler(scheduler, ReleaseKnown(command.deliver_at))
    if isinstance(command, Publish) and command.escalation:
        delivered_at = command.deliver_at or command.content.created_at
        tell_scheduler(scheduler, EscalationKnown(first_due(command.escalation, delivered_at)))
    if changed.content.expires_at is not None:
        tell_scheduler(scheduler, ExpiryKnown(changed.content.expires_at))


async def _or_retry(work: Callable[[], Awaitable[float]]) -> float:
    """Do *work* and return when (Trio time) to do it again: as it says, or soon if it failed."""
    try:
        return await work()
    except (StoreUnavailable, StoreFailed, ActorError):
        return trio.current_time() + _RETRY_DELAY
