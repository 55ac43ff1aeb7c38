"""When the store is to be asked whether it is there, and how its failures are told.

A setback is a transaction that failed or a probe without an answer. Only a transaction ends a
series of setbacks: where a probe succeeds and the next transaction fails, the probes come later and
later all the same.
"""

from __future__ import annotations

import math
from typing import Final

import structlog

from tocsin.actors.health import StoreStatus
from tocsin.actors.reasons import Reasons
from tocsin.actors.world import World
from tocsin.persistence.store import StoreUnavailable
from tocsin.protocol.backoff import Backoff

logger = structlog.get_logger(__name__)

_PROBE_INTERVAL: Final = 2.0
"""Seconds without a successful transaction after which the store is asked whether it is there."""
_RECOVERY: Final = Backoff(initial=0.25, cap=5.0)


class Outage:
    """The probes and setbacks of the store whose *status* this keeps, but for its availability.

    `probe_at` is when (Trio time) the next probe is due. All times are Trio's.
    """

    __slots__ = ("_reasons", "_setbacks", "_status", "_world", "probe_at")

    def __init__(self, status: StoreStatus, world: World) -> None:
        self.probe_at = -math.inf
        self._status = status
        self._world = world
        self._setbacks = 0
        self._reasons = Reasons(logger, "store")

    @property
    def has_setbacks(self) -> bool:
        """Whether the store has failed since the last transaction."""
        return self._setbacks > 0

    def passed(self, now: float) -> None:
        """A transaction, or a probe of a store that was there, has succeeded."""
        self.probe_at = now + _PROBE_INTERVAL
        self._setbacks = 0

    def set_back(self, error: StoreUnavailable) -> None:
        """One transaction failed with *error*, and the store is there.

        It may have been committed, and only its answer be lost.
        """
        self._setbacks += 1
        self._status.statistics.failures += 1
        logger.warning("transaction lost", error=str(error))
        for look in self._status.unannounced:
            look()

    def failed(self, error: StoreUnavailable, now: float) -> None:
        """The store is away: choose the next probe, the first of them at once."""
        delay = _RECOVERY.delay(self._setbacks, self._world.random()) if self._setbacks else 0.0
        self.probe_at = now + delay
        self._setbacks += 1
        self._status.statistics.failures += 1
        self._reasons.tell(str(error))
        self._status.reason = error.reason

    def answered(self, now: float, epoch: str) -> None:
        """The store is there, or there again; its logs have *epoch*."""
        self.probe_at = now + _PROBE_INTERVAL
        self._reasons.ready(setbacks=self._setbacks)
        self._status.epoch = epoch
        self._status.reason = ""
        self._status.set_available(True)
