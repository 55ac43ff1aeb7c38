"""The topics: brings what is published to them into the logs of those who are online here.

Publishing to a topic appends one entry to the topic's own log, whatever the number of subscribers.
That entry becomes part of a user's log when somebody looks: for a user who is away, at their next
arrival or read; for those who are online, now, by this actor. It asks the store in chunks, one at a
time, so that a topic with everybody in it does not hold up a publish to one. What the store has
brought is announced like every other change (`announcer`).

Who is online and in which topics is kept here as an index. It may name too many, never too few: it
is told in the order of commits who has arrived and who has subscribed, so a publish that is
committed after that finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

import structlog
import trio

from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.runtime import Actor, ActorError, Context, Ref
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


class Topics(Actor[Any]):
    """*online* gives the names of all who are online on this node; see the module."""

    def __init__(
        self, storage: Ref[StorageMessage], world: World, online: Callable[[], list[str]]
    ) -> None:
        self._storage = storage
        self._world = world
        self._online = online
        self.neighbours: Neighbours = ALONE
        """Told of the topics that somebody here is in; set by the node."""
        # Dictionaries for their order, which is the same in every run.
        self._users: dict[str, dict[str, None]] = {}
        self._topics: dict[str, dict[str, None]] = {}
        self._behind: dict[str, None] = {}
        self._far: dict[str, None] = {}
        """Who got something, and has more to get."""
        self._bell = Bell()

    async def run(self, context: Context[Any]) -> None:
        """Bring up to date whoever is behind, until stopped."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._bring_all, name=f"{context.ref.path}/worker")
            await super().run(context)
            nursery.cancel_scope.cancel()

    # --- The index -------------------------------------------------------------------------------

    def present(self, user: str, topics: Iterable[str]) -> None:
        """*user* has arrived, and is in *topics* (without that of everyone)."""
        known = self._topics.setdefault(user, {})
        for topic in topics:
            known[topic] = None
            users = self._users.get(topic)
            if users is None:
                users = self._users[topic] = {}
                self.neighbours.watch_topic(topic)
            users[user] = None

    def absent(self, user: str) -> None:
        """*user* has left."""
        for topic in self._topics.pop(user, ()):
            users = self._users[topic]
            users.pop(user, None)
            if not users:
                del self._users[topic]
                self.neighbours.leave_topic(topic)

    def subscribed(self, topic: str, users: Iterable[str]) -> None:
        """*users* have joined *topic*; those who are not online do not matter."""
        for user in users:
            if user in self._topics:
                self.present(user, (topic,))

    def users_of(self, topic: str) -> list[str]:
        """Who is online here and in *topic*."""
        return self._online() if topic == EVERYONE else list(self._users.get(topic, ()))

    # --- What is new -----------------------------------------------------------------------------

    def advanced(self, topic: str) -> None:
        """*topic* has a new entry."""
        self._behind.update(dict.fromkeys(self.users_of(topic)))
        self._bell.ring()

    def behind(self, user: str) -> None:
        """*user*'s topics hold more than was brought."""
        self._far[user] = None
        self._bell.ring()

    def store_changed(self, available: bool) -> None:
        """The store was lost, or is back: what was being published then was never announced."""
        if available:
            self._behind.update(dict.fromkeys(self._online()))
            self._bell.ring()

    # --- Inside ----------------------------------------------------------------------------------

    async def _bring_all(self) -> None:
        while True:
            if not (self._behind or self._far):
                await self._bell.wait()
            # In turns: neither is to wait until there are no more of the others.
            await self._bring_some(self._behind, CHUNK)
            await self._bring_some(self._far, FEW)

    async def _bring_some(self, waiting: dict[str, None], most: int) -> None:
        """Bring the first *most* of those who are *waiting*; later, if that cannot be done now."""
        users = tuple(islice(waiting, most))
        if not users:
            return
        for user in users:
            del waiting[user]
        left = users
        try:
            left = await self._bring(users)
        finally:
            # Also where it fails: the next incarnation goes on with them.
            waiting.update(dict.fromkeys(left))
        if left:
            await self._bell.wait(trio.current_time() + _RETRY_DELAY)

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
        self._far.update(dict.fromkeys(result.behind))
        return ()
