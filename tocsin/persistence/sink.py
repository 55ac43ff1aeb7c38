"""The sink's port: a place in a broker to which receipts are carried.

A *broker sink* is one connection to a broker. It is open for as long as its block, in which `carry`
hands over batches. A batch counts as carried when the broker has confirmed all of it; before that
any part of it may be there. So each receipt is carried at least once, and has an id by which the
program behind the broker knows it again.

Like a source, a sink does not repair itself. It raises, and its forwarder opens another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec


class ReceiptMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt as a message: the same at every attempt.

    *id* is the receipt's. Messages with one *key* keep their order where a broker has order only
    among such. The names of *headers* are in lower case.
    """

    id: str
    kind: str
    key: str
    body: bytes
    headers: Mapping[str, str] = {}


class BrokerSink(Protocol):
    """One connection to a broker. One task uses it."""

    async def carry(self, batch: Sequence[ReceiptMessage]) -> None:
        """Return when the broker has confirmed all of *batch*, which it got in order.

        Raises `SourceAway` if the broker cannot be reached or does not confirm, and `SourceRefused`
        if an operator has to mend something: these are the errors of all connections to brokers.
        Cancelled, or if it raises, any part of the batch may be there.
        """


ConnectSink = Callable[[], AbstractAsyncContextManager[BrokerSink]]
"""Opens a sink for the length of a block; opening raises as `BrokerSink.carry` does."""
