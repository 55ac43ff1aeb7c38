"""The storage actor: everything durable goes through here, many things at a time.

One transaction for hundreds of commands costs little more than one for one, so commands are
gathered while the previous transaction runs (group commit), and answered together when it is
durable. A lone command never waits: the pause between two transactions grows only with the number
of commands in the last one, up to `_PAUSE_MAX`.

Ledger lines (a push was sent, a device acknowledged) are merged before they are written. A line
that only says "sent" waits `linger` seconds for its acknowledgment, because most come within
milliseconds and then one row is written instead of two. Who reads the ledger sees no difference:
what waits is written first.

A store that is away is a state, not a crash: what somebody waits for is refused at once, ledger
lines stay and are written when it is back, and the watchers of `StoreStatus` are told.

Three tasks share the actor's state: the mailbox reader gathers, the writer and the reader work. One
transaction is in flight at a time, so what is written keeps the order in which it was sent.
"""

from __future__ import annotations

import structlog
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import trio

from tocsin.actors.ledger_buffer import LedgerBuffer
from tocsin.actors.runtime import Actor, Context, Request
from tocsin.actors.world import World
from tocsin.persistence.store import (
    Answer,
    Command,
    Query,
    ReadDeliveries,
    Record,
    Result,
    Store,
    StoreFailed,
    StoreUnavailable,
)
from tocsin.protocol.backoff import Backoff
from tocsin.protocol.ledger import DeliveryRecord, DeviceCursor

logger = structlog.get_logger(__name__)

_BATCH_MAX: Final = 1000
"""Commands in one transaction: enough for the price of a commit to vanish."""
_PENDING_MAX: Final = 20_000
"""Commands and lines gathered; beyond it the mailbox fills and senders are refused."""
_PAUSE_PER_COMMAND: Final = 0.003
_PAUSE_MAX: Final = 0.025
_PROBE_INTERVAL: Final = 2.0
"""Seconds without a successful transaction after which the store is asked whether it is there."""
_RECOVERY: Final = Backoff(initial=0.25, cap=5.0)


class Write(Request[Result]):
    """Run *command* durably; fails with `StoreUnavailable` or `StoreFailed`."""

    command: Command


class Read(Request[Answer]):
    """Answer *query*; fails like `Write`."""

    query: Query


class Ledger(msgspec.Struct, frozen=True):
    """Lines to be written soon; nobody waits for them."""

    records: tuple[DeliveryRecord, ...]
    cursor: DeviceCursor | None = None


StorageMessage = Write | Read | Ledger


@dataclass(slots=True)
class StorageStatistics:
    """Counters since the node's start; *seconds* were spent waiting for transactions."""

    transactions: int = 0
    commands: int = 0
    reads: int = 0
    queries: int = 0
    failures: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class StoreStatus:
    """Whether the store works, for everyone to look at; *epoch* is known once it has."""

    available: bool = False
    epoch: str = ""
    statistics: StorageStatistics = field(default_factory=StorageStatistics)
    watchers: list[Callable[[bool], None]] = field(default_factory=list)

    def set_available(self, available: bool) -> None:
        """Note a change and tell the watchers; nothing if it is none."""
        if available != self.available:
            self.available = available
            for watcher in self.watchers:
                watcher(available)


