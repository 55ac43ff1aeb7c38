"""The topics: new entries of topics are brought into the logs of the users who are online here.

Publishing to a topic appends one entry to the topic's own log, whatever the number of subscribers.
That entry becomes part of a user's log when the user is brought up to date. For a user who is away
that happens at the next arrival or read; users who are online are brought up to date at once, by
the `TopicsWorker`. It asks the store for one chunk of users after the other, so that a topic that
all users are in does not hold up a publish to a single one. The changes that the store has brought
are announced like all others (`announcer`).

This table has an index of the online users in each topic. The index may name too many users, but
never too few: it is told of arrivals and subscriptions in the order of commits, so a publish that
is committed after one of them finds the user. A subscription that was committed on another node and
not heard of here is found by this node's looks into the store (`actors.cluster.reconciler`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import structlog
import trio

from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.errors import ActorError
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.actors.runtime.worklist import WorkList
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.store import StoreBlocked, StoreFailed, StoreUnavailable
from tocsin.persistence.store.user_commands import Materialise
from tocsin.protocol.notifications.notification import EVERYONE

logger = structlog.get_logger(__name__)

CHUNK: Final = 200
"""Users brought up to date in one transaction: enough for the price of a statement to vanish, few
enough that each may have several entries to get."""
FEW: Final = 5
"""Users brought up to date in one transaction if they are known to have much to get. They share the
entries that it may bring: of many users each would get a few entries only, and for these the store
would go through all topics of each."""
_RETRY_DELAY: Final = 1.0
"""Seconds before a store that failed is asked again; meanwhile the entries wait in their topics."""


class Topics:
    """The users online in each topic, and the users to be brought up to date; see the module.

    *online* gives the names of all users online on this node; *neighbours* are told which topics
    have a user here. The table outlives the `TopicsWorker`.
    """

    def __init__(self, online: Callable[[], list[str]], neighbours: Neighbours = ALONE) -> None:
        self._online = online
        self._neighbours = neighbours
        # Dictionaries for their order, which is the same in every run.
        self._users: dict[str, dict[str, None]] = {}
        self._topics: dict[str, dict[str, None]] = {}
        self.waiting: WorkList[str] = WorkList()
        """Users in whose topics there is a new entry."""
        self.far: WorkList[str] = WorkList()
        """Users who got some entries, and have more to get."""
        self.bell = Bell()
        """Rings when a user was added to one of these lists."""

    # --- The index -------------------------------------------------------------------------------

    def present(self, user: str, topics: Iterable[str]) -> None:
        """Note that *user* has arrived, and is in *topics* (the topic of everyone left out)."""
        known = self._topics.setdefault(user, {})
        for topic in topics:
            known[topic] = None
            users = self._users.get(topic)
            if users is None:
                users = self._users[topic] = {}
                self._neighbours.watch_topic(topic)
            users[user] = None

    def absent(self, user: str) -> None:
        """Note that *user* has left."""
        for topic in self._topics.pop(user, ()):
            users = self._users[topic]
            users.pop(user, None)
            if not users:
                del self._users[topic]
                self._neighbours.leave_topic(topic)

    def subscribed(self, topic: str, users: Iterable[str]) -> None:
        """Note that *users* have joined *topic*; the index has only those who are online here."""
        for user in users:
            if user in self._topics:
                self.present(user, (topic,))

    def topics_of(self, user: str) -> int:
        """How many topics the index has *user* in (the topic of everyone left out)."""
        return len(self._topics.get(user, ()))

    def users_of(self, topic: str) -> list[str]:
        """The users who are online here and in *topic*."""
        return self._online() if topic == EVERYONE else list(self._users.get(topic, ()))

    # --- News ------------------------------------------------------------------------------------

    def advanced(self, topic: str) -> None:
        """Have the online users of *topic* brought up to date: it has a new entry."""
        self.waiting.add(self.users_of(topic))
        self.bell.ring()

    def behind(self, user: str) -> None:
        """Have *user* brought up to date again: the topics hold more entries than were brought."""
        self.far.add((user,))
        self.bell.ring()

    def store_changed(self, available: bool) -> None:
        """Have all online users brought up to date if the store is back.

        A publish that was under way when the store was lost may be committed, and yet it was never
        announced.
        """
        if available:
            self.waiting.add(self._online())
            self.bell.ring()


class TopicsWorker(TableWorker):
    """Brings the users on the lists of *topics* up to date."""

    def __init__(self, topics: Topics, storage: Ref[StorageMessage], world: World) -> None:
        self._topics = topics
        self._storage = storage
        self._world = world

    def tasks(self) -> Tasks:
        """One task: it brings one chunk of users after the other."""
        return (self._bring_all,)

    async def _bring_all(self) -> None:
        topics = self._topics
        while True:
            if not (topics.waiting or topics.far):
                await topics.bell.wait()
            # In turns: neither list is to wait until the other is empty.
            await self._bring_some(topics.waiting, CHUNK)
            await self._bring_some(topics.far, FEW)

    async def _bring_some(self, waiting: WorkList[str], count_max: int) -> None:
        """Bring the first *count_max* of the users *waiting* up to date.

        Returns after a pause if some have to be tried again.
        """
        users = waiting.take(count_max)
        if not users:
            return
        left = await self._bring(users)
        waiting.done(left)
        if left:
            await self._topics.bell.wait(trio.current_time() + _RETRY_DELAY)

    async def _bring(self, users: tuple[str, ...]) -> tuple[str, ...]:
        """Bring *users* up to date; returns the users with whom that has to be tried again."""
        command = Materialise(users, self._world.now_ms())
        try:
            result = await self._storage.ask(Write(command=command))
        except (StoreFailed, StoreBlocked) as error:
            # A bug, which the storage actor has logged, or a foreign lock on one of the users. It
            # must not keep the others from their news.
            if (half := len(users) // 2) > 0:
                return await self._bring(users[:half]) + await self._bring(users[half:])
            # After a bug the user's next arrival tries again; the worker would try for ever.
            return users if isinstance(error, StoreBlocked) else ()
        except (StoreUnavailable, ActorError):
            return users
        self._topics.far.add(result.behind)
        return ()
