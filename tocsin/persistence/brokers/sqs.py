"""A queue of SQS as a source: short batches, long polls, and a time for which they are ours.

SQS keeps a message from other receivers for the queue's *visibility* time once it was received, and
gives it again afterwards unless it was deleted. So what a dead node had in hand comes again after
that time. The time of what is in hand here is extended at its half.

A poll is let end, for a moment, when `take` is cancelled: messages on their way to a connection
that has gone would be hidden for the visibility time, and with them all of their group.

Standard queues have no order. A FIFO queue keeps that of each message group, since it gives no more
of a group while some of it is in hand.
"""

from __future__ import annotations

import base64
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import trio

from tocsin.persistence.brokers.sqs_client import BATCH_MAX, SqsClient, SqsPlace, open_sqs
from tocsin.persistence.source import (
    BrokerMessage,
    Source,
    SourceAway,
    SourceRefused,
    key_of,
    read_headers,
)

_WAIT_MAX: Final = 20
"""Seconds that SQS lets a poll wait at most."""
_GIVE_BACK_TIMEOUT: Final = 1.0
"""Seconds for giving back what is in hand; what remains comes again after the visibility time."""
_GRACE: Final = 1.0
"""Seconds for which a poll is let end when `take` is cancelled."""
_DELETIONS: Final = 2
"""Attempts to delete a batch: SQS may fail on some of its entries, and asks for a repetition."""


@asynccontextmanager
async def connect(place: SqsPlace) -> AsyncIterator[Source]:
    """Open the queue at *place*; as `Connect`."""
    async with open_sqs(place) as client:
        source = SqsSource(client, place)
        await source.begin()
        try:
            yield source
        finally:
            with (
                trio.move_on_after(_GIVE_BACK_TIMEOUT, shield=True),
                suppress(SourceAway, SourceRefused),
            ):
                await source.give_back()


