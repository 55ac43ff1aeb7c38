"""A broker in memory: queues that behave like the real ones, for tests.

It keeps a batch until it is done, and gives it again to the next connection if the first one ended
before. Tests end connections, refuse them and put messages in with the verbs of `MemoryQueue`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import trio

from tocsin.persistence.sink import BrokerSink, SinkMessage
from tocsin.persistence.source import BrokerMessage, Source, SourceAway, SourceElsewhere, key_of


class MemoryQueue:
    """A queue of messages, of which one connection at a time may take if it is *ordered*."""

    def __init__(self, name: str = "queue", *, ordered: bool = True) -> None:
        self.name = name
        self._ordered = ordered
        self._waiting: list[BrokerMessage] = []
        self._sources: set[MemorySource] = set()
        self._count = 0
        self._arrival = trio.Event()
        self.error: Exception | None = None
        """Raised by each connection that is opened, while it is set."""

    def put(
        self,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        at: int | None = None,
        keyed: bool = True,
    ) -> None:
        """Add a message at the end; without a key of its own if it is not *keyed*."""
        place = key_of(self.name, self._count)
        self._waiting.append(
            BrokerMessage(
                place=place,
                key=place if keyed else None,
                body=body,
                token=self._count,
                headers=headers or {},
                correlation=(headers or {}).get("correlation-id"),
                at=at,
            )
        )
        self._count += 1
        self._arrival.set()

    def cut(self) -> None:
        """End all connections: their batches are delivered again."""
        for source in list(self._sources):
            source.end("the connection was cut")

    def connections(self) -> int:
        """The number of open connections."""
        return len(self._sources)

    def __len__(self) -> int:
        """The number of messages that are not done, whether somebody has them in hand or not."""
        return len(self._waiting) + sum(len(each.in_hand) for each in self._sources)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Source]:
        """Open a connection, as `Connect` has it; cancelled, it ends like any other.

        Raises `error`, if a test has set that, and `SourceElsewhere`.
        """
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        if self._ordered and self._sources:
            raise SourceElsewhere
        source = MemorySource(self)
        self._sources.add(source)
        try:
            yield source
        finally:
            self._sources.discard(source)
            self.give_back(source)

    @asynccontextmanager
    async def connect_sink(self) -> AsyncIterator[BrokerSink]:
        """Open a connection that puts receipts in, as `ConnectSink` has it."""
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        yield MemorySink(self)

    # --- For its connections ---------------------------------------------------------------------

    async def next(self, limit: int, wait: float) -> list[BrokerMessage]:
        with trio.move_on_after(wait):
            while not self._waiting:
                self._arrival = trio.Event()
                await self._arrival.wait()
        batch, self._waiting = self._waiting[:limit], self._waiting[limit:]
        return batch

    def give_back(self, source: MemorySource) -> None:
        self._waiting = sorted([*source.in_hand, *self._waiting], key=lambda each: each.token)
        source.in_hand = []
        self._arrival.set()


class MemorySink:
    """A connection to *queue*: `BrokerSink`. A receipt's headers come along, with its id."""

    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue

    async def carry(self, batch: Sequence[SinkMessage]) -> None:
        await trio.lowlevel.checkpoint()
        for message in batch:
            if self._queue.error is not None:
                raise self._queue.error
            self._queue.put(message.body, message.headers, at=1)


class MemorySource:
    """A connection to a `MemoryQueue`: `Source`."""

    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue
        self._ended: str | None = None
        self.in_hand: list[BrokerMessage] = []

    async def take(self, limit: int, wait: float) -> Sequence[BrokerMessage]:
        self._check()
        taken = await self._queue.next(limit, wait)
        self.in_hand += taken
        self._check()
        return taken

    async def done(self, taken: Sequence[BrokerMessage]) -> None:
        await trio.lowlevel.checkpoint()
        self._check()
        tokens = {each.token for each in taken}
        self.in_hand = [each for each in self.in_hand if each.token not in tokens]

    async def hold(self, taken: Sequence[BrokerMessage]) -> None:
        await trio.lowlevel.checkpoint()
        self._check()

    async def skip(self, place: str) -> None:
        raise ValueError("every message of this queue can be read")

    def alive(self) -> str | None:
        return self._ended

    async def lag(self) -> int | None:
        await trio.lowlevel.checkpoint()
        self._check()
        return len(self._queue)

    def end(self, reason: str) -> None:
        self._ended = reason
        self._queue.give_back(self)

    def _check(self) -> None:
        if self._ended is not None:
            raise SourceAway(self._ended)
