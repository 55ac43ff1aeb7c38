"""The storage actor: everything durable goes through here, many things at a time.

One transaction for hundreds of commands costs little more than one for one, so commands are
gathered while the previous transaction runs (group commit), and answered together when it is
durable. A lone command never waits; a crowd is waited for, some milliseconds (see `pace`).

Ledger lines (a push was sent, a device acknowledged) are merged before they are written. A line
that only says "sent" waits a moment for its acknowledgment (`ledger`), because most come within
milliseconds and then one row is written instead of two. Who reads the ledger sees no difference:
what waits is written first.

A store that is away is a state, not a crash: what somebody waits for is refused at once, ledger
lines stay and are written when it is back, and the watchers of `StoreStatus` are told. Where only
writing is out of order, as on a full disk, questions are still answered.

What a transaction did is announced before it is answered, result by result: those who follow a
log hear of its changes in the order of their sequences, whoever made them.

Three tasks share the actor's state: the mailbox reader gathers, the writer and the reader work. One
transaction is in flight at a time, and what one party sends keeps its order; nobody waits for more
than one transaction because of what others have to write (`backlog`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final

import structlog
import trio

from tocsin.actors.backlog import Backlog
from tocsin.actors.catching_up import expire_first
from tocsin.actors.ledger import Ledger
from tocsin.actors.ledger_buffer import halves
from tocsin.actors.pace import Pace
from tocsin.actors.reasons import Reasons
from tocsin.actors.runtime import Actor, Context, Request
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.ref import abandoned
from tocsin.actors.store_status import StoreStatus as StoreStatus
from tocsin.actors.weights import Weights
from tocsin.actors.world import World
from tocsin.persistence.store import (
    Acknowledge,
    Answer,
    Attach,
    Command,
    Expire,
    Query,
    ReadDeliveries,
    Record,
    Result,
    Store,
    StoreFailed,
    StoreUnavailable,
)
from tocsin.protocol.backoff import Backoff

logger = structlog.get_logger(__name__)

_QUERIES_MAX: Final = 1000
"""Questions in one batch of them: enough for the price of a statement to vanish."""
_PENDING_MAX: Final = 20_000
"""Commands and questions gathered; beyond it the mailbox fills and senders are refused."""
_LEDGER_PAUSE: Final = 0.025
"""Seconds between two transactions that carry nothing but the ledger, for which nobody waits."""
_PROBE_INTERVAL: Final = 2.0
"""Seconds without a successful transaction after which the store is asked whether it is there."""
_CLOSE_TIMEOUT: Final = 5.0
_OF_LEDGER: Final = (Attach, Acknowledge)
"""They must find what the device was sent and has acknowledged."""
_RECOVERY: Final = Backoff(initial=0.25, cap=5.0)


class Write(Request[Result]):
    """Run *command* durably; fails with `StoreUnavailable` or `StoreFailed`.

    Writes of one *lane* keep their order; without one it is the command's (`lane_of`).
    """

    command: Command
    lane: str | None = None


class Read(Request[Answer]):
    """Answer *query*; fails like `Write`."""

    query: Query


StorageMessage = Write | Read


class StorageActor(Actor[StorageMessage]):
    """Owns the store, writes the *ledger*. *announce* must not raise; see the module.

    *first* makes the command that comes before everybody else's, from the time (Unix ms).
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
    ) -> None:
        self._store = store
        self._status = status
        self._world = world
        self._announce = announce
        self._first = first
        self._weights = Weights()
        self._writes: Backlog[Write] = Backlog(self._weights)
        self._reads: list[Read] = []
        self._ledger = ledger.waiting
        self._writer = ledger.bell
        self._reader = Bell()
        self._written = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._pace = Pace()
        self._ledger_after = -math.inf
        self._probe_at = -math.inf
        self._setbacks = 0
        self._reasons = Reasons(logger, "store")
        self._readable = False
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
                if not self._status.available:
                    # A last attempt.
                    self._probe_at = -math.inf
                self._writer.ring()
                self._reader.ring()
        finally:
            _abandon((*self._writes.clear(), *self._reads))
            try:
                self._status.set_available(False)
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_TIMEOUT):
                    await self._store.aclose()

    async def receive(self, message: StorageMessage) -> None:
        """Gather one message; waits while there is too much already."""
        # A bell is rung only where there is something new to know: most messages cost no switch.
        if not (self._status.available or (self._readable and isinstance(message, Read))):
            message.reply.fail(StoreUnavailable("the store is away"))
        elif isinstance(message, Write):
            if isinstance(message.command, _OF_LEDGER):
                self._ledger.hurry()
            self._writes.add(message)
            first = len(self._writes) == 1
            self._pace.came(trio.current_time(), first=first)
            if first:
                self._writer.ring()
        else:
            self._reads.append(message)
            if len(self._reads) == 1:
                self._reader.ring()
        while len(self._writes) + len(self._reads) > _PENDING_MAX:
            await self._room.park()

    # --- Writing ---------------------------------------------------------------------------------

    async def _write_loop(self) -> None:
        while not (self._stopping and not self._writes and not len(self._ledger)):
            now = trio.current_time()
            if now >= self._probe_at:
                await self._probe()
            elif now < (due := self._next_write()):
                await self._writer.wait(min(due, self._probe_at))
            else:
                await self._write(now)

    def _next_write(self) -> float:
        """When the next transaction may begin."""
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
        # Nobody waits for the ledger, so it always takes the pause, unless there is too much of it.
        self._ledger_after = now + _LEDGER_PAUSE if self._ledger.due > now else now
        self._writing = True
        try:
            await self._commit(records, batch)
        except BaseException:
            _abandon(batch)
            raise
        self._writing = False
        # Asked first, because nearly always nobody is there.
        if self._written:
            self._written.unpark_all()
        if self._room:
            self._room.unpark_all()

    async def _commit(self, records: list[Record], batch: list[Write]) -> None:
        """Write *records* and *batch*, in this order, and answer everybody.

        In one transaction, unless somebody's command is poison: then in halves, and halves of
        halves, so that it alone is refused.
        """
        parts = [(records, batch)]
        while parts:
            records, batch = parts.pop()
            commands: list[Command] = [*records, *(write.command for write in batch)]
            started = trio.current_time()
            try:
                results = await self._store.write(commands)
            except StoreUnavailable as error:
                parts.append((records, batch))
                parts.reverse()
                self._ledger.put_back([record for records, _ in parts for record in records])
                _refuse((write for _, batch in parts for write in batch), error)
                self._lost(error)
                return
            except StoreFailed as error:
                smaller = _halves(records, batch)
                parts += reversed(smaller)
                if not smaller:
                    logger.error("store refused a command", command=commands[0], exc_info=error)
                    for write in batch:
                        write.reply.fail(error)
            else:
                now = trio.current_time()
                statistics = self._status.statistics
                statistics.transactions += 1
                statistics.commands += len(commands)
                statistics.statements = self._store.statements_run
                statistics.seconds += now - started
                self._probe_at = now + _PROBE_INTERVAL
                self._setbacks = 0
                for write, result in zip(batch, results[len(records) :], strict=True):
                    self._weights.learn(result)
                    self._announce(result)
                    write.reply.set(result)

    # --- Reading ---------------------------------------------------------------------------------

    async def _read_loop(self) -> None:
        while not (self._stopping and not self._reads):
            if not self._reads:
                await self._reader.wait()
                continue
            batch = self._reads[:_QUERIES_MAX]
            del self._reads[:_QUERIES_MAX]
            try:
                await self._answer([read for read in batch if not _reads_ledger(read)])
                if of_ledger := [read for read in batch if _reads_ledger(read)]:
                    await self._flush_ledger()
                    await self._answer(of_ledger)
            except BaseException:
                _abandon(batch)
                raise
            self._room.unpark_all()

    async def _answer(self, batch: list[Read]) -> None:
        """Answer *batch*; a query that the store refuses is looked for by halves."""
        parts = [batch] if batch else []
        while parts:
            part = parts.pop()
            try:
                answers = await self._store.read([read.query for read in part])
            except StoreUnavailable as error:
                _refuse(chain(part, *parts), error)
                if self._status.available:
                    # One broken connection is no proof; the writer finds out.
                    self._probe_at = -math.inf
                    self._writer.ring()
                return
            except StoreFailed as error:
                if len(part) == 1:
                    logger.error("store refused a query", query=part[0].query, exc_info=error)
                    part[0].reply.fail(error)
                else:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
            else:
                statistics = self._status.statistics
                statistics.reads += 1
                statistics.queries += len(part)
                statistics.statements = self._store.statements_run
                for read, answer in zip(part, answers, strict=True):
                    read.reply.set(answer)

    async def _flush_ledger(self) -> None:
        """Have the ledger's lines written, so that a reader sees all that has happened."""
        # As many transactions as what is here now needs, and the one under way; not "until empty",
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
        """See whether the store is there, or is back."""
        try:
            if not self._status.available:
                await self._store.open()
            await self._store.probe()
            known = self._status.available
            expired = [] if known else await expire_first(self._store, self._first, self._world)
        except StoreUnavailable as error:
            self._lost(error)
            self._status.note_attempt()
            if self._stopping:
                self._give_up()
            return
        self._probe_at = trio.current_time() + _PROBE_INTERVAL
        if self._status.available:
            self._setbacks = 0
        else:
            self._reasons.over(setbacks=self._setbacks)
            self._status.epoch = self._store.epoch
            self._status.set_available(True)
            for result in expired:
                self._announce(result)
            self._status.note_attempt()

    def _lost(self, error: StoreUnavailable) -> None:
        """Note that the store is away, and when to look again."""
        # At once the first time, later and later from then on: also where the probe succeeds and
        # the next transaction fails, so a setback is over only when something has been written.
        delay = _RECOVERY.delay(self._setbacks, self._world.random()) if self._setbacks else 0.0
        self._probe_at = trio.current_time() + delay
        self._setbacks += 1
        self._status.statistics.failures += 1
        self._reasons.tell(str(error))
        # Before it was opened once, nobody knows that there is anything to read.
        self._readable = error.readable and self._status.epoch != ""
        _refuse(self._writes.clear(), error)
        if not self._readable:
            reads, self._reads = self._reads, []
            _refuse(reads, error)
        self._status.set_available(False)
        self._written.unpark_all()
        self._room.unpark_all()

    def _give_up(self) -> None:
        """Stopped, and the store is away: what the ledger holds is lost."""
        logger.error("stopped without the store", ledger_lines_lost=len(self._ledger))
        self._ledger.clear()
        self._probe_at = math.inf


def _refuse(requests: Iterable[Write | Read], error: StoreUnavailable) -> None:
    for request in requests:
        # An exception of its own for each: one raised in many tasks would gather their tracebacks.
        request.reply.fail(StoreUnavailable(str(error)))


def _reads_ledger(read: Read) -> bool:
    return isinstance(read.query, ReadDeliveries)


def _abandon(requests: Iterable[Write | Read]) -> None:
    """This fails or is cancelled: nobody is to wait for an answer that will not come."""
    for request in requests:
        abandoned(request)


def _halves(records: list[Record], batch: list[Write]) -> list[tuple[list[Record], list[Write]]]:
    """The same in two parts, in order; none if it is a single command that says a single thing."""
    if records and batch:
        return [(records, []), ([], batch)]
    if len(batch) > 1:
        middle = len(batch) // 2
        return [([], batch[:middle]), ([], batch[middle:])]
    if len(records) > 1:
        middle = len(records) // 2
        return [(records[:middle], []), (records[middle:], [])]
    if records:
        return [([half], []) for half in halves(records[0])]
    return []
