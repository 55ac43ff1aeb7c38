"""Connected devices: kept for this node, and as leases where all nodes can see them.

A lease ends by itself, so a node that dies takes nobody's word with it: what it held is gone after
`lease` seconds. A living node renews all its leases every third of that. Arriving and leaving are
gathered for a moment and told together, as devices come in crowds; a service that is away is tried
again, and until then the leases of before run out.

What this node knows of itself needs no lease: an answer always says who is connected here now.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Iterator, Sequence
from typing import Final, Never

import trio

from tocsin.actors.runtime import Context, TableWorker, Tasks, WorkList
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.world import World
from tocsin.persistence.bus import BusUnavailable, Connected, Lease, Presence, latest
from tocsin.protocol.errors import DescribedError

LEASE: Final = 30.0
"""Seconds for which a node's word is good without being repeated."""
_LINGER: Final = 0.05
"""Seconds in which arrivals and departures are gathered."""
_RETRY_DELAY: Final = 1.0
"""Seconds before a store of leases that failed is tried again: short beside a lease's life."""
_CHUNK: Final = 1000
"""Leases in one message."""
_FAREWELL: Final = 1.0
"""Seconds in which a node that stops takes back what it said."""


class PresenceUnavailable(DescribedError):
    """The other nodes' leases cannot be read now."""


class Attendance:
    """The devices connected to this node; all there is to know where it is the only one."""

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
        """The device on *connection*, if there is one, has left; again is no harm."""
        connections = self._users.get(user, {})
        lease = connections.pop(connection, None)
        if lease is not None:
            if not connections:
                del self._users[user]
            self._changed(lease)

    async def of(self, user: str) -> tuple[Connected, ...]:
        """The connected devices of *user*, by device and node. Raises `PresenceUnavailable`."""
        return latest(self._here(user))

    def is_here(self, user: str) -> bool:
        """Whether a device of *user* is connected to this node."""
        return user in self._users

    def __len__(self) -> int:
        """How many connections have somebody on them."""
        return sum(map(len, self._users.values()))

    def _here(self, user: str) -> Iterator[Connected]:
        for lease in self._users.get(user, {}).values():
            yield Connected(lease.device, lease.node, lease.since)

    def is_current(self, lease: Lease) -> bool:
        """Whether *lease* has not ended."""
        return lease in self._users.get(lease.user, {}).values()

    def leases(self) -> Iterator[Lease]:
        """The leases for all connections with a device on them."""
        for connections in self._users.values():
            yield from connections.values()

    def _changed(self, lease: Lease) -> None:
        """*lease* has begun, or is over."""


class SharedAttendance(Attendance):
    """As one node of a cluster has it: *presence* knows of the other nodes.

    `news` are the leases of which the other nodes have not been told that they have begun, or are
    over.
    """

    def __init__(self, node: str, world: World, presence: Presence) -> None:
        super().__init__(node, world)
        self._presence = presence
        self.news: WorkList[Lease] = WorkList()
        self.bell = Bell()
        """Rings when there are news."""
        self.failures = 0
        """Times that the other nodes could not be told."""

    async def of(self, user: str) -> tuple[Connected, ...]:
        """As `Attendance.of`, of all nodes."""
        try:
            told = await self._presence.of(user)
        except BusUnavailable as error:
            raise PresenceUnavailable from error
        elsewhere = [each for each in told if each.node != self._node]
        return latest([*elsewhere, *self._here(user)])

    def _changed(self, lease: Lease) -> None:
        self.news.add((lease,))
        self.bell.ring()


class PresenceActor(TableWorker):
    """Holds leases of *lease* seconds at *presence* for all in *attendance*; see the module."""

    def __init__(
        self, attendance: SharedAttendance, presence: Presence, *, lease: float = LEASE
    ) -> None:
        self._attendance = attendance
        self._presence = presence
        self._lease = lease
        # A new incarnation does not know how old the leases of the one before are.
        self._renew_at = -math.inf

    async def run(self, context: Context[Never]) -> None:
        """Hold the leases until stopped, then release them."""
        await super().run(context)
        with trio.move_on_after(_FAREWELL):
            await self._attempt(self._release([*self._attendance.leases(), *self._attendance.news]))

    def tasks(self) -> Tasks:
        """One that keeps the leases."""
        return (self._keep,)

    async def _keep(self) -> None:
        attendance = self._attendance
        while True:
            if not attendance.news:
                await attendance.bell.wait(self._renew_at)
                if attendance.news:
                    await trio.sleep(_LINGER)
            if not await self._attempt(self._tell()):
                await trio.sleep(_RETRY_DELAY)

    async def _tell(self) -> None:
        """Say what is new, and everything again when it is time."""
        attendance, now = self._attendance, trio.current_time()
        # On the list until it was said: a failure, or a stop, may come in between.
        news = attendance.news.take()
        if now >= self._renew_at:
            await self._hold(list(attendance.leases()))
            self._renew_at = now + self._lease / 3
        else:
            await self._hold([each for each in news if attendance.is_current(each)])
        await self._release([each for each in news if not attendance.is_current(each)])
        attendance.news.done()

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
            self._attendance.failures += 1
            return False
        return True


def _chunks(leases: Sequence[Lease]) -> Iterator[Sequence[Lease]]:
    for start in range(0, len(leases), _CHUNK):
        yield leases[start : start + _CHUNK]
