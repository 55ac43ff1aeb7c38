"""The drainer does nothing until the node stops; then it says goodbye to all devices, in batches.

It is an actor like the others, so its place in the tree decides when that happens: after the front
door has stopped accepting, and before any actor stops that a connection needs (Phoenix does the
same with its socket drainer). Each goodbye carries a delay of its own, so that the clients do not
all connect to the next node in one instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Never

import trio

from tocsin.actors.delivery.connections import Connections
from tocsin.actors.delivery.outlet import Outlet
from tocsin.actors.runtime.supervisor import Actor, Context
from tocsin.actors.world import World
from tocsin.protocol.closing import Closing

_BATCH: Final = 100
"""Connections that are told to leave before the others have their turn: some milliseconds."""
_PAUSE: Final = 0.05
"""Seconds between batches; shorter where so many connections would overrun the drain time."""
_LATECOMERS: Final = 0.5
"""Seconds after which to look again for connections that were in their handshake before."""


class Drainer(Actor[Never]):
    """Says goodbye to the devices on *connections* when the node stops.

    The goodbyes take half of *drain_time* (seconds) at most; their delays spread the reconnects
    over all of it.
    """

    def __init__(self, connections: Connections, world: World, *, drain_time: float) -> None:
        self._connections = connections
        self._world = world
        self._drain_time = drain_time

    async def run(self, context: Context[Never]) -> None:
        """Wait for the stop, then drain until no device is connected. Cancelling abandons it."""
        await super().run(context)
        told: set[str] = set()
        while self._connections.session_count:
            await self._say_goodbye(
                [outlet for outlet in self._connections.outlets if outlet.connection not in told]
            )
            told.update(outlet.connection for outlet in self._connections.outlets)
            with trio.move_on_after(_LATECOMERS):
                await self._connections.wait_no_outlets()

    async def _say_goodbye(self, outlets: Sequence[Outlet]) -> None:
        pause = min(_PAUSE, self._drain_time / 2 * _BATCH / max(1, len(outlets)))
        for start in range(0, len(outlets), _BATCH):
            if start:
                await trio.sleep(pause)
            for outlet in outlets[start : start + _BATCH]:
                outlet.end(Closing.DRAINING, self._drain_time * self._world.random())
