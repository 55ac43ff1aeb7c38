"""The spooler: producers' commands go to the store, or into the spool while the store is away.

Every command of a producer stands in one line, in the order of arrival, until it is settled.
Usually that costs nothing: the store is asked at once and answers in order, so the line holds only
the commands under way. A command that the store could not take is appended to the spool when it has
come to the head of the line, and so are the commands behind it, many in one round trip (`places`),
until the spool is empty again (`drain`). The line (`line`) outlives the spooler.

So the commands that a producer sends one after the other are done in that order, by whichever way
they go. The order holds from node to node as well, because a producer is told that its command was
spooled only when all nodes know it (`spool_agreement`).

A commit whose answer was lost does no harm. The store knows a publish by its content's id and does
it once, even if it goes through the spool as well. A change gets a name when it is spooled, and is
done once from then on.

While store and spool are both away, nothing can be promised, so all commands in the line are
refused. While only the spool is away, the store is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Never

import structlog
import trio

from tocsin.actors.delivery.neighbours import Neighbours
from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime.bell import pause
from tocsin.actors.runtime.errors import ActorCrashed, ActorStopped
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.supervisor import Context
from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.actors.spool.drain import Drain
from tocsin.actors.spool.entries import Spoolable
from tocsin.actors.spool.line import SpoolLine
from tocsin.actors.spool.places import Prepared, prepare
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.world import World
from tocsin.persistence.bus import BusUnavailable, Spool
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.commands import Changed

logger = structlog.get_logger(__name__)

_WATCH: Final = 0.5
"""Seconds between two looks at the clock: much less than the pause that they are to notice."""


class Spooler(TableWorker):
    """Works on *line*, and agrees with *neighbours* that the spool is in use; see the module.

    *time_known* is called with each change that the drain has stored, and its command.
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
        """Work until stopped or cancelled, then refuse the commands that still wait in the line.

        An incarnation that fails leaves the line to the next one.
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
        """Three tasks: the line, the drain, and the watch over pauses of the process."""
        return (self._advance, self._drain.run, self._stay_awake)

    async def _stay_awake(self) -> None:
        while True:
            self._line.awake()
            await pause(_WATCH)

    async def _tell_others(self, run: str) -> None:
        """Return when all nodes know that the spool is not empty, since *run* began."""
        if run and run != self._line.known_run:
            await self._neighbours.spooling(run)
            self._line.known_run = run

    async def _advance(self) -> None:
        """Send the command at the head of the line to the store or the spool, again and again."""
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
            # One of the commands is the cause; it must not fail the next incarnation as well.
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
        """Leave the commands to the store, as the spool is away; refuse them if both are away."""
        self._line.state.lost()
        if self._status.available:
            for each in prepared:
                each.place.refused = False
        else:
            logger.warning("store and spool are both away", error=str(error))
            self._line.refuse_waiting(lambda: StoreUnavailable("store and spool are away"))
