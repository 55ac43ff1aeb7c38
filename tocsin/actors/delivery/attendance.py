"""Connected devices: in a table for this node, and as leases in Redis for all nodes.

A lease ends by itself, so a node that dies need not take back what it said: its leases are gone
after `lease` seconds. A living node renews all its leases every third of that time. Arrivals and
departures are gathered for a moment and told together, because devices come in crowds. If Redis is
away, the node tries again, and the old leases run out meanwhile.

A node needs no lease to know of its own devices, so every answer says exactly which devices are
connected to the node that gives it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Iterator, Sequence
from typing import Final, Never

import trio

from tocsin.actors.runtime.bell import Bell
from tocsin.actors.runtime.supervisor import Context
from tocsin.actors.runtime.worker import TableWorker, Tasks
from tocsin.actors.runtime.worklist import WorkList
from tocsin.actors.world import World
from tocsin.persistence.bus import BusUnavailable, Connected, Lease, Presence, latest
from tocsin.protocol.errors import DescribedError

LEASE: Final = 30.0
"""Seconds for which a lease is valid unless the node renews it."""
_LINGER: Final = 0.05
"""Seconds in which arrivals and departures are gathered."""
_RETRY_DELAY: Final = 1.0
"""Seconds before a store of leases that failed is tried again: short beside a lease's life."""
_CHUNK: Final = 1000
"""Leases in one message."""
_FAREWELL: Final = 1.0
"""Seconds that a node that stops has to release its leases."""


class PresenceUnavailable(DescribedError):
    """The other nodes' leases cannot be read now."""


class Attendance:
    """The devices connected to this node, which are all devices if it is the only node."""

    def __init__(self, node: str, world: World) -> None:
        self._node = node
        self._world = world
        self._users: dict[str, dict[str, Lease]] = {}
        """User -> connection -> the lease of the device on it."""

    def arrived(self, user: str, device: str, connection: str) -> None:
        """Note that *device* of *user* is on *connection* from now on."""
        lease = Lease(user, device, self._node, self._world.now_ms())
        self._users.setdefault(user, {})[connection] = lease
        self._changed(lease)

    def left(self, user: str, connection: str) -> None:
        """Note that the device on *connection* has left; no effect if none is there."""
        connections = self._users.get(user, {})
        lease = connections.pop(connection, None)
        if lease is not None:
            if not connections:
                del self._users[user]
            self._changed(lease)

    async def devices_of(self, user: str) -> tuple[Connected, ...]:
        """The connected devices of *user*, by device and node.

        Raises `PresenceUnavailable` if the other nodes' leases cannot be read. Cancelling does no
        harm.
        """
        return latest(self._here(user))

    def is_here(self, user: str) -> bool:
        """Whether a device of *user* is connected to this node."""
        return user in self._users

    def __len__(self) -> int:
        """How many connections have a device on them."""
        return sum(map(len, self._users.values()))

    def _here(self, user: str) -> Iterator[Connected]:
        for lease in self._users.get(user, {}).values():
            yield Connected(lease.device, lease.node, lease.since)

    def is_current(self, lease: Lease) -> bool:
        """Whether the device of *lease* is still connected under it."""
        return lease in self._users.get(lease.user, {}).values()

    def leases(self) -> Iterator[Lease]:
        """The leases for all connections with a device on them."""
        for connections in self._users.values():
            yield from connections.values()

    def _changed(self, lease: Lease) -> None:
        """Called when *lease* has begun, or is over."""


class SharedAttendance(Attendance):
    """The attendance of a node in a cluster: *presence* knows the devices on the other nodes.

    `news` are leases that have begun or are over, and the other nodes have not been told so.
    """

    def __init__(self, node: str, world: World, presence: Presence) -> None:
        super().__init__(node, world)
        self._presence = presence
        self.news: WorkList[Lease] = WorkList()
        self.bell = Bell()
        """Rings when there are news."""
        self.failures = 0
        """How often the other nodes could not be told."""

    async def devices_of(self, user: str) -> tuple[Connected, ...]:
        """As `Attendance.of`, with the devices on all nodes.

        Raises `PresenceUnavailable`. Cancelling does no harm.
        """
        try:
            told = await self._presence.devices_of(user)
        except BusUnavailable as error:
            raise PresenceUnavailable from error
        elsewhere = [each for each in told if each.node != self._node]
        return latest([*elsewhere, *self._here(user)])

    def _changed(self, lease: Lease) -> None:
        self.news.add((lease,))
        self.bell.ring()


class PresenceActor(TableWorker):
    """Holds a lease of *lease* seconds in *presence* for each connection in *attendance*."""

    def __init__(
        self, attendance: SharedAttendance, presence: Presence, *, lease: float = LEASE
    ) -> None:
        self._attendance = attendance
        self._presence = presence
        self._lease = lease
        # A new incarnation does not know how old the leases of the one before are.
        self._renew_at = -math.inf

    async def run(self, context: Context[Never]) -> None:
        """Hold the leases until stopped, then release them. If cancelled, they run out."""
        await super().run(context)
        with trio.move_on_after(_FAREWELL):
            await self._attempt(self._release([*self._attendance.leases(), *self._attendance.news]))

    def tasks(self) -> Tasks:
        """One task, which keeps the leases."""
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
        """Tell the other nodes the news, or renew all leases when that is due."""
        attendance, now = self._attendance, trio.current_time()
        # News stay on the list until they are told: a failure or a stop may come in between.
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
        """Do *work*, and return whether the bus was there for it."""
        try:
            await work
        except BusUnavailable:
            self._attendance.failures += 1
            return False
        return True


def _chunks(leases: Sequence[Lease]) -> Iterator[Sequence[Lease]]:
    for start in range(0, len(leases), _CHUNK):
        yield leases[start : start + _CHUNK]
