"""Who is connected: kept for this node, and as leases where all nodes can see it.

A lease ends by itself, so a node that dies takes nobody's word with it: what it held is gone after
`lease` seconds. A living node renews all its leases every third of that. Arriving and leaving are
gathered for a moment and told together, as devices come in crowds; a service that is away is tried
again, and until then the leases of before run out.

What this node knows of itself needs no lease: an answer always says who is connected here now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Final

import trio

from tocsin.actors.runtime import Actor, Context
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.world import World
from tocsin.persistence.bus import BusUnavailable, Connected, Lease, Presence, latest

LEASE: Final = 30.0
"""Seconds for which a node's word is good without being repeated."""
_LINGER: Final = 0.05
"""Seconds in which arrivals and departures are gathered."""
_RETRY_DELAY: Final = 1.0
_CHUNK: Final = 1000
"""Leases in one message."""
_FAREWELL: Final = 1.0
"""Seconds in which a node that stops takes back what it said."""


class PresenceUnavailable(Exception):
    """The other nodes' leases cannot be read now."""


class Attendance:
    """Who is connected to this node; all there is to know where it is the only one."""

    def __init__(self, node: str, world: World) -> None:
        self._node = node
        self._world = world
        self._users: dict[str, dict[str, Lease]] = {}
        """Each user's connections, and the leases for them."""

    def arrived(self, user: str, device: str, connection: str) -> None:
        """*device* of *user* is on *connection*, since now."""
        lease = Lease(user, device, self._node, self._world.now_ms())
        self._users.setdefault(user, {})[connection] = lease
        self._changed(lease)

    def left(self, user: str, connection: str) -> None:
        """Whoever was on *connection* is not any more; again is no harm."""
        connections = self._users.get(user, {})
        lease = connections.pop(connection, None)
        if lease is not None:
            if not connections:
                del self._users[user]
            self._changed(lease)

    async def of(self, user: str) -> tuple[Connected, ...]:
        """The connected devices of *user*, by device and node. Raises `PresenceUnavailable`."""
        return latest(self._here(user))

    def snapshot(self) -> dict[str, tuple[Connected, ...]]:
        """The devices connected to this node, by user; a user without devices has no entry."""
        return {user: latest(self._here(user)) for user in self._users}

    def __len__(self) -> int:
        """How many connections have somebody on them."""
        return sum(map(len, self._users.values()))

    def _here(self, user: str) -> Iterator[Connected]:
        for lease in self._users.get(user, {}).values():
            yield Connected(lease.device, lease.node, lease.since)

    def _is_current(self, lease: Lease) -> bool:
        return lease in self._users.get(lease.user, {}).values()

    def _all(self) -> Iterator[Lease]:
        for connections in self._users.values():
            yield from connections.values()

    def _changed(self, lease: Lease) -> None:
        """*lease* has begun, or is over."""


class PresenceActor(Attendance, Actor[Any]):
    """Tells *presence* who is connected here; *lease* in seconds. See the module."""

    def __init__(
        self, presence: Presence, node: str, world: World, *, lease: float = LEASE
    ) -> None:
        super().__init__(node, world)
        self._presence = presence
        self._lease = lease
        self._news: dict[Lease, None] = {}
        self._bell = Bell()
        self._renew_at = 0.0
        self.failures = 0

    async def run(self, context: Context[Any]) -> None:
        """Hold the leases until stopped, then release them."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep, name=f"{context.ref.path}/keeper")
            await super().run(context)
            nursery.cancel_scope.cancel()
        with trio.move_on_after(_FAREWELL):
            await self._attempt(self._release([*self._all(), *self._news]))

    async def of(self, user: str) -> tuple[Connected, ...]:
        """As `Attendance.of`, of all nodes."""
        try:
            told = await self._presence.of(user)
        except BusUnavailable as error:
            raise PresenceUnavailable from error
        elsewhere = [each for each in told if each.node != self._node]
        return latest([*elsewhere, *self._here(user)])

    def _changed(self, lease: Lease) -> None:
        self._news[lease] = None
        self._bell.ring()

    async def _keep(self) -> None:
        while True:
            if not self._news:
                await self._bell.wait(self._renew_at)
                if self._news:
                    await trio.sleep(_LINGER)
            if not await self._attempt(self._tell()):
                await trio.sleep(_RETRY_DELAY)

    async def _tell(self) -> None:
        """Say what is new, and everything again when it is time."""
        news, self._news = self._news, {}
        now = trio.current_time()
        try:
            if now >= self._renew_at:
                await self._hold(list(self._all()))
                self._renew_at = now + self._lease / 3
            else:
                await self._hold([each for each in news if self._is_current(each)])
            await self._release([each for each in news if not self._is_current(each)])
        except BaseException:
            # Also where a stop comes in between: what was not told yet is taken back then.
            self._news = news | self._news
            raise

    async def _hold(self, leases: Sequence[Lease]) -> None:
        for chunk in _chunks(leases):
            await self._presence.hold(chunk, self._lease)

    async def _release(self, leases: Sequence[Lease]) -> None:
        for chunk in _chunks(leases):
            await self._presence.release(chunk)

    async def _attempt(self, work: Awaitable[None]) -> bool:
        """Do *work*; whether it could be done now."""
        try:
            await work
        except BusUnavailable:
            self.failures += 1
            return False
        return True


def _chunks(leases: Sequence[Lease]) -> Iterator[Sequence[Lease]]:
    for start in range(0, len(leases), _CHUNK):
        yield leases[start : start + _CHUNK]
