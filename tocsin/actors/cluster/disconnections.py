"""Users whom operators have disconnected: all nodes are told, even those that are deaf now.

Nodes tell each other nothing else that is not in the store as well, so a deaf node could not find a
disconnection by reconciling. Therefore the bus keeps it for a while. A node that may have missed
envelopes asks the bus for the disconnections, and ends the connections that began before them. A
disconnection is kept *before* the other nodes are told, so that a node that does not hear the
envelope finds it when it hears again.

The bus keeps a *mark*: the time of day, the user, and a seal of both. If an outsider puts the same
mark there once more, it ends no connection again on a node that has seen it, because the node
remembers the moment of each mark.
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
"""Seconds before a bus that is away is asked again."""


class Disconnections:
    """Disconnected users to be told to the other nodes with *say*, and the marks that were seen.

    See the module.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.moments: dict[bytes, float] = {}
        """Each mark that was seen here -> when it was made (Trio time)."""
        self._untold: dict[str, None] = {}
        self._unkept: dict[str, None] = {}
        self.is_missed = False
        """Whether a disconnection may have been said that was not heard."""
        self.bell = Bell()
        """Rings when the keeper has a mark to keep, or has to ask for marks."""

    def disconnect(self, user: str) -> None:
        """Have all connections of *user* to other nodes ended."""
        self._untold[user] = None
        self.bell.ring()

    def missed(self) -> None:
        """Have the keeper ask the bus for marks: a disconnection may have gone unheard."""
        self.is_missed = True
        self.bell.ring()

    def tell(self) -> None:
        """Tell the other nodes of all users that they were not told of, with or without a mark."""
        untold, self._untold = self._untold, {}
        for user in untold:
            self._say(user)

    def to_keep(self) -> list[str]:
        """The users of whom a mark is to be kept."""
        self._unkept.update(self._untold)
        return list(self._unkept)

    def kept(self, users: Iterable[str]) -> None:
        """Tell the other nodes of *users*: the bus keeps a mark of each now."""
        for user in users:
            del self._unkept[user]
            self._untold.pop(user, None)
            self._say(user)


class DisconnectionKeeper:
    """Keeps *disconnections* on *bus*, and ends connections of *users* that other nodes ask for."""

    def __init__(
        self, disconnections: Disconnections, bus: Bus, users: Users, trust: Trust
    ) -> None:
        self._disconnections = disconnections
        self._bus = bus
        self._users = users
        self._trust = trust

    async def run(self) -> None:
        """Keep marks and ask for marks until cancelled; a bus that is away is asked again."""
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
            # A Redis that is full keeps no mark, but relays envelopes all the same. If it does
            # neither, the nodes are told once more when it does both.
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
            # Failed or cancelled: the next incarnation asks.
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
