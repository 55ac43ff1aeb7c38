"""The sink's port: a place in a broker to which receipts are carried, or dead messages.

A *broker sink* is one connection to a broker. It is open for as long as its block, in which `carry`
hands over batches. A batch counts as carried when the broker has confirmed all of it; before that
any part of it may be there. So each receipt is carried at least once, and has an id by which the
program behind the broker knows it again.

Like a source, a sink does not repair itself. It raises, and its carrier opens another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Protocol

import msgspec

from tocsin.persistence.source import SourceAway, SourceRefused


class SinkMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt, or a dead message of a connector, as a message: the same at every attempt.

    *id* names it for its receiver. Messages with one *key* keep their order where a broker has
    order only among such. The names of *headers* are in lower case.
    """

    id: str
    kind: str
    key: str
    body: bytes
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"


class BrokerSink(Protocol):
    """One connection to a broker. One task uses it."""

    async def carry(self, batch: Sequence[SinkMessage]) -> None:
        """Return when the broker has confirmed all of *batch*, which it got in order.

        Raises `SourceAway` if the broker cannot be reached or does not confirm, and `SourceRefused`
        if an operator has to mend something: these are the errors of all connections to brokers.
        Cancelled, or if it raises, any part of the batch may be there.
        """


ConnectSink = Callable[[], AbstractAsyncContextManager[BrokerSink]]
"""Opens a sink for the length of a block; opening raises as `BrokerSink.carry` does."""


class KeptSink:
    """Carries over a connection that *connect* makes for the first batch; one task uses it.

    A connection that was idle may have ended unnoticed, so a batch that fails on it is carried once
    more, on a new one. Everything happens in the block in which the sink is used: close it there.
    """

    def __init__(self, connect: ConnectSink) -> None:
        self._connect = connect
        self._stack = AsyncExitStack()
        self._open: BrokerSink | None = None

    async def carry(self, batch: Sequence[SinkMessage]) -> None:
        """As `BrokerSink.carry`; opening raises what that raises."""
        was_open = self._open is not None
        try:
            await self._carry(batch)
        except SourceAway:
            if not was_open:
                raise
            await self._carry(batch)

    async def aclose(self) -> None:
        """Let go of what is open, also if cancelled. Never raises."""
        self._open, stack, self._stack = None, self._stack, AsyncExitStack()
        try:
            await stack.aclose()
        except (SourceAway, SourceRefused):
            return

    async def _carry(self, batch: Sequence[SinkMessage]) -> None:
        try:
            if self._open is None:
                self._open = await self._stack.enter_async_context(self._connect())
            await self._open.carry(batch)
        except (SourceAway, SourceRefused):
            await self.aclose()
            raise
