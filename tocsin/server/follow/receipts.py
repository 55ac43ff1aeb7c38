"""Following the receipts' log: pages of it, for a long poll and for a stream.

A credential that reads the log is noted in the store, because receipts are written only while they
are wanted. It is noted before it is answered the first time, so nothing of what happens behind that
answer is missing; and again each hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import trio

from tocsin.persistence.store.receipt_queries import ReadReceipts, ReceiptPage
from tocsin.persistence.store.sink_commands import READERS_MAX, FollowReceipts
from tocsin.protocol.closing import Closing
from tocsin.protocol.cursor import Cursor, ResetReason
from tocsin.protocol.receipts import ANSWERS, Filter, receipt_fields
from tocsin.protocol.refusal import Refused
from tocsin.server.follow.sse_events import COMMENT, event, goodbye, retry
from tocsin.server.services import Services

_NOTED_FOR: Final = 3600.0
"""Seconds after which a reader is noted again: often enough for any `receipt_retention`."""
_SILENCE_MAX: Final = 20.0
"""Seconds of silence on a stream before a comment: less than the 25 that the contract says."""
_PAGE: Final = 100
"""Receipts in one chunk of a stream."""
_RETRY: Final = 2.0
"""Seconds before an EventSource comes back that heard no goodbye."""


@dataclass(slots=True)
class ReceiptReader:
    """One reader at its place; *cursor* is where it goes on. *reset* says why it began anew."""

    services: Services
    filter: Filter
    cursor: Cursor
    reset: str | None = None

    async def page(self, limit: int) -> ReceiptPage:
        """The next receipts, and move behind them; raises `Refused`."""
        services = self.services
        start = self.cursor
        if start.epoch != services.epoch:
            self.reset, start = ResetReason.EPOCH, Cursor(services.epoch, 0, everything=True)
        page = await services.read(ReadReceipts(start.sequence, self.filter, limit))
        if start.sequence > page.head:
            # Of a log that was longer than ours, such as one that was restored from a backup.
            self.reset, start = ResetReason.EPOCH, Cursor(services.epoch, 0, everything=True)
            page = await services.read(ReadReceipts(0, self.filter, limit))
        elif start.sequence < page.horizon and not start.everything and self.reset is None:
            self.reset = ResetReason.HORIZON
        self.cursor = Cursor(services.epoch, page.through)
        return page

    async def wait(self, seconds: float, limit: int) -> ReceiptPage:
        """The next receipts, waiting for the first; an empty page after *seconds*."""
        deadline = trio.current_time() + seconds
        while True:
            page = await self.page(limit)
            left = deadline - trio.current_time()
            if page.receipts or self.reset is not None or left <= 0:
                return page
            if page.through >= page.head:
                await self.services.receipts.wait(min(left, 1.0))


async def start_reading(
    services: Services, credential: str, wanted: Filter, cursor: Cursor | None
) -> ReceiptReader:
    """A reader at *cursor*, or at the head of the log; raises `Refused`."""
    await _note(services, credential, all_kinds=not ANSWERS.isdisjoint(wanted.events))
    if cursor is None:
        page = await services.read(ReadReceipts(2**53, wanted, 1))
        cursor = Cursor(services.epoch, page.head)
    return ReceiptReader(services, wanted, cursor)


async def _note(services: Services, credential: str, *, all_kinds: bool) -> None:
    readers, now = services.receipts.readers, trio.current_time()
    noted = f"{credential} {all_kinds:d}"
    if now < readers.get(noted, 0.0):
        return
    reader = f"reader:{credential}"
    await services.write(FollowReceipts(reader, services.world.now_ms(), all_kinds=all_kinds))
    readers.pop(noted, None)
    readers[noted] = now + _NOTED_FOR
    if len(readers) > READERS_MAX:
        del readers[next(iter(readers))]


def views(page: ReceiptPage, epoch: str) -> list[Mapping[str, Any]]:
    """The receipts of *page* as they go over the wire."""
    return [receipt_fields(each, epoch) for each in page.receipts]


class ReceiptStream:
    """The events of one reader, for ever: the body of a response that lasts."""

    def __init__(self, reader: ReceiptReader) -> None:
        self._reader = reader
        self._begun = self._ended = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Nothing is held that would have to be given back."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk; to be asked for it means that the last one was taken by the socket."""
        if self._ended:
            raise StopAsyncIteration
        if not self._begun:
            self._begun = True
            return retry(_RETRY) + COMMENT
        try:
            return await self._next()
        except Refused:
            self._ended = True
            return goodbye(Closing.STORE_UNAVAILABLE, Closing.STORE_UNAVAILABLE.after)

    async def _next(self) -> bytes:
        reader = self._reader
        deadline = trio.current_time() + _SILENCE_MAX
        while trio.current_time() < deadline:
            if reader.services.readiness.stopping:
                self._ended = True
                return goodbye(Closing.DRAINING, Closing.DRAINING.after)
            page = await reader.wait(1.0, _PAGE)
            if page.receipts or reader.reset is not None:
                return self._events(page)
        return COMMENT

    def _events(self, page: ReceiptPage) -> bytes:
        reader, chunks = self._reader, []
        if reader.reset is not None:
            chunks.append(event("reset", msgspec.json.encode({"reason": str(reader.reset)})))
            reader.reset = None
        epoch = reader.services.epoch
        for receipt, view in zip(page.receipts, views(page, epoch), strict=True):
            place = b"id: %b\n" % str(Cursor(epoch, receipt.position)).encode()
            chunks.append(place + event("receipt", msgspec.json.encode(view)))
        return b"".join(chunks)
