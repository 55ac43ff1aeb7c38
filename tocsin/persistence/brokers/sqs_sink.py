"""A queue of SQS as a sink: batches of ten, which a FIFO queue orders by their keys.

The id of a receipt is a FIFO queue's deduplication id, so what is carried twice within five minutes
is there once.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tocsin.persistence.brokers.sqs_client import BATCH_MAX, SqsClient, SqsPlace, open_sqs
from tocsin.persistence.sink import BrokerSink, SinkMessage
from tocsin.persistence.source import SourceAway, SourceRefused, key_of

_ATTRIBUTES_MAX: Final = 10
"""Attributes of a message: SQS refuses more."""
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no message of SQS may have (`SendMessage` in its API reference)."""


@asynccontextmanager
async def connect_sink(place: SqsPlace) -> AsyncIterator[BrokerSink]:
    """Open the queue at *place*; as `ConnectSink`."""
    async with open_sqs(place) as client:
        await client.call("GetQueueAttributes", AttributeNames=["QueueArn"])
        yield SqsSink(client, place)


class SqsSink:
    """`BrokerSink` on calls of SQS; made by `connect_sink`."""

    def __init__(self, client: SqsClient, place: SqsPlace) -> None:
        self._client = client
        self._place = place

    async def carry(self, batch: Sequence[SinkMessage]) -> None:
        entries = [self._entry(each) for each in batch]
        for first in range(0, len(entries), BATCH_MAX):
            # No later ones while some have failed: they would be ahead of them.
            some = entries[first : first + BATCH_MAX]
            if failed := await self._client.each("SendMessageBatch", some):
                error = SourceRefused if failed[0].get("SenderFault") else SourceAway
                raise error(f"SQS has not taken a message: {failed[0].get('Code')}")

    def _entry(self, message: SinkMessage) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "MessageBody": _allowed(message.body.decode(errors="replace")),
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": _allowed(text)}
                for name, text in list(message.headers.items())[:_ATTRIBUTES_MAX]
                if text
            },
        }
        if self._place.is_fifo:
            entry["MessageGroupId"] = key_of(message.key)[:128]
            entry["MessageDeduplicationId"] = message.id
        return entry


def _allowed(text: str) -> str:
    """*text* with marks for the characters that SQS refuses, with the whole batch."""
    return _FORBIDDEN.sub("\ufffd", text)
