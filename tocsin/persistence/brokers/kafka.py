"""Topics of Kafka as a source, by aiokafka: a member of a consumer group.

The group's committed offsets are the promise: they move on when a batch is durable. A commit is
under way while the next batch is taken and stored, since its answer takes a quarter of that time;
the next commit waits for it. Nodes share the partitions, so order is kept within each partition.
Before partitions go to another node, the batches in hand have some seconds to be done; if they are
not, the other node takes them again, and the keys of the records tell the store.

aiokafka is silent where a topic is missing or deleted, so the topics are looked for at the opening
and with each look at what waits. A record that cannot be unpacked raises at its offset for ever,
and is never skipped in silence: an operator has to say so (`skip`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import trio
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from tocsin.persistence.brokers.kafka_calls import (
    CLOSE_TIMEOUT,
    TIMEOUT,
    KafkaBrokers,
    answered,
    in_time,
    start,
)
from tocsin.persistence.brokers.loops import close_in_order, connector_loop
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.source import (
    BrokerMessage,
    Source,
    SourceAway,
    SourceRefused,
    key_of,
    read_headers,
)

_REVOKED_WAIT: Final = 5.0
"""Seconds that the batch in hand has before its partitions go to another node."""
_SESSION_MS: Final = 10_000
"""Milliseconds without a heartbeat after which the group gives our partitions to others."""
_HEARTBEAT_MS: Final = 2_000
"""Milliseconds between two heartbeats: a few may be lost."""
_POLL_INTERVAL_MS: Final = 120_000
"""Milliseconds without a poll after which aiokafka leaves the group; `hold` polls each second."""
_MS: Final = 1000
"""Milliseconds in a second: aiokafka counts in the former."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsPlace:
    """Which *topics*, at which *brokers*, and the *group* to take as.

    *start* is where a group without offsets begins: `earliest` or `latest`.
    """

    brokers: KafkaBrokers
    topics: tuple[str, ...]
    group: str
    start: str


class _Spot(NamedTuple):
    """The place of one record."""

    partition: TopicPartition
    offset: int


@asynccontextmanager
async def connect(place: TopicsPlace, faults: LoopFaults) -> AsyncIterator[Source]:
    """Join the group at *place*, in an asyncio loop of its own; as `Connect`."""
    async with connector_loop(faults):
        consumer = _consumer(place)
        try:
            await start(consumer.start, place.brokers)
            # Its end waits for the last commit.
            async with trio.open_nursery() as commits:
                source = TopicsSource(consumer, place, commits)
                await source.begin()
                yield source
        finally:
            await close_in_order(consumer.stop, CLOSE_TIMEOUT)


