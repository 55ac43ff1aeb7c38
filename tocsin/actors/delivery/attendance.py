"""Connected devices: in a table for this node, and as leases in Redis for all nodes.

A node renews one lease, that of its *run*, and each device's lease holds only while the run's does.
So a node that dies need not take back what it said: its devices are gone after `LEASE` seconds,
and quiet devices cost next to nothing. Arrivals and departures are gathered for a moment and told
together, because devices come in crowds. If Redis is away, the node tries again, and the run's
lease runs out meanwhile.

Redis may forget: it was emptied, or a replica without the last writes has taken over. So the run's
lease keeps a count, which the node raises behind all that it tells. If Redis has another count than
the last one, it has lost some of that, and the node tells it of all its devices anew. Beside that
each device's lease is renewed every `REPAIR` seconds, whatever happened, a few at a time.

A node needs no lease to know of its own devices, so every answer says exactly which devices are
connected to the node that gives it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Iterator, Sequence
from itertools import islice, takewhile
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
"""Seconds for which the lease of a run is valid unless the node renews it."""
REPAIR: Final = 600.0
"""Seconds after which a device's lease is renewed, in case that Redis has lost just that."""
_DEVICE_LEASE: Final = 3 * REPAIR
"""Seconds for which a device's lease lasts by itself: it outlives some renewals that come late. A
node of the release before knows no runs, and takes it for the lease; it removes one that ends after
more than an hour."""
_LINGER: Final = 0.05
"""Seconds in which arrivals and departures are gathered."""
_RETRY_DELAY: Final = 1.0
"""Seconds before a store of leases that failed is tried again: short beside a lease's life."""
_CHUNK: Final = 1000
"""Leases in one message."""
_RUN_BYTES: Final = 8
"""Bytes of chance in the name of a run: no two runs of a node have one name."""
_FAREWELL: Final = 1.0
"""Seconds that a node that stops has to release its leases."""


class PresenceUnavailable(DescribedError):
    """The other nodes' leases cannot be read now."""


class Attendance:
    """The devices connected to this node, which are all devices if it is the only node."""

    def __init__(self, node: str, world: World) -> None:
        self._node = node
        self._world = world
        self.run = f"{node}:{world.entropy(_RUN_BYTES).hex()}"
        """The name of this node's run: one after a restart is another."""
        self._users: dict[str, dict[str, Lease]] = {}
        """User -> connection -> the lease of the device on it."""

    def arrived(self, user: str, device: str, connection: str) -> None:
        """Note that *device* of *user* is on *connection* from now on."""
        lease = Lease(user, device, self._node, self._world.now_ms(), self.run)
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
    """Holds in *presence* a lease for each connection in *attendance*, and one of *lease* seconds
    for the run of the node."""

    def __init__(
        self, attendance: SharedAttendance, presence: Presence, *, lease: float = LEASE
    ) -> None:
        self._attendance = attendance
        self._presence = presence
        self._lease = lease
        # A new incarnation does not know what the one before has told, nor its count.
        self._renew_at = -math.inf
        self._count = 0
        self._held_at: dict[Lease, float] = {}
        """The leases that were told, and when the last time, the oldest first."""

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
        """Tell the other nodes the news, and renew what is due."""
        attendance, is_due = self._attendance, trio.current_time() >= self._renew_at
        # News stay on the list until they are told: a failure or a stop may come in between.
        news = attendance.news.take()
        fresh = [each for each in news if attendance.is_current(each)]
        await self._hold([*fresh, *self._due()] if is_due else fresh)
        await self._release([each for each in news if not attendance.is_current(each)])
        if not await self._renew():
            await self._hold(list(attendance.leases()))
            await self._renew()
        attendance.news.done()

    async def _renew(self) -> bool:
        """Renew the run's lease; returns whether all that was told before is still there."""
        before = await self._presence.renew(self._attendance.run, self._count + 1, self._lease)
        # The first time, the incarnation before may have left anything there.
        is_whole = before == self._count > 0
        self._count += 1
        self._renew_at = trio.current_time() + self._lease / 3
        return is_whole

    def _due(self) -> list[Lease]:
        """The leases that were told longest ago, and longer ago than `REPAIR`.

        So few that a crowd that was told in one moment is spread, and so many that no lease waits
        for longer than `REPAIR` and a half. No look goes through all leases.
        """
        since = trio.current_time() - REPAIR
        count = math.ceil(2 * len(self._held_at) * self._lease / 3 / REPAIR)
        old = takewhile(lambda held: held[1] <= since, self._held_at.items())
        return [lease for lease, _ in islice(old, count)]

    async def _hold(self, leases: Sequence[Lease]) -> None:
        for chunk in _chunks(leases):
            await self._presence.hold(chunk, _DEVICE_LEASE)
            for each in chunk:
                # Removed first, so that the leases stand in the order of their times.
                self._held_at.pop(each, None)
                self._held_at[each] = trio.current_time()

    async def _release(self, leases: Sequence[Lease]) -> None:
        for chunk in _chunks(leases):
            await self._presence.release(chunk)
            for each in chunk:
                self._held_at.pop(each, None)

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