class SqsSource:
    """`Source` on calls of SQS; made by `connect`."""

    def __init__(self, client: SqsClient, place: SqsPlace) -> None:
        self._client = client
        self._place = place
        self._in_hand: list[str] = []
        """Receipt handles, by which SQS knows what was received."""
        self._hidden_until = math.inf
        """When (Trio's time) the first of them comes again."""
        self._arrived: list[dict[str, Any]] = []
        """Received, and not taken yet: a `take` was cancelled meanwhile."""

    async def begin(self) -> None:
        """See that the queue is there, and that we may ask about it."""
        await self.lag()

    async def take(self, limit: int, wait: float) -> Sequence[BrokerMessage]:
        failure: SourceAway | SourceRefused | None = None
        ended, scope = trio.Event(), trio.CancelScope(shield=True)

        async def receive() -> None:
            nonlocal failure
            with scope:
                try:
                    await self._gather(limit, min(wait, _WAIT_MAX))
                except (SourceAway, SourceRefused) as error:
                    failure = error
            ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            try:
                await ended.wait()
            finally:
                scope.deadline = trio.current_time() + _GRACE
        if failure is not None:
            raise failure
        found, self._arrived = self._arrived[:limit], self._arrived[limit:]
        return [self._message(each) for each in found]

    async def done(self, taken: Sequence[BrokerMessage]) -> None:
        entries = [{"ReceiptHandle": each.token} for each in taken]
        for _ in range(_DELETIONS):
            pollers = self._place.pollers
            failed = await self._client.each("DeleteMessageBatch", entries, calls=pollers)
            # A handle that is not valid any more is of a message that comes again: the store knows.
            entries = [entries[int(each["Id"])] for each in failed if not each.get("SenderFault")]
            if not entries:
                break
        else:
            raise SourceAway(f"SQS has not deleted {len(entries)} messages")
        self._forget({each.token for each in taken})

    async def hold(self, taken: Sequence[BrokerMessage]) -> None:
        await trio.lowlevel.checkpoint()
        if trio.current_time() < self._hidden_until - self._place.visibility / 2:
            return
        if await self._hide(self._place.visibility):
            raise SourceAway("SQS has given messages back that were in hand")

    async def skip(self, place: str) -> None:
        raise ValueError("every message of a queue can be read")

    def alive(self) -> str | None:
        return None

    async def lag(self) -> int | None:
        name = "ApproximateNumberOfMessages"
        answer = await self._client.call("GetQueueAttributes", AttributeNames=[name])
        said = (answer.get("Attributes") or {}).get(name, "0")
        return int(said) + len(self._in_hand) if str(said).isdecimal() else None

    async def give_back(self) -> None:
        """Let what is in hand come again at once."""
        if self._in_hand:
            await self._hide(0)

    # --- Calls -----------------------------------------------------------------------------------

    async def _gather(self, limit: int, wait: float) -> None:
        """Receive until *limit* messages have arrived, or the queue has no more at the moment."""
        if not self._arrived and await self._receive(min(limit, BATCH_MAX), wait) < BATCH_MAX:
            return
        reserved, dry = len(self._arrived), False
        failure: SourceAway | SourceRefused | None = None

        async def poll() -> None:
            nonlocal reserved, dry, failure
            while not dry and (count := min(limit - reserved, BATCH_MAX)) > 0:
                reserved += count
                try:
                    came = await self._receive(count, 0.0)
                except (SourceAway, SourceRefused) as error:
                    failure, dry = error, True
                    return
                reserved -= count - came
                dry |= came < count

        async with trio.open_nursery() as nursery:
            # One alone keeps the order in which a FIFO queue gives its messages.
            for _ in range(1 if self._place.is_fifo else self._place.pollers):
                nursery.start_soon(poll)
        if failure is not None:
            raise failure

    async def _receive(self, limit: int, wait: float) -> int:
        """Receive at most *limit* messages; the number of those that have arrived."""
        asked_at = trio.current_time()
        answer = await self._client.call(
            "ReceiveMessage",
            wait=wait,
            MaxNumberOfMessages=limit,
            WaitTimeSeconds=math.ceil(wait),
            VisibilityTimeout=self._place.visibility,
            # Both names of one thing: the second one is newer.
            AttributeNames=["SentTimestamp"],
            MessageSystemAttributeNames=["SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        came: list[dict[str, Any]] = answer.get("Messages") or []
        if came:
            self._arrived += came
            self._in_hand += [each["ReceiptHandle"] for each in came]
            self._hidden_until = min(self._hidden_until, asked_at + self._place.visibility)
        return len(came)

    async def _hide(self, seconds: int) -> list[dict[str, Any]]:
        """Have all that is in hand come again in so many *seconds*; what SQS did not do."""
        entries = [
            {"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle in self._in_hand
        ]
        self._hidden_until = trio.current_time() + seconds if entries else math.inf
        return await self._client.each("ChangeMessageVisibilityBatch", entries)

    def _forget(self, handles: set[Any]) -> None:
        self._in_hand = [each for each in self._in_hand if each not in handles]
        if not self._in_hand:
            self._hidden_until = math.inf

    # --- Messages --------------------------------------------------------------------------------

    def _message(self, message: Mapping[str, Any]) -> BrokerMessage:
        headers = read_headers(_attributes(message.get("MessageAttributes") or {}))
        sent = str((message.get("Attributes") or {}).get("SentTimestamp", ""))
        name = key_of(self._place.name, message["MessageId"])
        return BrokerMessage(
            place=name,
            # Not a FIFO queue's deduplication id: SQS itself lets that come again after 5 minutes,
            # and where it is made of the body, news that says the same is news all the same.
            key=name,
            body=str(message.get("Body", "")).encode(errors="replace"),
            token=message["ReceiptHandle"],
            headers=headers,
            correlation=headers.get("correlation-id"),
            at=int(sent) if sent.isdecimal() else None,
        )


def _attributes(attributes: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """The attributes of a message by name: texts, numbers as texts, and bytes."""
    for name, value in attributes.items():
        if isinstance(text := value.get("StringValue"), str):
            yield name, text
        elif isinstance(encoded := value.get("BinaryValue"), str):
            with suppress(ValueError):
                yield name, base64.b64decode(encoded)
