"""A queue in a broker, from which the nodes' connectors take: at least once, as real ones do.

It implements the product's port for sources. A message stays until it is acknowledged. What a
connection has in hand is delivered again when that ends: because its process died, because the
broker heard nothing of it for a while, or because the connection was cut. A broker that starts
again has lost all connections and may have forgotten the last acknowledgments.

An ordered queue gives its messages to one connection at a time; otherwise connections compete.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from simulation.world.chance import Chance
from simulation.world.scheduling import Process
from simulation.world.timeline import Timeline
from tocsin.persistence.source import BrokerMessage, Source, SourceAway, SourceElsewhere
from tocsin.server.connector_status import ConnectorTerms

_DELAY: Final = 0.0005, 0.005
"""Seconds to the broker and back: the minimum, and the most that is added by chance."""
_HEARTBEAT: Final = 5.0
"""Seconds between two looks of the broker at a connection; two without a sign of life end it."""
_PATIENCE: Final = 10.0
"""Seconds after which a source gives up a broker that does not answer."""
_BATCH: Final = 16
"""Messages of a batch: few, so that a run has many batches."""
HANGS: Final = "hangs"


@dataclass(slots=True)
class QueueMessage:
    """One message, its deliveries, and when it was acknowledged (seconds; infinite: not yet).

    *batch* is the number of the batch in which it was delivered last.
    """

    number: int
    body: bytes
    put_at: float
    at: int
    deliveries: int = 0
    first_taken_at: float = math.inf
    acked_at: float = math.inf
    acked_by: str = ""
    batch: int = 0


Acknowledged = Callable[[QueueMessage], object]
"""Called when a message is acknowledged for the first time, before the connector knows that."""


class SimulatedQueue:
    """See the module. *name* is also the connector's; *now_ms* is the broker's clock."""

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        chance: Chance,
        now_ms: Callable[[], int],
        *,
        ordered: bool,
    ) -> None:
        self.name = name
        self.ordered = ordered
        self.messages: list[QueueMessage] = []
        self.acknowledged: list[Acknowledged] = []
        self.away = ""
        """How the broker is away: it `refuses`, or it `hangs`; empty if it is there."""
        self.timeline = timeline
        self._chance = chance
        self._now_ms = now_ms
        self._waiting: list[QueueMessage] = []
        self._open: list[QueueSource] = []
        self._batches = 0
        self._arrived = trio.lowlevel.ParkingLot()

    def terms(self, process: Process) -> ConnectorTerms:
        """The connector of *process* that takes from this queue."""

        @asynccontextmanager
        async def connect() -> AsyncIterator[Source]:
            async with self._connect(process) as source:
                yield source

        return ConnectorTerms(
            name=self.name,
            kind="simulated",
            connect=connect,
            ordered=self.ordered,
            batch=_BATCH,
        )

    def put(self, body: bytes) -> QueueMessage:
        """Add a message at the end."""
        message = QueueMessage(len(self.messages), body, self.timeline.now, self._now_ms())
        self.messages.append(message)
        self._waiting.append(message)
        self._arrived.unpark_all()
        return message

    @property
    def left(self) -> int:
        """The number of messages that are not acknowledged."""
        return len(self._waiting) + sum(len(each.in_hand) for each in self._open)

    # --- What goes wrong -------------------------------------------------------------------------

    def cut(self, host: str = "") -> None:
        """End the connections of *host*, or all; what they have in hand is delivered again."""
        for source in [each for each in self._open if host in ("", each.process.name)]:
            self.drop(source, "the connection was cut")

    def restart(self, forgotten: float) -> None:
        """End all connections, and forget the acknowledgments of the last *forgotten* seconds."""
        self.cut()
        since = self.timeline.now - forgotten
        again = [each for each in self.messages if since <= each.acked_at < math.inf]
        # The time of the first acknowledgment stays: that was the promise.
        self._give_back([each for each in again if each not in self._waiting])

    def forget(self, process: Process) -> None:
        """End the connections of *process*, which has died."""
        for source in [each for each in self._open if each.process is process]:
            self.drop(source, "the process is dead")

    # --- For its connections ---------------------------------------------------------------------

    def drop(self, source: QueueSource, reason: str) -> None:
        """End *source*; no effect if it has ended."""
        if source in self._open:
            self._open.remove(source)
            source.ended = reason
            in_hand, source.in_hand = source.in_hand, []
            self._give_back(in_hand)

    async def reach(self) -> None:
        """Make a round trip; raises `SourceAway` if the broker is away."""
        least, more = _DELAY
        await self.timeline.sleep(least + more * self._chance.random())
        if self.away == HANGS:
            await self.timeline.sleep(_PATIENCE)
        if self.away:
            raise SourceAway("the broker is away")

    async def next(self, source: QueueSource, limit: int, wait: float) -> list[QueueMessage]:
        """The next batch for *source*: at most *limit* messages; none after *wait* seconds."""
        with trio.move_on_after(wait):
            while not self._waiting and source.ended is None:
                await self._arrived.park()
        if source.ended is not None or self.away:
            return []
        batch, self._waiting = self._waiting[:limit], self._waiting[limit:]
        self._batches += 1
        for message in batch:
            message.deliveries += 1
            message.batch = self._batches
            message.first_taken_at = min(message.first_taken_at, self.timeline.now)
        source.in_hand += batch
        return batch

    def acknowledge(self, source: QueueSource) -> None:
        """Forget all that *source* has in hand."""
        in_hand, source.in_hand = source.in_hand, []
        for message in in_hand:
            if message.acked_at == math.inf:
                message.acked_at, message.acked_by = self.timeline.now, source.process.name
                for tell in self.acknowledged:
                    tell(message)

    # --- Inside ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _connect(self, process: Process) -> AsyncIterator[QueueSource]:
        await self.reach()
        if self.ordered and self._open:
            raise SourceElsewhere
        source = QueueSource(self, process)
        self._open.append(source)
        self.timeline.after(_HEARTBEAT, self._look_after, source, False)
        try:
            yield source
        finally:
            self.drop(source, "it was closed")

    def _look_after(self, source: QueueSource, was_silent: bool) -> None:
        if source.ended is not None:
            return
        is_silent = source.process.is_stopped
        if is_silent and was_silent:
            self.drop(source, "the broker heard nothing for too long")
        else:
            self.timeline.after(_HEARTBEAT, self._look_after, source, is_silent)

    def _give_back(self, messages: Sequence[QueueMessage]) -> None:
        # With its old place, as brokers do: a queue that puts it at the end has no order to keep.
        self._waiting = sorted([*messages, *self._waiting], key=lambda each: each.number)
        self._arrived.unpark_all()


class QueueSource:
    """A connection of *process* to *queue*: the product's `Source`."""

    def __init__(self, queue: SimulatedQueue, process: Process) -> None:
        self._queue = queue
        self.process = process
        self.in_hand: list[QueueMessage] = []
        self.ended: str | None = None

    async def take(self, limit: int, wait: float) -> Sequence[BrokerMessage]:
        await self._reach()
        batch = await self._queue.next(self, limit, wait)
        self._check()
        return [self._as_taken(message) for message in batch]

    async def done(self, taken: Sequence[BrokerMessage]) -> None:
        """The acknowledgment counts before its sender knows that; the answer may be lost."""
        self._check()
        if not (self._queue.away or self.process.is_dead):
            self._queue.acknowledge(self)
        await self._reach()

    async def hold(self, taken: Sequence[BrokerMessage]) -> None:
        await self._reach()

    async def skip(self, place: str) -> None:
        raise ValueError("every message of this queue can be read")

    def alive(self) -> str | None:
        return self.ended

    async def lag(self) -> int | None:
        await self._reach()
        return self._queue.left

    async def _reach(self) -> None:
        self._check()
        await self._queue.reach()
        self._check()

    def _check(self) -> None:
        if self.ended is not None:
            raise SourceAway(self.ended)

    def _as_taken(self, message: QueueMessage) -> BrokerMessage:
        place = f"{self._queue.name}/{message.number}"
        return BrokerMessage(
            place=place, key=place, body=message.body, token=message.number, at=message.at
        )
