"""The escalator: has the store make sends of the steps that are due.

It works as the scheduler does: it holds one time, that of the next step anywhere in the store, and
asks the store when that has come. Several nodes may ask at once, and the store gives each plan to
one of them.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Final, assert_never

import msgspec
import structlog
import trio

from tocsin.actors.escalation.configured import ConfiguredChannels
from tocsin.actors.runtime.errors import ActorError, ActorStopped, MailboxFull
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import Actor
from tocsin.actors.storage.requests import Flush, StorageMessage, Write
from tocsin.actors.storage.store_clock import StoreClock
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.escalation_commands import Escalate
from tocsin.persistence.store.user_commands import Materialise

logger = structlog.get_logger(__name__)

_RETRY_DELAY: Final = 1.0
"""Seconds before a store that failed is asked again: somebody waits for a call."""
_PAUSE_MIN: Final = 0.02
"""Seconds between two transactions while there is more to do, so that posts come in between."""
_SLEEP_MAX: Final = 15.0
"""Seconds after which to look again in any case: clocks jump, and nodes die with what they know."""
_BRING_MAX: Final = 200
"""Users who are brought up to date in one transaction, as for a topic (`topics.CHUNK`)."""


class PlanKnown(msgspec.Struct, frozen=True):
    """A step is due *at* this time (Unix milliseconds)."""

    at: int


class StoreReturned(msgspec.Struct, frozen=True):
    """The store is there, for the first time or again."""


EscalatorMessage = PlanKnown | StoreReturned


class Escalator(Actor[EscalatorMessage]):
    """The escalator of a node; see the module. The store's *clock* judges what is due."""

    def __init__(
        self, channels: ConfiguredChannels, storage: Ref[StorageMessage], clock: StoreClock
    ) -> None:
        self._channels = channels
        self._storage = storage
        self._clock = clock
        self._look_at = -math.inf

    async def receive(self, message: EscalatorMessage) -> None:
        """Bring the deadline forward if *message* tells an earlier time."""
        match message:
            case PlanKnown(at=at):
                self._look_at = min(self._look_at, self._deadline_of(at))
            case StoreReturned():
                self._look_at = -math.inf
                self._channels.ring()
            case _:
                assert_never(message)

    def next_deadline(self) -> float:
        """When (Trio time) the next step is due."""
        return self._look_at

    async def on_deadline(self, now: float) -> None:
        """Do what is due; if the store cannot do it now, try again soon."""
        try:
            self._look_at = await self._escalate()
        except (StoreUnavailable, StoreFailed, ActorError):
            self._look_at = trio.current_time() + _RETRY_DELAY

    async def _escalate(self) -> float:
        # Acknowledgments that this node knows of linger for a moment, and satisfy.
        await self._storage.ask(Flush())
        await self._clock.look()
        done = await self._storage.ask(Write(command=Escalate(self._clock.now_ms())))
        statistics = self._channels.statistics
        statistics.plans += done.plans
        statistics.sends += done.sends
        if done.plans:
            statistics.late = done.late_ms / 1000
        if done.sends:
            logger.info("escalated", plans=done.plans, sends=done.sends)
            self._channels.ring()
        behind = done.behind
        for first in range(0, len(behind), _BRING_MAX):
            users = behind[first : first + _BRING_MAX]
            command = Materialise(users, self._clock.now_ms())
            await self._storage.ask(Write(command=command))
        now = trio.current_time()
        due = math.inf if done.next_at is None else self._deadline_of(done.next_at)
        return min(max(due, now + _PAUSE_MIN), now + _SLEEP_MAX)

    def _deadline_of(self, at: int) -> float:
        return trio.current_time() + (at - self._clock.now_ms()) / 1000


def tell_escalator(escalator: Ref[EscalatorMessage], message: EscalatorMessage) -> None:
    """Tell *escalator* a *message*, if it has room; if not, it finds out at its next look."""
    with suppress(MailboxFull, ActorStopped):
        escalator.tell(message)
