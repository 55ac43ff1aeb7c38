"""Arriving and leaving, the same on all transports: which device, from where in the log.

A follower of the log over plain HTTP, a stream or a long poll, is carried by an HTTP connection
that carries other requests before and after. So each has a name and an outlet of its own.
"""

from __future__ import annotations

import math

from tocsin.actors.delivery.messages import Arrived
from tocsin.actors.delivery.outlet import Outlet
from tocsin.actors.runtime.errors import ActorStopped, MailboxFull
from tocsin.protocol.closing import Closing
from tocsin.protocol.log.cursor import Cursor, UnreadableCursor, parse_cursor
from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import Refused, refusal_for, refuse
from tocsin.protocol.values import unnamed_device
from tocsin.server.auth.principal import Principal
from tocsin.server.services import Services


def arrive(services: Services, user: str, arrived: Arrived) -> None:
    """Hand the device to its user's actor; where that is not possible, its outlet ends."""
    outlet = arrived.outlet
    services.connections.opened(outlet)
    try:
        services.users.arrive(user, arrived)
    except MailboxFull:
        outlet.end(Closing.OVERLOADED, Closing.OVERLOADED.after)
    except ActorStopped:
        outlet.end(Closing.DRAINING, Closing.DRAINING.after)


def leave(services: Services, user: str, outlet: Outlet) -> None:
    """The connection of *outlet* has ended; says nothing of what has arrived."""
    services.connections.closed(outlet.connection)
    services.users.leave(user, outlet.connection)


def rest(services: Services, user: str, outlet: Outlet) -> None:
    """The poll of *outlet* is answered, and its device may come back with what it was told."""
    services.connections.closed(outlet.connection)
    services.users.rest(user, outlet.connection)


def check_running(services: Services) -> None:
    """Raise `Refused` (503) on a node that is stopping: another one is the place to go."""
    if services.readiness.stopping:
        raise Refused(refusal_for(Closing.DRAINING, "This node is stopping."))


def new_device(services: Services) -> str:
    """A name for a device that has none."""
    return unnamed_device(services.world.now_ms(), services.world.entropy(10))


def expiry_ms(principal: Principal) -> int | None:
    """When the credential ends (Unix milliseconds), if it does."""
    expires_at = principal.expires_at
    if expires_at is None or not math.isfinite(expires_at):
        return None
    return math.floor(expires_at * 1000)


def read_cursor(services: Services, text: str, where: str) -> Cursor:
    """The client's cursor, which stood in *where*; raises `Refused` (422)."""
    try:
        return parse_cursor(text, services.status.epoch)
    except UnreadableCursor as error:
        raise refuse(
            "invalid", "The cursor cannot be read.", [FieldError(where, str(error))]
        ) from None
