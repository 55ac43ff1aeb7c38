"""The spooler: what producers ask for goes to the store, or into the spool while that is away.

All that producers ask for stands in one line, in the order in which it came, until it is settled.
Usually that costs nothing: the store is asked at once, answers in order, and the line is as long as
what is under way. What the store could not take is appended to the spool when it has come to the
head of the line, and so is what stands behind it, until the spool is empty again (`spool_drain`).
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
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import outcome
import structlog
import trio

from tocsin.actors.neighbours import ALONE, Neighbours
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
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.spool_drain import Drain, SpoolStatistics
from tocsin.actors.spool_entries import (
    Committal,
    Poisoned,
    Spoolable,
    Spooled,
    SpoolUnavailable,
    answer_to,
    check,
    claim_of,
    encode,
    is_spoolable,
    named,
)
from tocsin.actors.storage import StorageMessage, StoreStatus, Write
from tocsin.actors.world import World
from tocsin.persistence.bus import BusUnavailable, Claim, Draft, Spool
from tocsin.persistence.store import Changed, KeyReused, PatchRefused, Result, StoreUnavailable
from tocsin.protocol.problems import ProblemError

logger = structlog.get_logger(__name__)

_LINE_MAX: Final = 20_000
"""Commands that may stand in the line; whoever comes then is told to come back."""
_WATCH: Final = 0.5
_PAUSE_MAX: Final = 1.5
"""Seconds after which this process must have been stopped; others gave up on it, but not sooner."""


class _Place:
    """A place in the line: *asked* while the store has it, *refused* once the store could not."""

    __slots__ = ("asked", "command", "refused", "reply", "settled")

    def __init__(self, command: Spoolable, reply: Reply[Committal]) -> None:
        self.command = command
        self.reply = reply
        self.asked = self.refused = self.settled = False

    def settle(self, value: Committal) -> None:
        self.settled = True
        self.reply.set(value)

    def fail(self, error: Exception) -> None:
        self.settled = True
        self.reply.fail(error)


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
        self._line: deque[_Place] = deque()
        self._unasked = 0
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
            self._refuse_unasked(ActorStopped)

    def commit(self, command: Spoolable, reply: Reply[Committal]) -> None:
        """Have *command* done, and *reply* told how; raises `MailboxFull` or `ActorStopped`.

        The reply fails with `StoreUnavailable` where neither store nor spool can take it, and with
        what the store refuses it for.
        """
        if len(self._line) >= _LINE_MAX:
            raise MailboxFull
        self._notice_pause()
        place = _Place(command, reply)
        if self._unasked or self._goes_to_spool():
            self._unasked += 1
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
        try:
            found = await self._spool.poisoned(limit)
        except BusUnavailable as error:
            raise SpoolUnavailable from error
        return [
            Poisoned(entry.id, reason, entry.payload.decode(errors="replace"))
            for entry, reason in found
        ]

    # --- Other nodes ------------------------------------------------------------------------------

    async def _stay_awake(self) -> None:
        while True:
            self._awake_at = trio.current_time()
            await trio.sleep(_WATCH)

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

    def _ask_store(self, place: _Place) -> None:
        reply: Reply[Result] = PipedReply(partial(self._answered, place))
        self._storage.tell(Write(command=place.command, reply=reply))
        place.asked, place.refused = True, False

    def _answered(self, place: _Place, result: outcome.Outcome[Result]) -> None:
        match result:
            case outcome.Value(value=value):
                place.settle(value)
            case outcome.Error(error=StoreUnavailable()):
                place.asked, place.refused = False, True
                self._unasked += 1
            case outcome.Error(error=error):
                assert isinstance(error, Exception)
                place.fail(error)
        self._leave()
        if self._unasked:
            self._bell.ring()

    def _leave(self) -> None:
        while self._line and self._line[0].settled:
            self._line.popleft()

    async def _advance(self) -> None:
        """Deal with whoever is at the head of the line and was not asked for in the store."""
        while True:
            self._leave()
            if not self._line or self._line[0].asked:
                await self._bell.wait()
            elif not (self._line[0].refused or self._goes_to_spool()):
                self._ask_waiting()
            elif self._status.available and trio.current_time() < self._drain.hold_until:
                await self._bell.wait(self._drain.hold_until)
            else:
                await self._append(self._line[0])

    def _ask_waiting(self) -> None:
        """The spool is empty: ask the store for all who stand there."""
        for place in self._line:
            if not (place.asked or place.settled):
                self._unasked -= 1
                try:
                    self._ask_store(place)
                except ActorError as error:
                    place.fail(error)

    async def _append(self, place: _Place) -> None:
        """Append the head of the line to the spool, if that can be."""
        # From here on it may be done without our knowing.
        command = place.command = named(place.command, self._world.entropy)
        try:
            check(command)
            if not is_spoolable(command):
                raise StoreUnavailable("the store is away, so nobody knows the revision")
            answer = answer_to(command)
            claim = claim_of(command, answer)
            with self._drain.appending():
                appended = await self._spool.append([Draft(encode(command), claim)])
            await self._tell_others(appended.run)
        except BusUnavailable as error:
            self._cannot_spool(place, error)
            return
        except ProblemError as error:
            place.settle(PatchRefused(error))
        except StoreUnavailable as error:
            place.fail(error)
        else:
            [earlier] = appended.earlier
            self._drain.statistics.spooled += earlier is None
            place.settle(_first_answer(answer, claim, earlier))
        self._unasked -= 1

    def _cannot_spool(self, place: _Place, error: BusUnavailable) -> None:
        """Without the spool, the store has to do; without both, nobody need wait here."""
        self._drain.lost()
        if self._status.available:
            place.refused = False
        else:
            logger.warning("neither store nor spool", error=str(error))
            self._refuse_unasked(lambda: StoreUnavailable("store and spool are away"))

    def _refuse_unasked(self, error: Callable[[], Exception]) -> None:
        for place in self._line:
            if not (place.asked or place.settled):
                self._unasked -= 1
                # An exception for each: one raised in many tasks would gather their tracebacks.
                place.fail(error())


def _first_answer(answer: str, claim: Claim | None, earlier: Claim | None) -> Committal:
    if earlier is None:
        return Spooled(answer)
    assert claim is not None
    if earlier.fingerprint != claim.fingerprint:
        return KeyReused()
    return Spooled(earlier.answer, replayed=True)
