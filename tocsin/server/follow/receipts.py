"""Following the receipts' log: pages of it, for a long poll and for a stream.

A credential that reads the log is noted in the store, because receipts are written only while they
are wanted. It is noted before it is answered the first time, so nothing of what happens behind that
answer is missing; and again each hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import trio

from tocsin.persistence.store.receipt_queries import ReadReceipts, ReceiptPage
from tocsin.persistence.store.sink_commands import READERS_MAX, FollowReceipts
from tocsin.protocol.closing import Closing
from tocsin.protocol.log.cursor import Cursor, ResetReason
from tocsin.protocol.receipts.receipt import ANSWERS, Filter, receipt_fields
from tocsin.protocol.refusal import Refused
from tocsin.server.auth.principal import Principal
from tocsin.server.credential_watch import Permit
from tocsin.server.follow.event_stream import EventStream
from tocsin.server.follow.sse_events import event
from tocsin.server.services import Services

_NOTED_FOR: Final = 3600.0
"""Seconds after which a reader is noted again: often enough for any `receipt_retention`."""
_PAGE: Final = 100
"""Receipts in one chunk of a stream."""


@dataclass(slots=True)
class ReceiptReader:
    """One reader at its place; *cursor* is where it goes on. *reset* says why it began anew."""

    services: Services
    filter: Filter
    cursor: Cursor
    reset: str | None = None

    async def page(self, limit: int) -> ReceiptPage:
        """The next receipts, and move behind them; raises `Refused`.

        Cancelled, the reader stays at its place.
        """
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

    async def wait(self, seconds: float, limit: int, permit: Permit | None = None) -> ReceiptPage:
        """The next receipts, waiting for the first; an empty page after *seconds*.

        Raises `Refused`, and `Unauthenticated` when *permit* is taken back. Cancelling passes over
        no receipt.
        """
        deadline = trio.current_time() + seconds
        while True:
            if permit is not None:
                permit.check()
            page = await self.page(limit)
            left = deadline - trio.current_time()
            if page.receipts or self.reset is not None or left <= 0:
                return page
            if page.through >= page.head:
                await self.services.receipts.wait(min(left, 1.0))


async def start_reading(
    services: Services, credential: str, wanted: Filter, cursor: Cursor | None
) -> ReceiptReader:
    """A reader at *cursor*, or at the head of the log; raises `Refused`.

    Cancelled, the credential may have been noted as one that reads.
    """
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


class ReceiptStream(EventStream):
    """The events of one reader."""

    def __init__(self, reader: ReceiptReader, principal: Principal) -> None:
        super().__init__(reader.services, principal)
        self._reader = reader

    async def gather(self, seconds: float) -> bytes:
        """The next receipts; a goodbye where the store is away. Cancelling passes over none."""
        reader = self._reader
        try:
            page = await reader.wait(seconds, _PAGE)
        except Refused:
            return self.end(Closing.STORE_UNAVAILABLE)
        return self._events(page) if page.receipts or reader.reset is not None else b""

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
