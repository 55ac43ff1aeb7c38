"""The reconciler compares the heads that this node was told with those in the store.

Envelopes may be lost on the bus, and a node may die between its commit and its envelope. So the
heads of users' logs are read now and then, and if a head is further than this node was told, the
user's actor is told of it. Heads are compared, and not the times of changes, because the clocks of
nodes may differ by minutes. Where the heads are equal, the counters are compared, which an expiry
changes alone. Which users to look at is told by the footprints of what was written (`trail`), so
that users who are quiet cost nothing; a thousand users cost one query, a few milliseconds.

A subscription may go unheard likewise. Then the index of topics lacks the user, and each later
notification of that topic would wait for a look. So the store also counts the user's topics: if the
index has fewer, or a topic has gone on without the user, the topics are read into the index anew.

A footprint is read once or twice. So a user with whom something was found stays *unsettled*, and is
looked at again in each look, until all is as the store has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import trio

from tocsin.actors.cluster.trail import Trail, TrailPlace
from tocsin.actors.cluster.trail_upkeep import TrailUpkeep
from tocsin.actors.delivery.users import Users
from tocsin.actors.health import BusStatistics
from tocsin.actors.publishing.topics import Topics
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.worklist import WorkList
from tocsin.actors.storage.requests import Read, StorageMessage, Write
from tocsin.persistence.store import StoreFailed, StoreUnavailable
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.footprints import FootprintPage, ReadFootprints
from tocsin.persistence.store.queries import FindHead, Head, ListSubscriptions

A = TypeVar("A")

CHUNK: Final = 1000
"""Users in one query, behind which other queries wait."""
HASTE: Final = 1.0
"""Seconds between looks while changes may go unheard."""
LEISURE: Final = 15.0
"""Seconds between looks while all seems well."""
THOROUGH: Final = 900.0
"""Seconds between looks at all users, which find what no footprint tells, if there is such a thing:
for ten thousand users 0.02 % of a core."""
_TIMEOUT: Final = 10.0
"""Seconds for one look: as many as one call to the store may take."""
_PAUSE: Final = 0.1
"""Seconds at least between the end of one look and the next."""
_FAULTS: Final = (StoreUnavailable, StoreFailed, ActorError, trio.TooSlowError)


class Reconciler:
    """Looks at *doubtful* users at once, and for changes now and then; see the module.

    *hurried* says whether changes may be going unheard now. *looked* is called when all changes
    have been looked for, with the time (Trio's) when that began. *entropy* gives random bytes.
    """

    def __init__(
        self,
        doubtful: WorkList[str],
        storage: Ref[StorageMessage],
        users: Users,
        topics: Topics,
        statistics: BusStatistics,
        entropy: Callable[[int], bytes],
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
        # A dictionary for its order, which is the same in every run.
        self._unsettled: dict[str, None] = {}
        self._looked_at = self._thorough_at = -math.inf
        self._bell = Bell()
        self._trail = Trail(self._read_footprints, users, topics, statistics)
        self._upkeep = TrailUpkeep(self._write, entropy)

    def hasten(self) -> None:
        """Look soon: a user is doubtful, or the answer of *hurried* has changed."""
        self._bell.ring()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            due = self._looked_at + (HASTE if self._hurried() else LEISURE)
            now = trio.current_time()
            if now >= due:
                await self._look_around(now)
            elif self._doubtful:
                await self._look()
            else:
                await self._bell.wait(due)

    # --- Looking for changes ----------------------------------------------------------------------

    async def _look_around(self, now: float) -> None:
        self._looked_at = now
        self._statistics.reconciliations += 1
        if await self._find_changes(now):
            self._looked(now)
        self._looked_at = max(now, trio.current_time() + _PAUSE - HASTE)

    async def _find_changes(self, now: float) -> bool:
        """Look at the users whom changes concern; returns whether the store answered."""
        users: list[str] | None = None
        place: TrailPlace | None = None
        try:
            with trio.fail_after(_TIMEOUT):
                users, place = await self._trail.follow()
        except StoreFailed:
            # A bug, which the storage actor has logged: then there is nothing to go by.
            pass
        except _FAULTS:
            return False
        if now >= self._thorough_at + THOROUGH:
            users = None
        unsettled = [user for user in self._unsettled if self._users.find(user) is not None]
        self._unsettled.clear()
        self._doubtful.add(unsettled)
        self._doubtful.add(self._users.names() if users is None else users)
        if not await self._look():
            return False
        if users is None:
            self._thorough_at = now
        if place is not None:
            # Not before: after a look that failed, the next one has to find the same users.
            self._trail.move(place)
            await self._keep(place)
        return True

    async def _keep(self, place: TrailPlace) -> None:
        try:
            with trio.fail_after(_TIMEOUT):
                await self._upkeep.keep(place)
        except _FAULTS:
            return

    async def _read_footprints(self, query: ReadFootprints) -> FootprintPage:
        return await self._storage.ask(Read(query=query))

    async def _write(self, command: Command[Any]) -> Any:
        return await self._storage.ask(Write(command=command))

    # --- Looking at users -------------------------------------------------------------------------

    async def _look(self) -> bool:
        """Look at the doubtful users; returns whether the store answered."""
        while self._doubtful:
            users = self._doubtful.take(CHUNK)
            if not await self._look_at(users):
                self._unsettled.update(dict.fromkeys(self._doubtful))
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
        except _FAULTS:
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
        # A user without a head here is just arriving, and may have read the store before.
        is_settled = told is not None
        if told is not None and found.head > told:
            self._statistics.found += 1
            self._users.head_moved(user, found.head)
            is_settled = False
        elif found.head == told:
            # An expiry changes the counters without an entry, so the head does not tell of it.
            is_settled = self._users.compare(user, found.counters)
        if found.behind:
            self._topics.behind(user)
        is_lacking = found.behind or found.topics > self._topics.topics_of(user)
        if is_lacking or not is_settled:
            self._unsettled[user] = None
        return is_lacking

    def _index(self, user: str, topics: Sequence[str]) -> None:
        """Note that *user* is in *topics*; entries of which no news came here are brought."""
        # A user who has left in the meantime would stay in the index for ever.
        if self._users.find(user) is not None:
            known = self._topics.topics_of(user)
            self._topics.present(user, topics)
            if self._topics.topics_of(user) > known:
                self._topics.behind(user)
