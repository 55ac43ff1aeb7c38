"""The surroundings of a user's actor: settings, and the actors and tables that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tocsin.actors.delivery.neighbours import ALONE, Neighbours
from tocsin.actors.delivery.timing import Timing
from tocsin.actors.delivery.users import Users
from tocsin.actors.health import BusStatus, StoreStatus
from tocsin.actors.runtime.ref import Ref
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.world import World
from tocsin.protocol.delivery.terms import SEEN_INTERVAL, SessionLimits


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """The settings of deliveries on this node; *heartbeat* in seconds.

    A user has at most *devices_max* sessions at a time, and *devices_known_max* named devices. A
    device that stays connected is noted as seen every *seen_interval* seconds.
    """

    node: str
    limits: SessionLimits
    heartbeat: float
    devices_max: int
    devices_known_max: int
    seen_interval: float = SEEN_INTERVAL


@dataclass(frozen=True, slots=True)
class Company:
    """The surroundings that all user actors of a node share.

    A user's actor calls *acknowledged* with each notification that a device has acknowledged,
    *absent* with a user whose last device has left, and *behind* with a user whose topics hold more
    entries than were brought on arrival. (Arrivals reach the topics through the `announcer`, in the
    order of commits.)
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
    timing: Timing = field(default_factory=Timing)