class StorageActor(Actor[StorageMessage]):
    """Owns the store. *linger* in seconds; see the module."""

    def __init__(self, store: Store, status: StoreStatus, world: World, *, linger: float) -> None:
        self._store = store
        self._status = status
        self._world = world
        self._linger = linger
        self._writes: list[Write] = []
        self._reads: list[Read] = []
        self._ledger = LedgerBuffer()
        self._writer = _Bell()
        self._reader = _Bell()
        self._written = trio.lowlevel.ParkingLot()
        self._probe_at = -math.inf
        self._writing = False
        self._stopping = False

    async def run(self, context: Context[StorageMessage]) -> None:
        """Gather until stopped, then write what is left and close the store."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_loop, name=f"{context.ref.path}/writer")
                nursery.start_soon(self._read_loop, name=f"{context.ref.path}/reader")
                await super().run(context)
                self._stopping = True
                self._writer.ring()
                self._reader.ring()
        finally:
            self._status.set_available(False)
            self._refuse(StoreUnavailable("the storage actor has ended"))
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5.0):
                await self._store.aclose()

    async def receive(self, message: StorageMessage) -> None:
        """Gather one message; waits while there is too much already."""
        if isinstance(message, Ledger):
            sent_due = trio.current_time() + self._linger
            self._ledger.add(message.records, message.cursor, sent_due)
            if self._status.available:
                self._writer.ring()
        elif not self._status.available:
            message.reply.fail(StoreUnavailable("the store is away"))
        elif isinstance(message, Write):
            self._writes.append(message)
            self._writer.ring()
        else:
            self._reads.append(message)
            self._reader.ring()
        while len(self._writes) + len(self._ledger) > _PENDING_MAX:
            await self._written.park()

    # --- Writing ---------------------------------------------------------------------------------

    async def _write_loop(self) -> None:
        not_before = -math.inf
        while not (self._stopping and not self._writes and not len(self._ledger)):
            now = trio.current_time()
            if now >= self._probe_at:
                await self._probe()
                continue
            due = max(not_before, -math.inf if self._writes else self._ledger.due)
            if now < due and not self._stopping:
                await self._writer.wait(min(due, self._probe_at))
                continue
            batch = self._writes[:_BATCH_MAX]
            del self._writes[:_BATCH_MAX]
            not_before = now + min(_PAUSE_MAX, _PAUSE_PER_COMMAND * (len(batch) - 1))
            self._writing = True
            await self._commit(batch, self._ledger.take())
            self._writing = False
            self._written.unpark_all()

    async def _commit(self, batch: list[Write], ledger: Record | None) -> None:
        """One transaction for *ledger* and *batch*; answers everybody in it."""
        # The ledger goes first: a device that attaches must not be told again what it has
        # acknowledged.
        commands: list[Command] = [] if ledger is None else [ledger]
        commands += [write.command for write in batch]
        started = trio.current_time()
        try:
            results = await self._store.write(commands)
        except StoreUnavailable as error:
            if ledger is not None:
                self._ledger.put_back(ledger)
            for write in batch:
                write.reply.fail(error)
            self._lost(error)
        except StoreFailed as error:
            await self._commit_singly(batch, ledger, error)
        else:
            now = trio.current_time()
            statistics = self._status.statistics
            statistics.transactions += 1
            statistics.commands += len(commands)
            statistics.seconds += now - started
            self._probe_at = now + _PROBE_INTERVAL
            for write, result in zip(reversed(batch), reversed(results), strict=False):
                write.reply.set(result)

    async def _commit_singly(
        self, batch: list[Write], ledger: Record | None, error: StoreFailed
    ) -> None:
        """Somebody's command is poison: find out whose, and let the others live."""
        if ledger is not None and batch:
            await self._commit([], ledger)
        elif len(batch) <= 1:
            logger.error("store refused a command", exc_info=error)
            for write in batch:
                write.reply.fail(error)
            return
        for write in batch:
            await self._commit([write], None)

    # --- Reading ---------------------------------------------------------------------------------

    async def _read_loop(self) -> None:
        while not (self._stopping and not self._reads):
            if not self._reads:
                await self._reader.wait()
                continue
            batch = self._reads[:_BATCH_MAX]
            del self._reads[:_BATCH_MAX]
            if any(isinstance(read.query, ReadDeliveries) for read in batch):
                await self._flush_ledger()
            await self._answer(batch)

    async def _answer(self, batch: list[Read]) -> None:
        try:
            answers = await self._store.read([read.query for read in batch])
        except StoreUnavailable as error:
            for read in batch:
                read.reply.fail(error)
            # One broken connection is no proof; the writer finds out.
            self._probe_at = -math.inf
            self._writer.ring()
        except StoreFailed as error:
            if len(batch) == 1:
                logger.exception("store refused a query")
                batch[0].reply.fail(error)
                return
            for read in batch:
                await self._answer([read])
        else:
            statistics = self._status.statistics
            statistics.reads += 1
            statistics.queries += len(batch)
            for read, answer in zip(batch, answers, strict=True):
                read.reply.set(answer)

    async def _flush_ledger(self) -> None:
        """Have the ledger's lines written, so that a reader sees all that has happened."""
        # One lap for a transaction that is under way, one for what it left, one for luck of the
        # schedule; not "until empty", which under load is never.
        for _ in range(3):
            if not self._status.available or not (self._writing or len(self._ledger)):
                return
            self._ledger.hurry()
            self._writer.ring()
            await self._written.park()

    # --- Away and back ---------------------------------------------------------------------------

    async def _probe(self) -> None:
        """See whether the store is there; if not, try until it is, or until told to stop."""
        attempt = 0
        while True:
            try:
                if not self._status.available:
                    await self._store.open()
                await self._store.probe()
            except StoreUnavailable as error:
                self._lost(error)
                attempt += 1
                if self._stopping:
                    lines = len(self._ledger)
                    self._ledger = LedgerBuffer()
                    logger.error("stopped without the store", ledger_lines_lost=lines)
                    self._probe_at = math.inf
                    return
                delay = _RECOVERY.delay(attempt, self._world.random())
                await self._writer.wait(trio.current_time() + delay)
            else:
                self._probe_at = trio.current_time() + _PROBE_INTERVAL
                if not self._status.available:
                    logger.info("store ready", attempts=attempt + 1)
                    self._status.epoch = self._store.epoch
                    self._status.set_available(True)
                return

    def _lost(self, error: StoreUnavailable) -> None:
        self._status.statistics.failures += 1
        if self._status.available:
            logger.warning("store lost", error=str(error))
        self._status.set_available(False)
        self._probe_at = -math.inf
        self._refuse(error)
        self._written.unpark_all()

    def _refuse(self, error: StoreUnavailable) -> None:
        writes, self._writes = self._writes, []
        reads, self._reads = self._reads, []
        for write in writes:
            write.reply.fail(error)
        for read in reads:
            read.reply.fail(error)


class _Bell:
    """Wakes one waiting task; a ring while nobody waits is kept."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, deadline: float = math.inf) -> None:
        """Wait for a ring or for *deadline* (Trio time)."""
        with trio.move_on_at(deadline):
            await self._event.wait()
        self._event = trio.Event()
