"""The line of all that producers ask for: the table before the spooler.

All of it stands here, in the order in which it came, until it is settled. Producers put commands
in, and the store's answers take them out, whether or not the spooler is running. Appending to the
spool is the spooler's business.
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
from tocsin.actors.runtime import ActorError, MailboxFull, PipedReply, Ref, Reply
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.spool.entries import Committal, Poisoned, Spoolable, SpoolUnavailable
from tocsin.actors.spool.places import LinePlace
from tocsin.actors.spool.state import SpoolState, SpoolStatistics
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.persistence.bus import BusUnavailable, Replaying, Spool
from tocsin.persistence.store import Result, StoreBlocked, StoreUnavailable

_LINE_MAX: Final = 20_000
"""Commands that may stand in the line; beyond it a producer is told to come back."""
_PAUSE_MAX: Final = 1.5
"""Seconds without a look after which this process must have been stopped. The other nodes wait for
its answer for longer (`spool_agreement.PATIENCE`)."""


class SpoolLine:
    """Places in the line, and what operators may do about what was set aside in *spool*."""

    def __init__(self, spool: Spool, storage: Ref[StorageMessage], status: StoreStatus) -> None:
        self._spool = spool
        self._storage = storage
        self._status = status
        self.state = SpoolState()
        self.places: deque[LinePlace] = deque()
        self.known_run = ""
        """The run of which all nodes know that something waits."""
        self.bell = Bell()
        """Rings when the spooler is to look at the line."""
        self._somebody_waits = False
        self._awake_at = math.inf

    def commit(self, command: Spoolable, reply: Reply[Committal]) -> None:
        """Have *command* done, and *reply* told how; raises `MailboxFull` or `ActorStopped`.

        The reply fails with `StoreUnavailable` where neither store nor spool can take it, and with
        what the store refuses it for.
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
        """The store was lost, or is back."""
        self.state.store_changed(available)
        self.bell.ring()

    @property
    def reachable(self) -> bool:
        """Whether the spool could be used at the last look: then posts need no store."""
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
        """Entries that can never be stored, the newest first. Raises `SpoolUnavailable`."""
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

    # --- For the spooler -------------------------------------------------------------------------

    def awake(self) -> None:
        """The process runs."""
        # After a pause either the spooler or a post is the first to run.
        self.notice_pause()
        self._awake_at = trio.current_time()

    def notice_pause(self) -> None:
        """See whether the process was stopped: then no command that comes goes before the spool."""
        now = trio.current_time()
        if now - self._awake_at > _PAUSE_MAX:
            self._awake_at = now
            self.state.doubt()

    def goes_to_spool(self) -> bool:
        """Whether what comes now has to be spooled."""
        return not self._status.available or self.state.waiting

    def first_waiting(self) -> LinePlace | None:
        """The head of the line, if it was not asked for in the store; what is settled leaves."""
        self._leave()
        self._somebody_waits = any(place.waits for place in self.places)
        return None if not self.places or self.places[0].asked else self.places[0]

    def ask_waiting(self) -> None:
        """The spool is empty: ask the store for all who stand there."""
        for place in self.places:
            if place.waits:
                try:
                    self._ask_store(place)
                except ActorError as error:
                    place.fail(error)

    def refuse_waiting(self, error: Callable[[], Exception]) -> None:
        """Fail all who wait with an *error* each."""
        for place in self.places:
            if place.waits:
                # An exception for each: one raised in many tasks would gather their tracebacks.
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
        # A lock that somebody else holds concerns this command alone: the store works, and in the
        # spool the command would stand before all others.
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
