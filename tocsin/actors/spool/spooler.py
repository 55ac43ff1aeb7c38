"""The spooler: what producers ask for goes to the store, or into the spool while that is away.

All that producers ask for stands in one line, in the order in which it came, until it is settled.
Usually that costs nothing: the store is asked at once, answers in order, and the line is as long as
what is under way. What the store could not take is appended to the spool when it has come to the
head of the line, and so is what stands behind it, many in one round trip (`spool_line`), until the
spool is empty again (`spool_drain`).
So what a producer sends one after the other is done in that order, whichever way it goes; and
whichever node it goes to, because nobody is told that something was spooled before all nodes know
it (`spool_word`).

Whether a commit has happened that nobody heard of does not matter: a publish is known by its
content's id, and is done once, also if it goes through the spool after all. A change gets a name
when it is spooled, and is done once from then on.

Both away is the end of what can be promised: then whoever stands in the line is refused. Where only
the spool is away, the store is all that is needed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import outcome
import structlog
import trio

from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime import (
    Actor,
    ActorError,
    ActorStopped,
    Context,
    MailboxFull,
    PipedReply,
    Ref,
    Reply,
)
from tocsin.actors.runtime.bell import Bell, pause
from tocsin.actors.spool.drain import Drain, SpoolStatistics
from tocsin.actors.spool.entries import Committal, Poisoned, Spoolable, SpoolUnavailable
from tocsin.actors.spool.line import Place, Prepared, prepare
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.bus import BusUnavailable, Replaying, Spool
from tocsin.persistence.store import Changed, Result, StoreBlocked, StoreUnavailable

logger = structlog.get_logger(__name__)

_LINE_MAX: Final = 20_000
"""Commands that may stand in the line; whoever comes then is told to come back."""
_WATCH: Final = 0.5
_PAUSE_MAX: Final = 1.5
"""Seconds after which this process must have been stopped; others gave up on it, but not sooner."""


class Spooler(Actor[Any]):
    """*time_known* is told of what was stored late and has a time of its own; see the module."""

    def __init__(
        self,
        spool: Spool,
        storage: Ref[StorageMessage],
        status: StoreStatus,
        world: World,
        node: str,
        *,
        time_known: Callable[[Changed, Spoolable], None],
    ) -> None:
        self._spool = spool
        self._storage = storage
        self._status = status
        self._world = world
        self._neighbours: Neighbours = ALONE
        self._line: deque[Place] = deque()
        self._somebody_waits = False
        self._known_run = ""
        self._awake_at = math.inf
        self._bell = Bell()
        self._drain = Drain(
            spool, storage, status, world, node, changed=self._bell.ring, time_known=time_known
        )

    def join(self, neighbours: Neighbours) -> None:
        """From now on agree with *neighbours* about what waits."""
        self._neighbours = neighbours
        neighbours.watch_spool(self._drain.doubt)

    async def run(self, context: Context[Any]) -> None:
        """Work until stopped; whoever still stands in the line is told that nobody will answer."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._advance, name=f"{context.ref.path}/line")
                nursery.start_soon(self._drain.run, name=f"{context.ref.path}/drain")
                nursery.start_soon(self._stay_awake, name=f"{context.ref.path}/watch")
                await super().run(context)
                nursery.cancel_scope.cancel()
        finally:
            self._refuse_waiting(ActorStopped)

    def commit(self, command: Spoolable, reply: Reply[Committal]) -> None:
        """Have *command* done, and *reply* told how; raises `MailboxFull` or `ActorStopped`.

        The reply fails with `StoreUnavailable` where neither store nor spool can take it, and with
        what the store refuses it for.
        """
        if len(self._line) >= _LINE_MAX:
            raise MailboxFull
        self._notice_pause()
        place = Place(command, reply)
        if self._somebody_waits or self._goes_to_spool():
            self._somebody_waits = True
            self._bell.ring()
        else:
            self._ask_store(place)
        self._line.append(place)

    def store_changed(self, available: bool) -> None:
        """The store was lost, or is back."""
        self._drain.store_changed(available)
        self._bell.ring()

    @property
    def reachable(self) -> bool:
        """Whether the spool could be used at the last look: then posts need no store."""
        return self._drain.reachable

    @property
    def waiting(self) -> int:
        """Entries in the spool, of all nodes, at the last look."""
        return self._drain.size

    @property
    def statistics(self) -> SpoolStatistics:
        """Counters since the node's start."""
        return self._drain.statistics

    async def poisoned(self, limit: int) -> list[Poisoned]:
        """What can never be stored, the newest first. Raises `SpoolUnavailable`."""
        with _spool_needed():
            found = await self._spool.poisoned(limit)
        return [
            Poisoned(entry.id, reason, entry.payload.decode(errors="replace"))
            for entry, reason in found
        ]

    async def replay(self, entry: str, *, vouched: bool = False) -> Replaying:
        """Try once more to store what was put aside as *entry*, behind all that waits.

        What is not of this cluster only if an operator has *vouched* for it. Raises
        `SpoolUnavailable`.
        """
        with _spool_needed():
            return await self._spool.replay(entry, vouched=vouched)

    async def discard(self, entry: str) -> bool:
        """Forget what was put aside as *entry*; otherwise as `replay`."""
        with _spool_needed():
            return await self._spool.discard(entry)

    # --- Other nodes ------------------------------------------------------------------------------

    async def _stay_awake(self) -> None:
        while True:
            # After a pause either this task or a post is the first to run.
            self._notice_pause()
            self._awake_at = trio.current_time()
            await pause(_WATCH)

    def _notice_pause(self) -> None:
        """A process that was stopped is not to commit what has waited in its sockets meanwhile."""
        now = trio.current_time()
        if now - self._awake_at > _PAUSE_MAX:
            self._awake_at = now
            self._drain.doubt()

    async def _tell_others(self, run: str) -> None:
        """Return when all nodes know that something waits."""
        if run and run != self._known_run:
            await self._neighbours.spooling(run)
            self._known_run = run

    # --- The line --------------------------------------------------------------------------------

    def _goes_to_spool(self) -> bool:
        return not self._status.available or self._drain.waiting

    def _ask_store(self, place: Place) -> None:
        reply: Reply[Result] = PipedReply(partial(self._answered, place))
        self._storage.tell(Write(command=place.command, reply=reply))
        place.asked, place.refused = True, False

    def _answered(self, place: Place, result: outcome.Outcome[Result]) -> None:
        match result:
            case outcome.Value(value=value):
                place.settle(value)
            case outcome.Error(error=StoreBlocked() as error):
                # In the spool it would stand before all others, and the store works.
                place.fail(error)
            case outcome.Error(error=StoreUnavailable()):
                place.asked, place.refused = False, True
                self._somebody_waits = True
            case outcome.Error(error=error):
                assert isinstance(error, Exception)
                place.fail(error)
        self._leave()
        if self._somebody_waits:
            self._bell.ring()

    def _leave(self) -> None:
        while self._line and self._line[0].settled:
            self._line.popleft()

    async def _advance(self) -> None:
        """Deal with whoever is at the head of the line and was not asked for in the store."""
        while True:
            self._leave()
            self._somebody_waits = any(place.waits for place in self._line)
            if not self._line or self._line[0].asked:
                await self._bell.wait()
            elif not (self._line[0].refused or self._goes_to_spool()):
                self._ask_waiting()
            elif self._status.available and trio.current_time() < self._drain.hold_until:
                await self._bell.wait(self._drain.hold_until)
            else:
                await self._append()

    def _ask_waiting(self) -> None:
        """The spool is empty: ask the store for all who stand there."""
        for place in self._line:
            if place.waits:
                try:
                    self._ask_store(place)
                except ActorError as error:
                    place.fail(error)

    async def _append(self) -> None:
        """Append the head of the line to the spool, and what can follow it, in one round trip."""
        prepared = prepare(self._line, self._world.entropy)
        if prepared:
            try:
                with self._drain.appending():
                    appended = await self._spool.append([each.draft for each in prepared])
            except BusUnavailable as error:
                self._cannot_spool(prepared, error)
                return
            await self._tell_others(appended.run)
            for each, earlier in zip(prepared, appended.earlier, strict=True):
                self._drain.statistics.spooled += earlier is None and each.draft.payload != b""
                each.settle(earlier)

    def _cannot_spool(self, prepared: Sequence[Prepared], error: BusUnavailable) -> None:
        """Without the spool, the store has to do; without both, nobody need wait here."""
        self._drain.lost()
        if self._status.available:
            for each in prepared:
                each.place.refused = False
        else:
            logger.warning("neither store nor spool", error=str(error))
            self._refuse_waiting(lambda: StoreUnavailable("store and spool are away"))

    def _refuse_waiting(self, error: Callable[[], Exception]) -> None:
        for place in self._line:
            if place.waits:
                # An exception for each: one raised in many tasks would gather their tracebacks.
                place.fail(error())


@contextmanager
def _spool_needed() -> Iterator[None]:
    try:
        yield
    except BusUnavailable as error:
        raise SpoolUnavailable from error
