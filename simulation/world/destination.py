"""A destination in a broker, to which the nodes' carriers bring receipts: the product's sink port.

In the first half of a run it is often in trouble: it lets no one in, hangs, takes a part of a batch
and is lost, or takes all of it and its confirmation is lost. It is not in trouble often in a row,
because a carrier then waits for minutes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from simulation.world.chance import Chance
from simulation.world.plan import Plan
from simulation.world.scheduling import Process
from simulation.world.timeline import Timeline
from tocsin.actors.sinks.terms import SinkTerms
from tocsin.persistence.sink import BrokerSink, SinkMessage
from tocsin.persistence.source import SourceAway
from tocsin.protocol.receipts.receipt import BATCH_MAX, EVERYTHING

NAME: Final = "destination"
_DELAY: Final = 0.02
"""The most seconds that a confirmation takes."""
_PATIENCE: Final = 10.0
"""Seconds after which a sink gives up a broker that does not answer."""
_IN_A_ROW: Final = 3
"""Troubles one after the other at most; a batch that fails on an old connection has two."""


class SimulatedDestination:
    """See the module. *taken* are the receipts that it has got, in order; *confirmed* is the
    position up to which it has confirmed them."""

    def __init__(self, plan: Plan, timeline: Timeline, chance: Chance) -> None:
        self._trouble = plan.sink_trouble
        self._calm_at = plan.duration / 2
        self._timeline = timeline
        self._chance = chance
        self._in_a_row = 0
        self.taken: list[dict[str, Any]] = []
        self.confirmed = 0

    def terms(self, process: Process) -> SinkTerms:
        """The sink of *process* that leads here."""

        @asynccontextmanager
        async def connect() -> AsyncIterator[BrokerSink]:
            await self._timeline.sleep(_DELAY * self._chance.random())
            if self._fails(0.3):
                raise SourceAway("the broker is away")
            yield _Connection(self, process)

        return SinkTerms(
            name=NAME, kind="simulated", connect=connect, filter=EVERYTHING, batch_max=BATCH_MAX
        )

    async def carry(self, process: Process, batch: Sequence[SinkMessage]) -> None:
        """Take *batch* from *process* and confirm it; or not, see the module."""
        await self._timeline.sleep(_DELAY * self._chance.random())
        if process.is_dead:
            raise SourceAway("this process is dead")
        if not self._fails(1.0):
            self._in_a_row = 0
            self._take(batch)
            self.confirmed = max(self.confirmed, position_of(batch[-1].id))
            return
        match self._chance.one(("hangs", "takes a part", "loses its confirmation")):
            case "hangs":
                await self._timeline.sleep(_PATIENCE)
            case "takes a part":
                self._take(batch[: int(len(batch) * self._chance.random())])
            case _:
                self._take(batch)
        raise SourceAway("no confirmation")

    def _fails(self, share: float) -> bool:
        is_calm = self._timeline.now >= self._calm_at or self._in_a_row >= _IN_A_ROW
        fails = not is_calm and self._chance.happens(self._trouble * share)
        self._in_a_row += fails
        return fails

    def _take(self, batch: Sequence[SinkMessage]) -> None:
        self.taken += [msgspec.json.decode(each.body) for each in batch]


class _Connection:
    def __init__(self, destination: SimulatedDestination, process: Process) -> None:
        self._destination = destination
        self._process = process

    async def carry(self, batch: Sequence[SinkMessage]) -> None:
        await self._destination.carry(self._process, batch)


def position_of(receipt: str) -> int:
    """The position in the log of the receipt with this id."""
    return int(receipt.rpartition("-")[2])