class TopicsSource(ConsumerRebalanceListener):  # type: ignore[misc]
    """`Source` on a consumer of aiokafka; made by `connect`. *commits* has a task for a commit."""

    def __init__(
        self, consumer: AIOKafkaConsumer, place: TopicsPlace, commits: trio.Nursery
    ) -> None:
        self._consumer = consumer
        self._place = place
        self._commits = commits
        self._committed = trio.Event()
        self._committed.set()
        self._failure: SourceAway | SourceRefused | None = None
        self._free = asyncio.Event()
        self._free.set()
        self._in_hand = 0
        self._skips: set[_Spot] = set()

    async def begin(self) -> None:
        """Look for the topics, and subscribe to them."""
        await self._look_for_topics()
        self._consumer.subscribe(list(self._place.topics), listener=self)

    async def take(self, limit: int, wait: float) -> Sequence[BrokerMessage]:
        self._check_commit()
        self._consumer.resume(*self._consumer.paused())
        await self._pass_over()
        with in_time(wait + TIMEOUT):
            found = await self._records(limit, wait)
        taken = [self._message(each) for records in found.values() for each in records]
        if taken:
            self._in_hand += len(taken)
            self._free.clear()
        return taken

    async def done(self, taken: Sequence[BrokerMessage]) -> None:
        if not taken:
            return
        last: dict[TopicPartition, int] = {}
        for each in taken:
            last[each.token.partition] = each.token.offset + 1
        await self._committed.wait()
        self._check_commit()
        self._committed = trio.Event()
        self._commits.start_soon(self._commit, last, len(taken))

    async def hold(self, taken: Sequence[BrokerMessage]) -> None:
        self._check_commit()
        # Polling keeps the membership; paused partitions give nothing meanwhile.
        self._consumer.pause(*self._consumer.assignment())
        with in_time(TIMEOUT):
            await self._records(1, 0.0)

    async def skip(self, place: str) -> None:
        await trio.lowlevel.checkpoint()
        topic, _, rest = place.rpartition("/")[0].rpartition("/")
        offset = place.rpartition("/")[2]
        if topic not in self._place.topics or not (rest.isdecimal() and offset.isdecimal()):
            raise ValueError(
                "a record's place is topic/partition/offset, of a topic of this source"
            )
        self._skips.add(_Spot(TopicPartition(topic, int(rest)), int(offset)))

    def alive(self) -> str | None:
        return None if self._failure is None else str(self._failure)

    async def lag(self) -> int | None:
        await self._look_for_topics()
        partitions = list(self._consumer.assignment())
        if not partitions:
            return 0
        with in_time(TIMEOUT):
            ends = await answered(self._consumer.end_offsets, partitions)
            waiting = self._in_hand
            for partition in partitions:
                waiting += ends[partition] - await answered(self._consumer.position, partition)
        return max(0, waiting)

    # --- Of the group ----------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Give the batch in hand the time to be done; called by aiokafka, in asyncio."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._free.wait(), _REVOKED_WAIT)

    async def on_partitions_assigned(self, assigned: object) -> None:
        """The group has given partitions; called by aiokafka, in asyncio."""

    async def _commit(self, offsets: dict[TopicPartition, int], count: int) -> None:
        try:
            with in_time(TIMEOUT):
                await answered(self._consumer.commit, offsets)
        except (SourceAway, SourceRefused) as error:
            # Told by the next call: there may be none, and what was taken comes again.
            self._failure = error
        else:
            self._in_hand -= count
            if not self._in_hand:
                self._free.set()
        self._committed.set()

    def _check_commit(self) -> None:
        """Raise the error with which a commit has failed."""
        if self._failure is not None:
            raise self._failure

    # --- Records ---------------------------------------------------------------------------------

    async def _records(self, limit: int, wait: float) -> dict[TopicPartition, list[Any]]:
        try:
            found: dict[TopicPartition, list[Any]] = await answered(
                self._consumer.getmany, timeout_ms=round(wait * _MS), max_records=limit
            )
        except SourceRefused as error:
            raise SourceRefused(f"{error} (at one of {await self._positions()})") from error
        return found

    async def _positions(self) -> str:
        places = []
        for partition in sorted(self._consumer.assignment()):
            offset = await answered(self._consumer.position, partition)
            places.append(f"{partition.topic}/{partition.partition}/{offset}")
        return ", ".join(places)

    async def _pass_over(self) -> None:
        for spot in self._skips & {
            _Spot(each, await answered(self._consumer.position, each))
            for each in self._consumer.assignment() & {spot.partition for spot in self._skips}
        }:
            self._consumer.seek(spot.partition, spot.offset + 1)
            with in_time(TIMEOUT):
                await answered(self._consumer.commit, {spot.partition: spot.offset + 1})

    async def _look_for_topics(self) -> None:
        with in_time(TIMEOUT):
            there = await answered(self._consumer.topics)
        if missing := sorted(set(self._place.topics) - set(there)):
            raise SourceRefused(f"there is no topic {', '.join(missing)}, or no right to read it")

    def _message(self, record: Any) -> BrokerMessage:
        place = f"{record.topic}/{record.partition}/{record.offset}"
        headers = read_headers(record.headers)
        return BrokerMessage(
            place=place,
            # With the time, because the offsets of a topic that is made again start at 0.
            key=key_of(place, record.timestamp),
            body=record.value or b"",
            token=_Spot(TopicPartition(record.topic, record.partition), record.offset),
            headers=headers,
            correlation=headers.get("correlation-id"),
            at=record.timestamp,
        )


def _consumer(place: TopicsPlace) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        group_id=place.group,
        auto_offset_reset=place.start,
        enable_auto_commit=False,
        isolation_level="read_committed",
        session_timeout_ms=_SESSION_MS,
        heartbeat_interval_ms=_HEARTBEAT_MS,
        max_poll_interval_ms=_POLL_INTERVAL_MS,
        **place.brokers.options(),
    )
