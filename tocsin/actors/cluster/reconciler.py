"""The reconciler compares the heads that this node was told with those in the store.

Envelopes may be lost on the bus, and a node may die between its commit and its envelope. So the
heads of the online users' logs are read now and then, and if a head is further than this node was
told, the user's actor is told of it. Heads are compared, and not the times of changes, because the
clocks of nodes may differ by minutes. Where the heads are equal, the counters are compared, which
an expiry changes alone. A thousand users cost one query, a few milliseconds.

A subscription may go unheard likewise. Then the index of topics lacks the user, and each later
notification of that topic would wait for a look. So the store also counts the user's topics: if the
index has fewer, or a topic has gone on without the user, the topics are read into the index anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import trio

from tocsin.actors.delivery.users import Users
from tocsin.actors.health import BusStatistics
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.worklist import WorkList
from tocsin.actors.storage.requests import Read, StorageMessage
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.queries import FindHead, Head, ListSubscriptions

A = TypeVar("A")

CHUNK: Final = 1000
"""Users in one query, behind which other queries wait."""
HASTE: Final = 1.0
"""Seconds between looks at all users while changes may go unheard."""
LEISURE: Final = 15.0
"""Seconds between looks at all users while all seems well."""
_TIMEOUT: Final = 10.0
"""Seconds for one look: as many as one call to the store may take."""
_PAUSE: Final = 0.1
"""Seconds at least between the end of one look at all users and the next."""


class Reconciler:
    """Looks at *doubtful* users at once, and at all users now and then; see the module.

    *hurried* says whether changes may be going unheard now. *looked* is called when all users have
    been looked at, with the time (Trio's) when that began.
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
        """Look soon: a user is doubtful, or the answer of *hurried* has changed."""
        self._bell.ring()

    async def run(self) -> None:
        """Look until cancelled."""
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
        """Look at the doubtful users; returns whether the store answered."""
        while self._doubtful:
            if not await self._look_at(self._doubtful.take(CHUNK)):
                # When the store is back, all sessions read what they may have missed by then.
                self._doubtful.clear()
                return False
            self._doubtful.done()
        return True

    async def _look_at(self, users: Sequence[str]) -> bool:
        """Look at *users*; returns whether the store answered."""
        try:
            with trio.fail_after(_TIMEOUT):
                heads = await self._ask([Read(query=FindHead(user)) for user in users])
                looked = zip(users, heads, strict=True)
                lacking = [user for user, head in looked if self._compare(user, head)]
                reads = [Read(query=ListSubscriptions(user, left_too=True)) for user in lacking]
                for user, found in zip(lacking, await self._ask(reads), strict=True):
                    self._index(user, found.topics)
        except (StoreUnavailable, StoreFailed, ActorError, trio.TooSlowError):
            return False
        return True

    async def _ask(self, reads: Sequence[Read[A]]) -> list[A]:
        """The answers to *reads*, which share a few queries."""
        for read in reads:
            await self._storage.send(read)
        return [await read.reply.wait() for read in reads]

    def _compare(self, user: str, found: Head) -> bool:
        """Tell the actor of *user* of a head that is further.

        Returns whether the index may lack one of the user's topics.
        """
        told = self._users.head_of(user)
        # A user without a head here is just arriving, and about to read the store.
        if told is not None and found.head > told:
            self._statistics.found += 1
            self._users.head_moved(user, found.head)
        elif found.head == told:
            # An expiry changes the counters without an entry, so the head does not tell of it.
            self._users.compare(user, found.counters)
        if found.behind:
            self._topics.behind(user)
        return found.behind or found.topics > self._topics.topics_of(user)

    def _index(self, user: str, topics: Sequence[str]) -> None:
        """Note that *user* is in *topics*; entries of which no news came here are brought."""
        # A user who has left in the meantime would stay in the index for ever.
        if self._users.find(user) is not None:
            known = self._topics.topics_of(user)
            self._topics.present(user, topics)
            if self._topics.topics_of(user) > known:
                self._topics.behind(user)
