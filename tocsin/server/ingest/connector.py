"""The actor of one connector: takes batches from a broker, and has them stored.

    open ── take ── carry out ── letters ── done ─┐
      ↑       ↑                                   │
      │       └───────────────────────────────────┘
      └── away, refused, elsewhere, failed: a pause, and another source

There is one batch in hand, never two. The broker may forget a batch when each of its messages is
durable, as a notification or as a letter. While the store is away nothing is taken: the broker is
the spool. So whatever dies, the broker delivers again what is not done, and its keys tell the store
what it has already.

Libraries of brokers are silent about the worst: a queue that is deleted, a topic that is gone. So
the connector looks after its source each second, and trusts the broker's own count of what waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog
import trio

from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.persistence.source import (
    BrokerMessage,
    Source,
    SourceAway,
    SourceElsewhere,
    SourceRefused,
)
from tocsin.persistence.store.ingest_commands import ReadConnector
from tocsin.protocol.backoff import Backoff
from tocsin.protocol.refusal import Refused
from tocsin.server.connector_status import ConnectorStatus, IngestState
from tocsin.server.ingest.batch_in_hand import ABSENCE_PAUSE, BatchInHand
from tocsin.server.ingest.burial import Burial, open_burial
from tocsin.server.ingest.orders import key_of_message, order_of
from tocsin.server.ingest.posting import carry_out, order_or_refusal, principal_of
from tocsin.server.producing.publishing import Publishing
from tocsin.server.services import Services

logger = structlog.get_logger(__name__)

_LOOK: Final = 1.0
"""Seconds between two looks after the source."""
_ORDERS: Final = 5.0
"""Seconds between two looks at what operators say, and at what waits in the broker."""
_STALLED: Final = 60.0
"""Seconds without a message, while messages wait, after which the source is opened anew."""
_AWAY: Final = Backoff(0.1, 30.0)
_ELSEWHERE: Final = 2.0
"""Seconds before a source that another node has is asked for again."""
_REFUSED: Final = 30.0
"""Seconds before a source is opened again that an operator has to mend."""
_FAILED: Final = 60.0
"""Seconds before a source is opened again after a bug: its log lines are long."""
_AGAIN: Final = Backoff(0.1, 5.0)
"""Seconds before what the store could not take is tried again."""
_BUG: Final = "a bug; the log has its traceback"
_QUIET: Final = frozenset({IngestState.IDLE, IngestState.CONSUMING})
"""States between which a connector changes all the time."""


class ConnectorActor(TableWorker):
    """Works for *connector*, the table, until it is stopped; *random* gives numbers in [0, 1)."""

    def __init__(
        self,
        connector: ConnectorStatus,
        services: Services,
        publishing: Publishing,
        random: Callable[[], float],
    ) -> None:
        self._connector = connector
        self._terms = connector.terms
        self._services = services
        self._publishing = publishing
        self._random = random
        self._principal = principal_of(connector.terms)
        self._stopping = trio.Event()
        self._rested = trio.Event()
        self._failures = 0
        self._knows_orders = False
        self._took_at = trio.current_time()

    def tasks(self) -> Tasks:
        """The one task."""
        return (self._work,)

    async def finish(self) -> None:
        """Take nothing more, and wait until the batch in hand is done or left to the broker.

        Cancelled, the connector goes on with that batch until its tasks are ended.
        """
        self._stopping.set()
        await self._rested.wait()

    async def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                await self._read_orders()
                await self._rest(await self._live())
        except Exception:
            # Not of a source, which `_live` has caught. The supervisor makes another connector.
            self._note(IngestState.FAILED, _BUG)
            raise
        else:
            self._note(IngestState.STOPPED)
        finally:
            self._rested.set()

    # --- One source ------------------------------------------------------------------------------

    async def _live(self) -> float:
        """Take from one source until it ends; the seconds before the next one is opened."""
        try:
            async with self._terms.connect() as source, trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, source)
                await self._pass_over(source)
                async with open_burial(self._terms, self._services) as burial:
                    while not self._stopping.is_set():
                        await self._take(source, burial)
                nursery.cancel_scope.cancel()
        except Exception as error:
            return self._ended(_worst(error))
        return 0.0

    def _ended(self, error: Exception) -> float:
        """Note what has ended a source; the seconds before the next one is opened."""
        self._connector.lag = None
        match error:
            case SourceElsewhere():
                self._note(IngestState.ELSEWHERE)
                return _ELSEWHERE
            case SourceRefused():
                self._note(IngestState.REFUSED, str(error))
                return _REFUSED
            case SourceAway():
                self._failures += 1
                self._note(IngestState.AWAY, str(error))
                return _AWAY.delay(self._failures, self._random())
            case _:
                logger.error("connector failed", connector=self._terms.name, exc_info=error)
                self._note(IngestState.FAILED, _BUG)
                return _FAILED

    async def _take(self, source: Source, burial: Burial) -> None:
        """Take one batch and settle it, or hold still if nothing may be taken now."""
        if self._connector.orders.paused_at is not None:
            await self._hold(source, (), IngestState.PAUSED)
        elif not self._services.status.available or not self._knows_orders:
            # Before the store has said so once, the connector may be one that is paused.
            await self._read_orders()
            await self._hold(source, (), IngestState.HELD, "store_unavailable")
        elif taken := await source.take(self._terms.batch, self._terms.wait):
            self._took_at = trio.current_time()
            self._note(IngestState.CONSUMING)
            await self._settle(source, taken, burial)
            self._failures = 0
        else:
            self._failures = 0
            self._note(IngestState.IDLE)

    async def _hold(
        self, source: Source, taken: Sequence[BrokerMessage], state: IngestState, reason: str = ""
    ) -> None:
        self._note(state, reason)
        await source.hold(taken)
        self._took_at = trio.current_time()
        await self._sleep(_LOOK)

    async def _watch(self, source: Source) -> None:
        """Raise `SourceAway` if *source* will give nothing any more; read what operators say."""
        looked_at = trio.current_time() - _ORDERS
        while True:
            if (reason := source.alive()) is not None:
                raise SourceAway(reason)
            now = trio.current_time()
            if now - looked_at >= _ORDERS:
                looked_at = now
                self._connector.lag = await source.lag()
                if self._connector.lag and now - self._took_at > _STALLED:
                    raise SourceAway("messages wait, and none comes")
                if await self._read_orders() and self._connector.orders.skips:
                    raise SourceAway("an operator has passed over messages")
            await trio.sleep(_LOOK)

    # --- A batch ---------------------------------------------------------------------------------

    async def _settle(self, source: Source, taken: Sequence[BrokerMessage], burial: Burial) -> None:
        """See that each of *taken* is durable or a letter, and tell the broker; or leave all of
        them to the broker, if the connector is stopped meanwhile.
        """
        began = trio.current_time()
        batch = self._read(taken)
        attempts = 0
        while batch.orders:
            outcomes = await carry_out(self._publishing, self._principal, batch.orders)
            batch.settle(outcomes, self._services.world.now_ms())
            if batch.orders and not await self._wait_with(source, taken, batch, attempts):
                return
            attempts += 1
        if await self._bury(source, taken, batch, burial):
            await source.done(taken)
        self._connector.counters.seconds += trio.current_time() - began

    def _read(self, taken: Sequence[BrokerMessage]) -> BatchInHand:
        counters = self._connector.counters
        counters.taken += len(taken)
        counters.unkeyed += sum(1 for each in taken if _is_unkeyed(each))
        now_ms, bytes_max = self._services.world.now_ms(), self._services.settings.body_bytes_max
        orders = [
            order_or_refusal(partial(order_of, each, self._terms, now_ms, bytes_max))
            for each in taken
        ]
        return BatchInHand(self._terms, counters, taken, orders)

    async def _wait_with(
        self, source: Source, taken: Sequence[BrokerMessage], batch: BatchInHand, attempts: int
    ) -> bool:
        """Hold *taken* before the next attempt; whether there is one."""
        pause = _AGAIN.delay(attempts + 1, self._random())
        if batch.waits_for_absent:
            pause = ABSENCE_PAUSE
        until = trio.current_time() + pause
        while not self._stopping.is_set():
            self._note(IngestState.HELD, batch.trouble)
            await source.hold(taken)
            self._took_at = now = trio.current_time()
            if now >= until:
                return True
            await self._sleep(min(_LOOK, until - now))
        return False

    async def _bury(
        self, source: Source, taken: Sequence[BrokerMessage], batch: BatchInHand, burial: Burial
    ) -> bool:
        """Bury the dead of *batch*; whether that is done, and they are not left to the broker."""
        dead = batch.dead
        while dead:
            try:
                count = await burial.bury(dead)
            except (Refused, SourceAway, SourceRefused) as error:
                if self._stopping.is_set():
                    return False
                await self._hold(source, taken, *_trouble(error))
            else:
                logger.warning(
                    "messages refused",
                    connector=self._terms.name,
                    count=count,
                    place=dead[0].letter.place,
                )
                dead = dead[count:]
        return True

    # --- Operators -------------------------------------------------------------------------------

    async def _read_orders(self) -> bool:
        """Read what operators say; whether that is new. Without the store the old words hold."""
        if not self._services.status.available:
            return False
        try:
            orders = await self._services.read(ReadConnector(self._terms.name))
        except Refused:
            return False
        self._knows_orders = True
        changed = orders != self._connector.orders
        self._connector.orders = orders
        return changed

    async def _pass_over(self, source: Source) -> None:
        for place in self._connector.orders.skips:
            try:
                await source.skip(place)
            except ValueError as error:
                logger.warning(
                    "place not skipped", connector=self._terms.name, place=place, error=str(error)
                )

    async def _rest(self, seconds: float) -> None:
        """Wait, for *seconds* or until an operator says something else, or stops the node."""
        until = trio.current_time() + seconds
        looked_at = trio.current_time()
        while (now := trio.current_time()) < until and not self._stopping.is_set():
            await self._sleep(min(_LOOK, until - now))
            if trio.current_time() - looked_at >= _ORDERS:
                looked_at = trio.current_time()
                if await self._read_orders():
                    return

    async def _sleep(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._stopping.wait()

    # --- Notes -----------------------------------------------------------------------------------

    def _note(self, state: IngestState, reason: str = "") -> None:
        connector = self._connector
        if (state, reason) == (connector.state, connector.reason):
            return
        if not {state, connector.state} <= _QUIET:
            level = logger.info if state in _QUIET or not reason else logger.warning
            level("connector changed", connector=self._terms.name, state=state, reason=reason)
        connector.state, connector.reason = state, reason
        connector.since = self._services.world.now_ms()


def _is_unkeyed(taken: BrokerMessage) -> bool:
    try:
        return key_of_message(taken) is None
    except Refused:
        return False


def _trouble(error: Refused | SourceAway | SourceRefused) -> tuple[IngestState, str]:
    """The state of a connector that cannot bury, and why: *error* is the store's or the broker's.

    It is not away itself, since its batch is in hand.
    """
    if isinstance(error, Refused):
        return IngestState.HELD, error.problem.code
    state = IngestState.REFUSED if isinstance(error, SourceRefused) else IngestState.HELD
    return state, f"dead letters: {error}"


def _worst(error: Exception) -> Exception:
    """The exception that tells most of *error*, which may be a group: a bug, else a refusal."""
    ranks = (SourceElsewhere, SourceAway, SourceRefused)

    def rank(leaf: Exception) -> int:
        found = [number for number, kind in enumerate(ranks) if isinstance(leaf, kind)]
        return found[0] if found else len(ranks)

    return max(_leaves(error), key=rank)


def _leaves(error: BaseException) -> list[Exception]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    assert isinstance(error, Exception)
    return [error]
