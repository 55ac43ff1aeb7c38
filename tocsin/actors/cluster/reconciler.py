"""Compares what this node was told with what the store has, for the users who are online here.

What is said on the bus may be lost, and a node may die between its commit and its word. So the
heads of the logs are read now and then, and where one is further than was told, the user's actor is
told that. Heads, and not what has changed since some time: the clocks of nodes may differ by
minutes.
A thousand users cost one query, a few milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import trio

from tocsin.actors.delivery.users import Users
from tocsin.actors.health import BusStatistics
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.runtime import ActorError, Ref, WorkList
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.storage.requests import Read, StorageMessage
from tocsin.persistence.store import FindHead, Head, StoreFailed, StoreUnavailable

CHUNK: Final = 1000
"""Users in one query, which others' questions wait behind."""
HASTE: Final = 1.0
"""Seconds between looks at everybody while not all is heard."""
LEISURE: Final = 15.0
"""Seconds between looks at everybody while all seems well."""
_TIMEOUT: Final = 10.0
"""Seconds for one look: as many as one call to the store may take."""
_PAUSE: Final = 0.1
"""Seconds at least between the end of one look at everybody and the next."""


class Reconciler:
    """Looks at *doubtful* users at once. *hurried* says whether something may be going unheard now.

    *looked* is told when everybody has been looked at, and when that began (Trio time).
    """

    def __init__(
        self,
        doubtful: WorkList[str],
        storage: Ref[StorageMessage],
        users: Users,
        topics: Topics,
        statistics: BusStatistics,
        hurried: Callable[[], bool],
        looked: Callable[[float], None],
    ) -> None:
        self._storage = storage
        self._users = users
        self._topics = topics
        self._statistics = statistics
        self._hurried = hurried
        self._looked = looked
        self._doubtful = doubtful
        self._looked_at = -math.inf
        self._bell = Bell()

    def hasten(self) -> None:
        """Somebody is doubtful, or what `hurried` says has changed: look again."""
        self._bell.ring()

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            due = self._looked_at + (HASTE if self._hurried() else LEISURE)
            now = trio.current_time()
            if now >= due:
                await self._look_at_all(now)
            elif self._doubtful:
                await self._look()
            else:
                await self._bell.wait(due)

    async def _look_at_all(self, now: float) -> None:
        self._looked_at = now
        self._statistics.reconciliations += 1
        self._doubtful.add(self._users.names())
        if await self._look():
            self._looked(now)
        self._looked_at = max(now, trio.current_time() + _PAUSE - HASTE)

    async def _look(self) -> bool:
        """Look at whom there is doubt about; whether the store answered."""
        while self._doubtful:
            if not await self._look_at(self._doubtful.take(CHUNK)):
                # What was missed by then, everybody looks for when the store is back.
                self._doubtful.clear()
                return False
            self._doubtful.done()
        return True

    async def _look_at(self, users: Sequence[str]) -> bool:
        """Look at *users*; whether the store answered."""
        reads = [Read(query=FindHead(user)) for user in users]
        try:
            with trio.fail_after(_TIMEOUT):
                for read in reads:
                    await self._storage.send(read)
                for user, read in zip(users, reads, strict=True):
                    self._compare(user, await read.reply.wait())
        except (StoreUnavailable, StoreFailed, ActorError, trio.TooSlowError):
            return False
        return True

    def _compare(self, user: str, found: Head) -> None:
        told = self._users.head_of(user)
        # Who is only arriving is about to read the store.
        if told is not None and found.head > told:
            self._statistics.found += 1
            self._users.head_moved(user, found.head)
        if found.behind:
            self._topics.behind(user)
