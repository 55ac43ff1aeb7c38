"""Topics of Kafka as a source, by aiokafka: a member of a consumer group.

The group's committed offsets are the promise: they move on when a batch is durable. Nodes share the
partitions, so order is kept within each partition. Before partitions go to another node, the batch
in hand has some seconds to be done; if it is not, the other node takes it again, and the keys of
the records tell the store.

aiokafka is silent where a topic is missing or deleted, so the topics are looked for at the opening
and with each look at what waits. A record that cannot be unpacked raises at its offset for ever,
and is never skipped in silence: an operator has to say so (`skip`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

import trio
import trio_asyncio
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition, errors

from tocsin.persistence.brokers.loops import connector_loop
from tocsin.persistence.loop_faults import LoopFaults
from tocsin.persistence.source import (
    BrokerMessage,
    Source,
    SourceAway,
    SourceRefused,
    key_of,
    read_headers,
)

T = TypeVar("T")

_START_TIMEOUT: Final = 15.0
"""Seconds to find the brokers and what topics there are."""
_TIMEOUT: Final = 15.0
"""Seconds for an answer of the brokers, beyond the wait that was asked for."""
_CLOSE_TIMEOUT: Final = 2.0
"""Seconds for leaving the group in order; without it, the session has to time out."""
_REVOKED_WAIT: Final = 5.0
"""Seconds that the batch in hand has before its partitions go to another node."""
_SESSION_MS: Final = 10_000
"""Milliseconds without a heartbeat after which the group gives our partitions to others."""
_HEARTBEAT_MS: Final = 2_000
"""Milliseconds between two heartbeats: a few may be lost."""
_POLL_INTERVAL_MS: Final = 120_000
"""Milliseconds without a poll after which aiokafka leaves the group; `hold` polls each second."""
_REQUEST_MS: Final = 10_000
"""Milliseconds for one request of aiokafka's own."""
_METADATA_MS: Final = 10_000
"""Milliseconds after which topics and partitions are looked up anew."""
_MS: Final = 1000
"""Milliseconds in a second: aiokafka counts in the former."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsPlace:
    """Which *topics*, at which brokers (*servers*, host and port each), and the *group* to take as.

    *start* is where a group without offsets begins: `earliest` or `latest`. *security* is the
    protocol's name in Kafka; *sasl* the mechanism, or empty. *ca_file* names an authority's
    certificate, if it is none that the system knows.
    """

    servers: tuple[str, ...]
    topics: tuple[str, ...]
    group: str
    start: str
    security: str = "PLAINTEXT"
    sasl: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None


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
            await _start(consumer)
            source = TopicsSource(consumer, place)
            await source.begin()
            yield source
        finally:
            with trio.move_on_after(_CLOSE_TIMEOUT, shield=True), suppress(Exception):
                await trio_asyncio.aio_as_trio(consumer.stop)()


class TopicsSource(ConsumerRebalanceListener):  # type: ignore[misc]
    """`Source` on a consumer of aiokafka; made by `connect`."""

    def __init__(self, consumer: AIOKafkaConsumer, place: TopicsPlace) -> None:
        self._consumer = consumer
        self._place = place
        self._free = asyncio.Event()
        self._free.set()
        self._in_hand = 0
        self._skips: set[_Spot] = set()

    async def begin(self) -> None:
        """Look for the topics, and subscribe to them."""
        await self._look_for_topics()
        self._consumer.subscribe(list(self._place.topics), listener=self)

    async def take(self, limit: int, wait: float) -> Sequence[BrokerMessage]:
        self._consumer.resume(*self._consumer.paused())
        await self._pass_over()
        with _in_time(wait + _TIMEOUT):
            found = await self._records(limit, wait)
        taken = [self._message(each) for records in found.values() for each in records]
        if taken:
            self._in_hand = len(taken)
            self._free.clear()
        return taken

    async def done(self, taken: Sequence[BrokerMessage]) -> None:
        if not taken:
            return
        last: dict[TopicPartition, int] = {}
        for each in taken:
            last[each.token.partition] = each.token.offset + 1
        with _in_time(_TIMEOUT):
            await _answered(self._consumer.commit, last)
        self._release()

    async def hold(self, taken: Sequence[BrokerMessage]) -> None:
        # Polling keeps the membership; paused partitions give nothing meanwhile.
        self._consumer.pause(*self._consumer.assignment())
        with _in_time(_TIMEOUT):
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
        return None

    async def lag(self) -> int | None:
        await self._look_for_topics()
        partitions = list(self._consumer.assignment())
        if not partitions:
            return 0
        with _in_time(_TIMEOUT):
            ends = await _answered(self._consumer.end_offsets, partitions)
            waiting = self._in_hand
            for partition in partitions:
                waiting += ends[partition] - await _answered(self._consumer.position, partition)
        return max(0, waiting)

    # --- Of the group ----------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Give the batch in hand the time to be done; called by aiokafka, in asyncio."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._free.wait(), _REVOKED_WAIT)

    async def on_partitions_assigned(self, assigned: object) -> None:
        """The group has given partitions; called by aiokafka, in asyncio."""

    def _release(self) -> None:
        self._in_hand = 0
        self._free.set()

    # --- Records ---------------------------------------------------------------------------------

    async def _records(self, limit: int, wait: float) -> dict[TopicPartition, list[Any]]:
        try:
            found: dict[TopicPartition, list[Any]] = await _answered(
                self._consumer.getmany, timeout_ms=round(wait * _MS), max_records=limit
            )
        except SourceRefused as error:
            raise SourceRefused(f"{error} (at one of {await self._positions()})") from error
        return found

    async def _positions(self) -> str:
        places = []
        for partition in sorted(self._consumer.assignment()):
            offset = await _answered(self._consumer.position, partition)
            places.append(f"{partition.topic}/{partition.partition}/{offset}")
        return ", ".join(places)

    async def _pass_over(self) -> None:
        for spot in self._skips & {
            _Spot(each, await _answered(self._consumer.position, each))
            for each in self._consumer.assignment() & {spot.partition for spot in self._skips}
        }:
            self._consumer.seek(spot.partition, spot.offset + 1)
            with _in_time(_TIMEOUT):
                await _answered(self._consumer.commit, {spot.partition: spot.offset + 1})

    async def _look_for_topics(self) -> None:
        with _in_time(_TIMEOUT):
            there = await _answered(self._consumer.topics)
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


async def _start(consumer: AIOKafkaConsumer) -> None:
    """Connect *consumer*. Cancelled, it has a moment to come to its end: aiokafka leaves sockets
    open that it was opening.
    """
    started = trio.Event()
    scope = trio.CancelScope(shield=True)

    async def start() -> None:
        with scope, _in_time(_START_TIMEOUT):
            await _answered(consumer.start)
        started.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start)
        try:
            await started.wait()
        finally:
            scope.deadline = trio.current_time() + _CLOSE_TIMEOUT


def _consumer(place: TopicsPlace) -> AIOKafkaConsumer:
    options: dict[str, Any] = {"security_protocol": place.security}
    if place.security.endswith("SSL"):
        context = ssl.create_default_context(cafile=place.ca_file)
        # From 3.13 on, Python asks for extensions that `openssl req -x509` leaves out.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        options["ssl_context"] = context
    if place.sasl:
        options |= {
            "sasl_mechanism": place.sasl,
            "sasl_plain_username": place.user,
            "sasl_plain_password": place.password,
        }
    return AIOKafkaConsumer(
        bootstrap_servers=list(place.servers),
        group_id=place.group,
        auto_offset_reset=place.start,
        enable_auto_commit=False,
        isolation_level="read_committed",
        session_timeout_ms=_SESSION_MS,
        heartbeat_interval_ms=_HEARTBEAT_MS,
        max_poll_interval_ms=_POLL_INTERVAL_MS,
        request_timeout_ms=_REQUEST_MS,
        metadata_max_age_ms=_METADATA_MS,
        **options,
    )


@contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    """Raise `SourceAway` if the block takes longer than *seconds*."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise SourceAway(f"the brokers did not answer within {seconds:g} s") from None


_REFUSALS: Final = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.UnknownTopicOrPartitionError,
    errors.UnsupportedCodecError,
    errors.CorruptRecordException,
    errors.InvalidTopicError,
    ssl.SSLError,
)
"""Errors that an operator has to mend."""


async def _answered(call: Callable[..., Awaitable[T]], *arguments: Any, **options: Any) -> T:
    """The answer to *call* of aiokafka, from Trio. Raises `SourceAway` and `SourceRefused`."""
    try:
        answer: T = await trio_asyncio.aio_as_trio(call)(*arguments, **options)
    except _REFUSALS as error:
        raise SourceRefused(_described(error)) from error
    except (errors.KafkaError, OSError) as error:
        raise SourceAway(_described(error)) from error
    return answer


def _described(error: BaseException) -> str:
    """*error* in a line of bounded length."""
    return f"{type(error).__name__}: {str(error)[:200]}"
