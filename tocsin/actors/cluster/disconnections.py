"""Whom operators have disconnected: told to all nodes, those included that do not hear it now.

Of what nodes tell each other this alone is not in the store, so a deaf node would not find it by
reconciling. Therefore the bus keeps it for a while, and a node that may have missed something asks
for it and ends what had begun before. A user is kept *before* the others are told: who does not
hear the word, and hears again, then finds it.

What is kept is a *mark*: the time of day, the user, and a seal of both. One that is kept once more
by somebody else ends nothing again where it was seen: its first moment is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import trio

from tocsin.actors.cluster.trust import MARK_AGE_MAX, Trust
from tocsin.actors.delivery.messages import Disconnect
from tocsin.actors.delivery.users import Users
from tocsin.actors.runtime.bell import Bell
from tocsin.persistence.bus import Bus, BusUnavailable
from tocsin.protocol.closing import Closing

_RETRY: Final = 0.5
"""Seconds before a bus that is away is asked again; a mark is late by that much at most."""


class Disconnections:
    """Users of whom the other nodes are to be told, with *say*, and what was seen of theirs.

    See the module.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.moments: dict[bytes, float] = {}
        """When each mark was made that was seen here (Trio time)."""
        self._untold: dict[str, None] = {}
        self._unkept: dict[str, None] = {}
        self.is_missed = False
        """Whether something may have been said that was not heard."""
        self.bell = Bell()
        """Rings when there is something for the keeper to do."""

    def disconnect(self, user: str) -> None:
        """End all connections of *user*, everywhere else."""
        self._untold[user] = None
        self.bell.ring()

    def missed(self) -> None:
        """Something may have been said that was not heard: find out."""
        self.is_missed = True
        self.bell.ring()

    def tell(self) -> None:
        """Tell the others of whoever has not been told of, kept or not."""
        untold, self._untold = self._untold, {}
        for user in untold:
            self._say(user)

    def to_keep(self) -> list[str]:
        """The users of whom a mark is to be kept."""
        self._unkept.update(self._untold)
        return list(self._unkept)

    def kept(self, users: Iterable[str]) -> None:
        """A mark of each of *users* is kept: tell the others."""
        for user in users:
            del self._unkept[user]
            self._untold.pop(user, None)
            self._say(user)


class DisconnectionKeeper:
    """Keeps *disconnections* on *bus*, and ends the connections of *users* that others have."""

    def __init__(
        self, disconnections: Disconnections, bus: Bus, users: Users, trust: Trust
    ) -> None:
        self._disconnections = disconnections
        self._bus = bus
        self._users = users
        self._trust = trust

    async def run(self) -> None:
        """Keep and find out, for ever; a bus that is away is asked again."""
        while True:
            try:
                await self._keep()
                await self._find_out()
            except BusUnavailable:
                await trio.sleep(_RETRY)
            else:
                await self._disconnections.bell.wait()

    async def _keep(self) -> None:
        users = self._disconnections.to_keep()
        if not users:
            return
        try:
            await self._bus.keep_disconnected([self._trust.mark(user) for user in users])
        except BusUnavailable:
            # One that is full keeps nothing, and relays all the same. Where it did neither, they
            # are told once more when it does both.
            self._disconnections.tell()
            raise
        self._disconnections.kept(users)

    async def _find_out(self) -> None:
        disconnections = self._disconnections
        if not disconnections.is_missed:
            return
        disconnections.is_missed = False
        try:
            ages = await self._bus.disconnected()
        except BaseException:
            # Also where this fails or is cancelled: the next incarnation finds out.
            disconnections.is_missed = True
            raise
        now, moments = trio.current_time(), disconnections.moments
        for mark, age in ages.items():
            if (user := self._trust.marked(mark)) is not None:
                moment = moments.setdefault(mark, now - max(0.0, age))
                message = Disconnect(Closing.DISCONNECTED, before=moment)
                self._users.tell(user, message, forced=True)
        for mark in [each for each, at in moments.items() if at < now - 2 * MARK_AGE_MAX]:
            del moments[mark]
