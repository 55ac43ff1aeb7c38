"""The surroundings of a user actor: settings, clocks, and the actors and tables it talks to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.delivery.users import Users
from tocsin.actors.health import BusStatus, StoreStatus
from tocsin.actors.runtime import Ref
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.world import World
from tocsin.protocol.terms import SessionLimits


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How this node delivers; *heartbeat* in seconds.

    Per user, *devices_max* are connected, and *devices_known_max* known by names of their own.
    """

    node: str
    limits: SessionLimits
    heartbeat: float
    devices_max: int
    devices_known_max: int


@dataclass(frozen=True, slots=True)
class Company:
    """Shared by all user actors of a node.

    *acknowledged* is told of each notification that some device of a user has acknowledged,
    *absent* of a user who has left, *behind* of one whose topics hold more than was brought on
    arrival. (The topics hear of arrivals from the `announcer`, in the order of commits.)
    """

    users: Users
    storage: Ref[StorageMessage]
    ledger: Ledger
    status: StoreStatus
    settings: DeliverySettings
    world: World
    acknowledged: Callable[[str], None]
    absent: Callable[[str], None]
    behind: Callable[[str], None]
    bus: BusStatus = field(default_factory=BusStatus)
    neighbours: Neighbours = ALONE


class Clock:
    """Both clocks, read once per message: *now* in Trio seconds, *now_ms* in Unix milliseconds."""

    __slots__ = ("_world", "now", "now_ms")

    def __init__(self, world: World) -> None:
        self._world = world
        self.now = 0.0
        self.now_ms = 0

    def tick(self) -> None:
        """Read them again."""
        self.now = trio.current_time()
        self.now_ms = self._world.now_ms()
