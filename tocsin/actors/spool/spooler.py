"""The spooler: what producers ask for goes to the store, or into the spool while that is away.

All that producers ask for stands in one line, in the order in which it came, until it is settled.
Usually that costs nothing: the store is asked at once, answers in order, and the line is as long as
what is under way. A command that the store could not take is appended to the spool when it has
come to the head of the line, and so are those behind it, many in one round trip (`places`), until
the spool is empty again (`drain`). The line (`line`) outlives the spooler.

So what a producer sends one after the other is done in that order, whichever way it goes; and
whichever node it goes to, because nobody is told that something was spooled before all nodes know
it (`spool_agreement`).

Whether a commit has happened that nobody heard of does not matter: a publish is known by its
content's id, and is done once, also if it goes through the spool after all. A change gets a name
when it is spooled, and is done once from then on.

Both away is the end of what can be promised: then whoever stands in the line is refused. Where only
the spool is away, the store is all that is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Never

import structlog
import trio

from tocsin.actors.delivery.neighbours import Neighbours
from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime import ActorCrashed, ActorStopped, Context, Ref, TableWorker, Tasks
from tocsin.actors.runtime.bell import pause
from tocsin.actors.spool.drain import Drain
from tocsin.actors.spool.entries import Spoolable
from tocsin.actors.spool.line import SpoolLine
from tocsin.actors.spool.places import Prepared, prepare
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.world import World
from tocsin.persistence.bus import BusUnavailable, Spool
from tocsin.persistence.store import Changed, StoreUnavailable

logger = structlog.get_logger(__name__)

_WATCH: Final = 0.5
"""Seconds between two looks at the clock: much less than the pause that they are to notice."""


class Spooler(TableWorker):
    """Works on *line*, and agrees with *neighbours* about what waits; see the module.

    *time_known* is told of what was stored late and has a time of its own.
    """

    def __init__(
        self,
        line: SpoolLine,
        spool: Spool,
        storage: Ref[StorageMessage],
        status: StoreStatus,
        world: World,
        node: str,
        *,
        neighbours: Neighbours,
        time_known: Callable[[Changed, Spoolable], None],
    ) -> None:
        self._line = line
        self._spool = spool
        self._status = status
        self._world = world
        self._neighbours = neighbours
        self._drain = Drain(
            line.state,
            spool,
            storage,
            status,
            world,
            node,
            changed=line.bell.ring,
            time_known=time_known,
        )

    async def run(self, context: Context[Never]) -> None:
        """Work until stopped; whoever still stands in the line is told that nobody will answer.

        One that fails leaves the line to the next incarnation.
        """
        try:
            await super().run(context)
        except Exception:
            raise
        except BaseException:
            self._line.refuse_waiting(ActorStopped)
            raise
        self._line.refuse_waiting(ActorStopped)

    def tasks(self) -> Tasks:
        """The line, the drain, and the watch over pauses of the process."""
        return (self._advance, self._drain.run, self._stay_awake)

    async def _stay_awake(self) -> None:
        while True:
            self._line.awake()
            await pause(_WATCH)

    async def _tell_others(self, run: str) -> None:
        """Return when all nodes know that something waits."""
        if run and run != self._line.known_run:
            await self._neighbours.spooling(run)
            self._line.known_run = run

    async def _advance(self) -> None:
        """Deal with whoever is at the head of the line and was not asked for in the store."""
        line, state = self._line, self._line.state
        while True:
            first = line.first_waiting()
            if first is None:
                await line.bell.wait()
            elif not (first.refused or line.goes_to_spool()):
                self._ask_waiting()
            elif self._status.available and trio.current_time() < state.hold_until:
                await line.bell.wait(state.hold_until)
            else:
                await self._append()

    def _ask_waiting(self) -> None:
        self._line.ask_waiting()

    async def _append(self) -> None:
        """Append the head of the line to the spool, and what can follow it, in one round trip."""
        try:
            prepared = prepare(self._line.places, self._world.entropy)
        except Exception:
            # One of them is what we fail of; it must not fail the next incarnation too.
            self._line.refuse_waiting(ActorCrashed)
            raise
        if prepared:
            state = self._line.state
            try:
                with state.appending():
                    appended = await self._spool.append([each.draft for each in prepared])
            except BusUnavailable as error:
                self._cannot_spool(prepared, error)
                return
            await self._tell_others(appended.run)
            for each, earlier in zip(prepared, appended.earlier, strict=True):
                state.statistics.spooled += earlier is None and each.draft.payload != b""
                each.settle(earlier)

    def _cannot_spool(self, prepared: Sequence[Prepared], error: BusUnavailable) -> None:
        """Without the spool, the store has to do; without both, nobody need wait here."""
        self._line.state.lost()
        if self._status.available:
            for each in prepared:
                each.place.refused = False
        else:
            logger.warning("neither store nor spool", error=str(error))
            self._line.refuse_waiting(lambda: StoreUnavailable("store and spool are away"))
