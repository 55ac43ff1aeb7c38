"""The line of the producers' commands: the table before the spooler.

Every command stands in the line, in the order of arrival, until it is settled. Producers' requests
put commands in, and the store's answers take them out, whether or not the spooler is running. Only
appending to the spool is the spooler's business.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import outcome
import trio

from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.errors import ActorError, MailboxFull
from tocsin.actors.runtime.ref import PipedReply, Ref, Reply
from tocsin.actors.spool.entries import Committal, Poisoned, Spoolable, SpoolUnavailable
from tocsin.actors.spool.places import LinePlace
from tocsin.actors.spool.state import SpoolState, SpoolStatistics
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.persistence.bus import BusUnavailable, Replaying, Spool
from tocsin.persistence.store import StoreBlocked, StoreUnavailable
from tocsin.persistence.store.results import Result

_LINE_MAX: Final = 20_000
"""Commands that may stand in the line; beyond it a producer is told to come back later."""
_PAUSE_MAX: Final = 1.5
"""Seconds without a look after which this process must have been stopped. The other nodes wait for
its answer for longer (`spool_agreement.PATIENCE`)."""


class SpoolLine:
    """The places in the line, and the operators' verbs for entries set aside in *spool*."""

    def __init__(self, spool: Spool, storage: Ref[StorageMessage], status: StoreStatus) -> None:
        self._spool = spool
        self._storage = storage
        self._status = status
        self.state = SpoolState()
        self.places: deque[LinePlace] = deque()
        self.known_run = ""
        """The last run that all nodes know of."""
        self.bell = Bell()
        """Rings when the spooler is to look at the line."""
        self._somebody_waits = False
        self._awake_at = math.inf

    def commit(self, command: Spoolable, reply: Reply[Committal]) -> None:
        """Have *command* done by the store or taken by the spool; *reply* gets the outcome.

        The reply fails with `StoreUnavailable` if neither store nor spool can take the command, and
        with the store's error if the store refuses it. Raises `MailboxFull` if the line or the
        storage actor has no room, `ActorStopped` if the node stops.
        """
        if len(self.places) >= _LINE_MAX:
            raise MailboxFull
        self.notice_pause()
        place = LinePlace(command, reply)
        if self._somebody_waits or self.goes_to_spool():
            self._somebody_waits = True
            self.bell.ring()
        else:
            self._ask_store(place)
        self.places.append(place)

    def store_changed(self, available: bool) -> None:
        """Have the spooler look at the line: the store was lost, or is back."""
        self.state.store_changed(available)
        self.bell.ring()

    @property
    def reachable(self) -> bool:
        """Whether the spool could be used at the last look. If so, posts need no store."""
        return self.state.reachable

    @property
    def waiting(self) -> int:
        """Entries in the spool, of all nodes, at the last look."""
        return self.state.size

    @property
    def statistics(self) -> SpoolStatistics:
        """Counters since the node's start."""
        return self.state.statistics

    async def poisoned(self, limit: int) -> list[Poisoned]:
        """At most *limit* entries that can never be stored, the newest first.

        Raises `SpoolUnavailable`.
        """
        with _spool_needed():
            found = await self._spool.poisoned(limit)
        return [
            Poisoned(entry.id, reason, entry.payload.decode(errors="replace"))
            for entry, reason in found
        ]

    async def replay(self, entry: str, *, vouched: bool = False) -> Replaying:
        """Put *entry*, which was set aside, behind all that waits, to be stored after all.

        An entry that this cluster has not sealed needs an operator who has *vouched* for it. Raises
        `SpoolUnavailable`; cancelled, it may have been done.
        """
        with _spool_needed():
            return await self._spool.replay(entry, vouched=vouched)

    async def discard(self, entry: str) -> bool:
        """Forget *entry*, which was set aside; returns whether it was there. As `replay`."""
        with _spool_needed():
            return await self._spool.discard(entry)

    # --- For the spooler -------------------------------------------------------------------------

    def awake(self) -> None:
        """Note that the process runs."""
        # After a pause of the process, either the spooler or a post is the first to run.
        self.notice_pause()
        self._awake_at = trio.current_time()

    def notice_pause(self) -> None:
        """See whether the process was stopped for a while, in which other nodes may have spooled.

        If so, no command overtakes the spool until a look has found it empty.
        """
        now = trio.current_time()
        if now - self._awake_at > _PAUSE_MAX:
            self._awake_at = now
            self.state.doubt()

    def goes_to_spool(self) -> bool:
        """Whether a command that comes now has to be spooled."""
        return not self._status.available or self.state.waiting

    def first_waiting(self) -> LinePlace | None:
        """The head of the line, unless the store has been asked for it; settled places leave."""
        self._leave()
        self._somebody_waits = any(place.waits for place in self.places)
        return None if not self.places or self.places[0].asked else self.places[0]

    def ask_waiting(self) -> None:
        """Ask the store for all commands that wait: the spool is empty."""
        for place in self.places:
            if place.waits:
                try:
                    self._ask_store(place)
                except ActorError as error:
                    place.fail(error)

    def refuse_waiting(self, error: Callable[[], Exception]) -> None:
        """Fail all commands that wait, with an *error* each."""
        for place in self.places:
            if place.waits:
                # An exception for each: one that is raised in many tasks would gather their
                # tracebacks.
                place.fail(error())

    # --- Inside ----------------------------------------------------------------------------------

    def _ask_store(self, place: LinePlace) -> None:
        reply: Reply[Result] = PipedReply(partial(self._answered, place))
        self._storage.tell(Write(command=place.command, reply=reply))
        place.asked, place.refused = True, False

    def _answered(self, place: LinePlace, result: outcome.Outcome[Result]) -> None:
        if isinstance(result, outcome.Value):
            place.settle(result.value)
        elif isinstance(result, outcome.Error):
            self._refused(place, result.error)
        self._leave()
        if self._somebody_waits:
            self.bell.ring()

    def _refused(self, place: LinePlace, error: BaseException) -> None:
        # A foreign lock concerns this command alone: the store works, and in the spool the command
        # would hold up all others.
        if isinstance(error, StoreUnavailable) and not isinstance(error, StoreBlocked):
            place.asked, place.refused = False, True
            self._somebody_waits = True
        else:
            assert isinstance(error, Exception)
            place.fail(error)

    def _leave(self) -> None:
        while self.places and self.places[0].settled:
            self.places.popleft()


@contextmanager
def _spool_needed() -> Iterator[None]:
    try:
        yield
    except BusUnavailable as error:
        raise SpoolUnavailable from error
