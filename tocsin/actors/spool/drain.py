"""The drain empties the spool into the store, and knows whether entries may still wait in it.

One node drains at a time, under a lease: it takes entries in order and hands them to the storage
actor in order; an entry is done when the store has committed it. A node that dies in between leaves
its entries to the next node, which asks the store for them again. The store knows a publish by its
content's id, and a change by the name that it was given, so neither is done twice. For the same
reason a node does no harm that was stopped while it drained, and goes on when others have done all.

*Waiting* means that new posts have to go behind entries in the spool. The node believes that from
any *sign* of an entry on (the store's return, an append, the word of another node) until a look
that began after the last sign has found the spool empty. Under load such a moment would never come,
so when few entries are left, posts are *held* for a moment at most, instead of being appended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog
import trio

from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref, Reply
from tocsin.actors.spool.entries import Spoolable, UnreadableEntry, decode, in_time
from tocsin.actors.spool.refusals import Refusing, letter_of_spooled
from tocsin.actors.spool.state import SpoolState
from tocsin.actors.storage.lines import Line
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.bus import BusUnavailable, Spool, SpoolEntry
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.commands import (
    Changed,
    KeyReused,
    NotActive,
    NotFound,
    PatchRefused,
    Replayed,
)
from tocsin.persistence.store.ingest_commands import BuryMessages
from tocsin.persistence.store.results import Result

logger = structlog.get_logger(__name__)

TAKE_MAX: Final = 256
"""Entries in one transaction: enough for its price to vanish."""
LEASE: Final = 10.0
"""Seconds for which one node has the spool: for so long a node that dies keeps others from it."""
_INTERVAL: Final = 1.0
"""Seconds between two looks at a spool that is empty, or at one that cannot be used."""
_PAUSE: Final = 0.1
"""Seconds between two looks while another node drains."""
_LANE: Final = "spool"


class Drain:
    """Empties *spool*, and keeps *state*; see the module.

    *changed* is called when posts need not go behind the spool any longer, or not be held;
    *time_known* with each change that was stored and its command, either of which may have a time.
    """

    def __init__(
        self,
        state: SpoolState,
        spool: Spool,
        storage: Ref[StorageMessage],
        status: StoreStatus,
        world: World,
        node: str,
        *,
        changed: Callable[[], None],
        time_known: Callable[[Changed, Spoolable], None],
    ) -> None:
        self._state = state
        self._spool = spool
        self._storage = storage
        self._status = status
        self._world = world
        self._node = node
        self._changed = changed
        self._time_known = time_known

    async def run(self) -> None:
        """Look and drain until cancelled. The next drain takes unfinished entries again."""
        while True:
            try:
                pause = await self._look()
            except BusUnavailable:
                self._state.lost()
                self._changed()
                pause = _INTERVAL
            except ActorError:
                pause = _INTERVAL
            if pause:
                await self._state.bell.wait(trio.current_time() + pause)

    async def _look(self) -> float:
        """Drain one batch if there is one; returns in how many seconds to look again.

        Raises `BusUnavailable` or an `ActorError`; then the entries are taken again.
        """
        signs, quiet = self._state.signs, not self._state.appending_now
        self._state.size = await self._spool.size()
        self._state.reachable = True
        if not self._status.available:
            return _INTERVAL
        if self._state.size == 0:
            if not quiet or signs != self._state.signs:
                return _PAUSE
            self._state.waiting = False
            self._state.settled.clear()
            self._changed()
            return _INTERVAL
        self._state.waiting = True
        if self._state.size < TAKE_MAX:
            self._state.hold()
        ends = trio.current_time() + LEASE
        entries = await self._spool.take(self._node, TAKE_MAX, LEASE)
        if not entries or trio.current_time() > ends:
            # A node that was stopped for longer than the lease must not repeat what other nodes
            # have done since.
            return _PAUSE
        return 0.0 if await self._drain(entries) else _PAUSE

    async def _drain(self, entries: Sequence[SpoolEntry]) -> bool:
        """Have *entries* committed, in their order; returns whether the store took them all."""
        asked: list[tuple[SpoolEntry, Spoolable, Reply[Result]]] = []
        # One lane for all producers, so entries are stored in the order in which they came; and one
        # line, so that none is stored before one that has to be taken again.
        line = Line(_LANE)
        for entry in entries:
            command = None if entry.id in self._state.settled else self._read(entry)
            if command is not None:
                reply: Reply[Result] = line.reply(command)
                await self._storage.send(Write(command=command, reply=reply, line=line))
                asked.append((entry, command, reply))
        whole = True
        for entry, command, reply in asked:
            try:
                self._state.settled[entry.id] = self._done(entry, command, await reply.wait())
            except StoreFailed as error:
                self._state.settled[entry.id] = str(error)
                self._refuse(entry, command, error)
            except (StoreUnavailable, ActorError):
                whole = False
        if not await self._answered():
            return False
        await self._forget(entries)
        return whole

    def _read(self, entry: SpoolEntry) -> Spoolable | None:
        if entry.fault:
            self._state.settled[entry.id] = f"not of this cluster: {entry.fault}"
            return None
        try:
            command = decode(entry.payload)
        except UnreadableEntry as error:
            self._state.settled[entry.id] = f"unreadable: {error}"
            return None
        timely = in_time(command, self._world.now_ms())
        self._state.statistics.expired += timely is not command
        return timely

    def _done(self, entry: SpoolEntry, command: Spoolable, result: Result) -> str | None:
        """Note what the store has done of *entry*; returns why that is poison, if it is.

        A change may come after the end of its notification, which is no fault. But a post that was
        accepted must not end in silence.
        """
        self._state.statistics.drained += 1
        match result:
            case Changed():
                self._time_known(result, command)
            case Replayed():
                self._state.statistics.repeated += 1
            case KeyReused():
                self._refuse(entry, command, result)
                return "idempotency_key_reused"
            case NotFound() | NotActive() | PatchRefused():
                self._refuse(entry, command, result)
                self._state.statistics.moot += 1
                logger.info("spooled change dropped", reason=type(result).__name__)
            case _:
                raise AssertionError(result)
        return None

    def _refuse(self, entry: SpoolEntry, command: Spoolable, said: Refusing) -> None:
        letter = letter_of_spooled(command, said, self._world.now_ms())
        if letter is not None:
            self._state.letters[entry.id] = letter

    async def _answered(self) -> bool:
        """Whether the messages of brokers that the store has refused are answered, if there are
        any; if not, their entries are not forgotten yet."""
        letters = dict(self._state.letters)
        if letters:
            command = BuryMessages(tuple(letters.values()), moved=True)
            try:
                await self._storage.ask(Write(command=command))
            except (StoreUnavailable, ActorError):
                return False
            except StoreFailed as error:
                # The entries of others must not wait for ever.
                logger.error("refusals not answered", count=len(letters), reason=str(error))
            for id_ in letters:
                del self._state.letters[id_]
        return True

    async def _forget(self, entries: Sequence[SpoolEntry]) -> None:
        """Have the spool forget the settled ones of *entries*, or set aside the poison among them.

        Raises `BusUnavailable` if the spool is away; then the state remembers them.
        """
        stored, poison = [], []
        for entry in entries:
            if entry.id in self._state.settled:
                reason = self._state.settled[entry.id]
                if reason is None:
                    stored.append(entry.id)
                else:
                    poison.append((entry, reason))
        if poison:
            await self._spool.poison(self._node, poison)
            self._tell_of(poison)
        if stored:
            await self._spool.done(self._node, stored)
        for id_ in (*stored, *(entry.id for entry, _ in poison)):
            del self._state.settled[id_]

    def _tell_of(self, poison: Sequence[tuple[SpoolEntry, str]]) -> None:
        self._state.statistics.poisoned += len(poison)
        for entry, reason in poison:
            # Of entries that are not this cluster's there may be any number; the adapter counts
            # them.
            if not entry.fault:
                logger.error("spooled entry set aside", entry=entry.id, reason=reason)
