"""The topics: brings what is published to them into the logs of those who are online here.

Publishing to a topic appends one entry to the topic's own log, whatever the number of subscribers.
That entry becomes part of a user's log when somebody looks: for a user who is away, at their next
arrival or read; for those who are online, now, by the `TopicsWorker`. It asks the store in chunks,
one at a time, so that a topic with everybody in it does not hold up a publish to one. What the
store has brought is announced like every other change (`announcer`).

Who is online and in which topics is kept here as an index. It may name too many, never too few: it
is told in the order of commits who has arrived and who has subscribed, so a publish that is
committed after that finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import structlog
import trio

from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.runtime import ActorError, Ref, TableWorker, Tasks, WorkList
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.storage.requests import StorageMessage, Write
from tocsin.actors.world import World
from tocsin.persistence.store import (
    Materialise,
    StoreBlocked,
    StoreFailed,
    StoreUnavailable,
)
from tocsin.protocol.notification import EVERYONE

logger = structlog.get_logger(__name__)

CHUNK: Final = 200
"""Users brought up to date in one transaction: enough for the price of a statement to vanish, few
enough that each may have several entries to get."""
FEW: Final = 5
"""Users in one if they are known to have much to get. What a transaction brings is shared by all of
them: among many each would get a little, and the store go through all of their topics for it."""
_RETRY_DELAY: Final = 1.0
"""Seconds before a store that failed is asked again; meanwhile the entries wait in their topics."""


class Topics:
    """The users online in each topic, and those to be brought up to date; see the module.

    *online* gives the names of all who are online on this node; *neighbours* are told of the
    topics that somebody here is in. The table outlives the `TopicsWorker`.
    """

    def __init__(self, online: Callable[[], list[str]], neighbours: Neighbours = ALONE) -> None:
        self._online = online
        self._neighbours = neighbours
        # Dictionaries for their order, which is the same in every run.
        self._users: dict[str, dict[str, None]] = {}
        self._topics: dict[str, dict[str, None]] = {}
        self.waiting: WorkList[str] = WorkList()
        """Users for whom there is something new."""
        self.far: WorkList[str] = WorkList()
        """Users who got something, and have more to get."""
        self.bell = Bell()
        """Rings when one of them is longer."""

    # --- The index -------------------------------------------------------------------------------

    def present(self, user: str, topics: Iterable[str]) -> None:
        """*user* has arrived, and is in *topics* (without that of everyone)."""
        known = self._topics.setdefault(user, {})
        for topic in topics:
            known[topic] = None
            users = self._users.get(topic)
            if users is None:
                users = self._users[topic] = {}
                self._neighbours.watch_topic(topic)
            users[user] = None

    def absent(self, user: str) -> None:
        """*user* has left."""
        for topic in self._topics.pop(user, ()):
            users = self._users[topic]
            users.pop(user, None)
            if not users:
                del self._users[topic]
                self._neighbours.leave_topic(topic)

    def subscribed(self, topic: str, users: Iterable[str]) -> None:
        """*users* have joined *topic*; those who are not online do not matter."""
        for user in users:
            if user in self._topics:
                self.present(user, (topic,))

    def users_of(self, topic: str) -> list[str]:
        """The users who are online here and in *topic*."""
        return self._online() if topic == EVERYONE else list(self._users.get(topic, ()))

    # --- What is new -----------------------------------------------------------------------------

    def advanced(self, topic: str) -> None:
        """*topic* has a new entry."""
        self.waiting.add(self.users_of(topic))
        self.bell.ring()

    def behind(self, user: str) -> None:
        """*user*'s topics hold more than was brought."""
        self.far.add((user,))
        self.bell.ring()

    def store_changed(self, available: bool) -> None:
        """The store was lost, or is back: what was being published then was never announced."""
        if available:
            self.waiting.add(self._online())
            self.bell.ring()


class TopicsWorker(TableWorker):
    """Brings the users whom *topics* names up to date."""

    def __init__(self, topics: Topics, storage: Ref[StorageMessage], world: World) -> None:
        self._topics = topics
        self._storage = storage
        self._world = world

    def tasks(self) -> Tasks:
        """One: a chunk of users after the other."""
        return (self._bring_all,)

    async def _bring_all(self) -> None:
        topics = self._topics
        while True:
            if not (topics.waiting or topics.far):
                await topics.bell.wait()
            # In turns: neither is to wait until there are no more of the others.
            await self._bring_some(topics.waiting, CHUNK)
            await self._bring_some(topics.far, FEW)

    async def _bring_some(self, waiting: WorkList[str], count_max: int) -> None:
        """Bring the first *count_max* of those *waiting*; later, if that cannot be done now."""
        users = waiting.take(count_max)
        if not users:
            return
        left = await self._bring(users)
        waiting.done(left)
        if left:
            await self._topics.bell.wait(trio.current_time() + _RETRY_DELAY)

    async def _bring(self, users: tuple[str, ...]) -> tuple[str, ...]:
        """Bring *users* up to date; with whom that could not be done now."""
        command = Materialise(users, self._world.now_ms())
        try:
            result = await self._storage.ask(Write(command=command))
        except (StoreFailed, StoreBlocked) as error:
            # A bug, logged where it was found; or somebody else's lock on one of them. It must not
            # keep the others from their news.
            if (half := len(users) // 2) > 0:
                return await self._bring(users[:half]) + await self._bring(users[half:])
            # After a bug their next arrival tries again; not we, for ever.
            return users if isinstance(error, StoreBlocked) else ()
        except (StoreUnavailable, ActorError):
            return users
        self._topics.far.add(result.behind)
        return ()
