"""The storage actor: all commands and queries of the node go through it, many at a time.

A transaction of hundreds of commands costs little more than a transaction of one, so commands are
gathered while the previous transaction runs (group commit), and answered together when they are
durable. A lone command never waits; a crowd is waited for, a moment (see `commit_timing`).

Ledger lines (a push was sent, a device acknowledged) are merged before they are written. A line
that only says "sent" waits a moment for its acknowledgment (`ledger`), because most acknowledgments
come within milliseconds and then one row is written instead of two. A query of the ledger sees no
difference, because waiting lines are written before it is answered.

A transaction that meets a foreign lock is repeated without the blocked command, which is refused
(`blockades`). Ledger lines that are blocked are kept for later.

A store that is away is a state, not a crash: commands and queries are refused at once, ledger lines
stay and are written when the store is back, and the watchers of `StoreStatus` are told. Where only
writing is out of order, as on a full disk, queries are still answered.

Each result of a transaction is announced before its asker is answered, in the order of the
commands. So the sessions that follow a log hear of its changes in the order of their sequences, and
of acknowledgments and removed devices at their place among them, by whichever door they came.

When the store is there, or there again, the actor first lets expire what was due meanwhile, and
only then serves requests: no client may be told a counter that counts an expired notification.

Four tasks share the actor's state: the mailbox reader gathers, the writer and the reader work, and
the flusher waits for the ledger to be written. One transaction is in flight at a time, and the
commands of one party keep their order. No command waits for more than one transaction because of
the commands of other parties (`backlog`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import structlog
import trio

from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.supervisor import Actor, Context
from tocsin.actors.storage.backlog import Backlog
from tocsin.actors.storage.batch_weights import Weights
from tocsin.actors.storage.batches import abandon, admitted, answer, in_halves, refuse
from tocsin.actors.storage.blockades import Blockades, StuckLines
from tocsin.actors.storage.catching_up import EXPIRING_MAX, expire_first, is_there
from tocsin.actors.storage.commit_timing import CommitPace
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.outage import Outage
from tocsin.actors.storage.requests import Flush, Read, StorageMessage, Write, reads_ledger
from tocsin.actors.world import World
from tocsin.persistence.store import Store, StoreBlocked, StoreFailed, StoreUnavailable
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Expire
from tocsin.persistence.store.user_commands import Acknowledge, Attach, Record

logger = structlog.get_logger(__name__)

_QUERIES_MAX: Final = 1000
"""Queries in one batch: enough for the price of a statement to vanish."""
PENDING_MAX: Final = 20_000
"""Commands and queries gathered; beyond it the mailbox fills and senders are refused."""
_LEDGER_PAUSE: Final = 0.025
"""Seconds between two transactions that carry only the ledger, for which no request waits."""
_CLOSE_TIMEOUT: Final = 5.0
"""Seconds that the store has to close, whatever holds it up."""
_OF_LEDGER: Final = (Attach, Acknowledge)
"""Commands that must find in the ledger what the device was sent and has acknowledged."""


class StorageActor(Actor[StorageMessage]):
    """Owns the *store* and writes the *ledger*; see the module.

    *announce* is called with each result, and must not raise. *first* makes, from the time (Unix
    ms), the command that comes before all others when the store is there again; *expiring_max* is
    the time in seconds that such commands may take. Up to *pending_max* commands and queries wait.
    """

    def __init__(
        self,
        store: Store,
        status: StoreStatus,
        world: World,
        ledger: Ledger,
        *,
        announce: Callable[[Result], None] = lambda result: None,
        first: Callable[[int], Expire] | None = None,
        pending_max: int = PENDING_MAX,
        expiring_max: float = EXPIRING_MAX,
    ) -> None:
        self._store = store
        self._status = status
        self._world = world
        self._announce = announce
        self._first = first
        self._pending_max = pending_max
        self._expiring_max = expiring_max
        self._weights = Weights()
        self._writes: Backlog[Write[Any]] = Backlog(self._weights)
        self._blockades: Blockades[Write[Any]] = Blockades()
        self._reads: list[Read[Any]] = []
        self._flushes: list[Flush] = []
        self._ledger = ledger.waiting
        self._writer = ledger.bell
        self._reader = Bell()
        self._flusher = Bell()
        self._written = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._stuck = StuckLines()
        self._pace = CommitPace()
        self._ledger_after = -math.inf
        self._outage = Outage(status, world)
        self._readable = False
        self._writing = False
        self._stopping = False

    async def run(self, context: Context[StorageMessage]) -> None:
        """Gather until stopped, then write the rest and close the store; cancelled, only close."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_loop, name=f"{context.ref.path}/writer")
                nursery.start_soon(self._read_loop, name=f"{context.ref.path}/reader")
                nursery.start_soon(self._flush_loop, name=f"{context.ref.path}/flusher")
                await super().run(context)
                self._stopping = True
                if not self._status.available:
                    # A last attempt.
                    self._outage.probe_at = -math.inf
                self._writer.ring()
                self._reader.ring()
                self._flusher.ring()
        finally:
            abandon((*self._writes.clear(), *self._reads, *self._flushes))
            try:
                self._status.set_available(False)
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_TIMEOUT):
                    await self._store.aclose()

    async def receive(self, message: StorageMessage) -> None:
        """Gather one message; waits while there are too many already."""
        # A bell is rung only if the task has something new to do: most messages cost no switch.
        if not (self._status.available or (self._readable and isinstance(message, Read))):
            message.reply.fail(StoreUnavailable("the store is away"))
        elif isinstance(message, Flush):
            self._flushes.append(message)
            self._flusher.ring()
        elif isinstance(message, Write):
            if isinstance(message.command, _OF_LEDGER):
                self._ledger.hurry()
            self._writes.add(message)
            now = trio.current_time()
            if self._pace.came(now, len(self._writes)) and not self._writing:
                self._writer.ring_at(self._pace.due, now)
        else:
            self._reads.append(message)
            if len(self._reads) == 1:
                self._reader.ring()
        while len(self._writes) + len(self._reads) > self._pending_max:
            await self._room.park()

    # --- Writing ---------------------------------------------------------------------------------

    async def _write_loop(self) -> None:
        while not (self._stopping and not (self._writes or len(self._ledger) or self._stuck)):
            now = trio.current_time()
            if lines := self._stuck.take(now, at_once=self._stopping):
                self._ledger.put_back(lines)
            if now >= self._outage.probe_at:
                await self._probe()
            elif now < (due := self._next_write()):
                await self._writer.wait(min(due, self._outage.probe_at))
            else:
                await self._write(now)

    def _next_write(self) -> float:
        """When (Trio time) the next transaction may begin."""
        if not self._status.available:
            return math.inf
        if self._stopping:
            return -math.inf
        if self._writes:
            return self._pace.due
        return max(self._ledger_after, self._ledger.due)

    async def _write(self, now: float) -> None:
        """Run one transaction."""
        batch = self._writes.take()
        records = self._ledger.take(math.inf if self._stopping else now)
        self._pace.went(len(batch))
        # No request waits for the ledger, so it takes the pause, unless its lines are too many.
        self._ledger_after = now + _LEDGER_PAUSE if self._ledger.due > now else now
        self._writing = True
        try:
            await self._commit(records, batch)
        except BaseException:
            abandon(batch)
            raise
        self._writing = False
        ended = trio.current_time()
        self._pace.ended(ended, ended - now, len(batch), len(self._writes))
        # Asked first, because nearly always no task is parked there.
        if self._written:
            self._written.unpark_all()
        if self._room:
            self._room.unpark_all()

    async def _commit(self, records: list[Record], batch: list[Write[Any]]) -> None:
        """Write *records* and *batch*, in this order, and answer all requests of the batch.

        One transaction does it, unless a command is poison or blocked. Then the batch is written in
        halves, and halves of halves, so that this command alone is refused.
        """
        first, *suspects = self._blockades.parts(batch)
        parts: list[tuple[list[Record], list[Write[Any]]]] = [
            ([], each) for each in reversed(suspects)
        ]
        if records or first:
            parts.append((records, first))
        hurried = False
        while parts:
            hurried |= len(parts) <= len(suspects)
            records, batch = parts.pop()
            batch = admitted(batch)
            if not (records or batch):
                continue
            if self._blockades.is_shut(batch, trio.current_time()):
                refuse(batch, StoreBlocked("somebody else holds a lock on it"))
                continue
            commands: list[Command[Any]] = [*records, *(write.command for write in batch)]
            started = trio.current_time()
            try:
                results = await self._store.write(commands, hurried=hurried)
            except StoreBlocked as error:
                hurried = True
                smaller = in_halves(records, batch)
                parts += reversed(smaller)
                if not smaller:
                    self._set_aside(records, batch, error)
            except StoreUnavailable as error:
                parts.append((records, batch))
                parts.reverse()
                self._ledger.put_back([record for records, _ in parts for record in records])
                refuse((write for _, batch in parts for write in batch), error)
                if self._outage.has_setbacks or error.timed_out or not await is_there(self._store):
                    self._lost(error)
                else:
                    self._outage.set_back(error)
                return
            except StoreFailed as error:
                smaller = in_halves(records, batch)
                parts += reversed(smaller)
                if not smaller:
                    logger.error("store refused a command", command=commands[0], exc_info=error)
                    for write in batch:
                        write.reply.fail(error)
            else:
                now = trio.current_time()
                statistics = self._status.statistics
                statistics.committed(len(commands), now - started)
                statistics.statements = self._store.statements_run
                self._outage.passed(now)
                self._blockades.passed(batch)
                for write, result in zip(batch, results[len(records) :], strict=True):
                    self._weights.learn(result)
                    self._announce(result)
                    write.reply.set(result)

    def _set_aside(
        self, records: list[Record], batch: list[Write[Any]], error: StoreBlocked
    ) -> None:
        """Refuse the one blocked command in *batch*, or keep the one blocked line in *records*."""
        now = trio.current_time()
        for write in batch:
            logger.warning("command blocked", kind=type(write.command).__name__)
            self._blockades.blocked(write.command, now)
        refuse(batch, error)
        self._stuck.keep(records, now)

    # --- Reading ---------------------------------------------------------------------------------

    async def _read_loop(self) -> None:
        while not (self._stopping and not self._reads):
            if not self._reads:
                await self._reader.wait()
                continue
            batch = self._reads[:_QUERIES_MAX]
            del self._reads[:_QUERIES_MAX]
            try:
                await self._answer([read for read in batch if not reads_ledger(read)])
                if of_ledger := [read for read in batch if reads_ledger(read)]:
                    await self._flush_ledger()
                    await self._answer(of_ledger)
            except BaseException:
                abandon(batch)
                raise
            self._room.unpark_all()

    async def _answer(self, batch: list[Read[Any]]) -> None:
        away = await answer(self._store, self._status.statistics, batch)
        if away and self._status.available:
            # One broken connection does not prove that the store is away; the writer finds out.
            self._outage.probe_at = -math.inf
            self._writer.ring()

    async def _flush_loop(self) -> None:
        # Beside the reader: a flush waits for transactions, and queries of pages need not.
        while not self._stopping:
            if not self._flushes:
                await self._flusher.wait()
                continue
            flushes, self._flushes = self._flushes, []
            try:
                await self._flush_ledger()
            except BaseException:
                abandon(flushes)
                raise
            for flush in flushes:
                if self._status.available:
                    flush.reply.set(None)
                else:
                    flush.reply.fail(StoreUnavailable("the store is away"))

    async def _flush_ledger(self) -> None:
        """Have the ledger's lines written, so that a reader sees all that has happened."""
        # The transaction under way, and as many as the lines here now need; not "until empty",
        # which under load is never.
        for _ in range(self._ledger.transactions + self._writing):
            if not self._status.available or not (self._writing or len(self._ledger)):
                return
            self._ledger.hurry()
            self._ledger_after = -math.inf
            self._writer.ring()
            await self._written.park()

    # --- Away and back ---------------------------------------------------------------------------

    async def _probe(self) -> None:
        """Ask the store whether it is there; if it is back, let expire what is due, and go on."""
        try:
            if not self._status.available:
                await self._store.open()
            await self._store.probe()
            expired: list[Result] = []
            if not self._status.available:
                expired = await expire_first(
                    self._store, self._first, self._world, self._expiring_max
                )
        except StoreUnavailable as error:
            self._lost(error)
            self._status.note_attempt()
            if self._stopping:
                self._give_up()
            return
        now = trio.current_time()
        if self._status.available:
            self._outage.passed(now)
        else:
            self._outage.answered(now, self._store.epoch)
            for result in expired:
                self._announce(result)
            self._status.note_attempt()

    def _lost(self, error: StoreUnavailable) -> None:
        """Note that the store is away, refuse all that waits for it, and choose the next probe."""
        self._outage.failed(error, trio.current_time())
        # Before the store was opened once, it is not known that there is anything to read.
        self._readable = error.readable and self._status.epoch != ""
        refuse(self._writes.clear(), error)
        if not self._readable:
            reads, self._reads = self._reads, []
            refuse(reads, error)
        self._status.set_available(False)
        self._written.unpark_all()
        self._room.unpark_all()

    def _give_up(self) -> None:
        """Drop the ledger's lines, which are lost: the actor is stopped while the store is away."""
        logger.error("stopped without the store", ledger_lines_lost=len(self._ledger))
        self._ledger.clear()
        self._outage.probe_at = math.inf
