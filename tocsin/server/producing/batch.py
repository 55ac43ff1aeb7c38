"""A batch: up to a thousand notifications in one request, each on its own.

Reading and publishing are apart. A batch that is too long is refused before anything of it is
stored, so it is read to its end first; of what arrives, only the drafts are kept. An item that
cannot be read takes its place among them as the problem that it is.

Publishing keeps a window of items on their way. They share the store's transactions, and they are
handed over in the order in which they were written, without a task for each. Where the store has no
room, the batch waits: that is backpressure, and the producer sees it as a slow answer.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterable, Iterator
from typing import Any, Final

import msgspec
import trio

from tocsin.actors.delivery.timing import Via
from tocsin.actors.runtime.ref import Reply
from tocsin.actors.spool.entries import Committal
from tocsin.protocol.notifications.notification import Draft
from tocsin.protocol.refusal import Refused, refuse
from tocsin.server.auth.principal import Principal
from tocsin.server.decoding import decode, decode_outside
from tocsin.server.producing.publishing import (
    Published,
    Publishing,
    Waited,
    check_key,
    published,
)

ITEMS_MAX: Final = 1000
"""Notifications in one batch: all are decoded and held in memory until they are stored."""
_WINDOW: Final = 256
"""Items on their way to the store at once: enough to fill a transaction."""
_WINDOW_RECIPIENTS: Final = 1000
"""Recipients of them, or one item: what a transaction takes. So whoever posts with the same
credential waits for one of the batch's, and not for all of it."""
_BLANK: Final = b" \t\r\n"
# A body that is nothing but newlines is one ending, not millions.
_LINE_ENDING: Final = re.compile(rb"\n[ \t\r\n]*")
_PAUSE: Final = 0.05
"""Seconds between two looks at a store that has no room."""
_ROOM_TIMEOUT: Final = 30.0
"""Seconds that one item waits for room."""
_BURST: Final = 32 * 1024
"""Bytes of items read without letting others run; each counts a little more than it has."""
_ITEM_BYTES: Final = 256
"""Bytes that each item counts beside its text: what decoding an empty one costs."""


class BatchItem(Draft, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A notification as `POST /v1/notifications` takes it, with its own idempotency key."""

    idempotency_key: str | None = None


Item = BatchItem | Refused
Outcome = Published | Refused


# --- Reading --------------------------------------------------------------------------------------


# The fields of an array; one more than there may be tells that there are too many. A list would
# hold an object for each of the eight million zeros that fit into a body before they are counted.
_Array: Final[Any] = msgspec.defstruct(
    "_Array",
    [(f"item_{index}", msgspec.Raw, msgspec.Raw()) for index in range(ITEMS_MAX + 1)],
    array_like=True,
)


async def read_array(body: AsyncIterable[bytes], item_bytes_max: int) -> list[Item]:
    """The items of a JSON array; raises `Refused` for what is none, or too long.

    Cancelling leaves the rest of *body* unread.
    """
    text = bytearray()
    async for data in body:
        text += data
    array = decode_outside(_Array, bytes(text))
    reader = ItemReader(item_bytes_max)
    for name in array.__struct_fields__:
        raw = getattr(array, name)
        if not bytes(raw):
            break
        reader.add(bytes(raw))
        if reader.has_read_much():
            await trio.lowlevel.checkpoint()
    return reader.finish()


async def read_lines(body: AsyncIterable[bytes], item_bytes_max: int) -> list[Item]:
    """The items of NDJSON, read as they arrive; raises `Refused` for too many, or none.

    Cancelling leaves the rest of *body* unread.
    """
    lines = Lines(item_bytes_max)
    reader = ItemReader(item_bytes_max)
    async for data in body:
        for line in lines.feed(data):
            reader.add(line)
            if reader.has_read_much():
                await trio.lowlevel.checkpoint()
    for line in lines.end():
        reader.add(line)
    return reader.finish()


class ItemReader:
    """Reads items one by one, and keeps what they say, or what is wrong with them."""

    def __init__(self, item_bytes_max: int) -> None:
        self._item_bytes_max = item_bytes_max
        self.items: list[Item] = []
        self._read_bytes = 0

    def add(self, text: bytes) -> None:
        """Read one more; raises `Refused` if it is one too many."""
        if len(self.items) == ITEMS_MAX:
            raise refuse("too_large", f"A batch has at most {ITEMS_MAX} notifications.")
        self._read_bytes += len(text) + _ITEM_BYTES
        try:
            self.items.append(self._read(text))
        except Refused as error:
            self.items.append(error)

    def has_read_much(self) -> bool:
        """Whether it is others' turn; then the count begins anew."""
        if is_much := self._read_bytes >= _BURST:
            self._read_bytes = 0
        return is_much

    def finish(self) -> list[Item]:
        """All of them; raises `Refused` if there are none."""
        if not self.items:
            raise refuse("invalid", "The batch is empty.")
        return self.items

    def _read(self, text: bytes) -> BatchItem:
        if len(text) > self._item_bytes_max:
            raise refuse("too_large", f"An item has at most {self._item_bytes_max} bytes.")
        return decode(BatchItem, text)


class Lines:
    """Cuts what arrives in pieces into lines; blank ones are left out, and what is blank in front.

    Of a line longer than *line_bytes_max* only so much is kept as shows that it is too long.
    """

    def __init__(self, line_bytes_max: int) -> None:
        self._kept_max = line_bytes_max + 1
        self._partial = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that *data* completes."""
        start = 0
        for ending in _LINE_ENDING.finditer(data):
            self._keep(data[start : ending.start()])
            yield from self.end()
            start = ending.end()
        self._keep(data[start:])

    def end(self) -> Iterator[bytes]:
        """The last line, which needs no newline."""
        if self._partial:
            yield bytes(self._partial)
            self._partial.clear()

    def _keep(self, piece: bytes) -> None:
        if not self._partial:
            piece = piece.lstrip(_BLANK)
        self._partial += piece[: self._kept_max - len(self._partial)]


# --- Publishing -----------------------------------------------------------------------------------


class _OnItsWay(msgspec.Struct, frozen=True):
    """An item that the store was told of; the answer has to come by *deadline* (Trio time)."""

    index: int
    draft: Draft
    key: str | None
    waited: Waited | None
    reply: Reply[Committal]
    deadline: float


async def publish_all(
    publishing: Publishing,
    principal: Principal,
    items: list[Item],
    key: str | None,
    trace: str | None = None,
) -> list[Outcome]:
    """Publish *items*; what became of each, in order. Raises `Refused` for the whole only if
    *key* cannot be used: it is that of item i as `<key>#<i>`, counted from 0, unless i has one.

    *trace* is the request's `traceparent`. Cancelled, any of them may have been published.
    """
    if key is not None:
        check_key(key)
        check_key(f"{key}#{len(items)}")  # no item's will be longer
    batch = PostWindow(publishing, principal, len(items), trace)
    for index, item in enumerate(items):
        if isinstance(item, Refused):
            batch.outcomes[index] = item
            continue
        own = item.idempotency_key
        if own is None and key is not None:
            own = f"{key}#{index}"
        # A draft with a key among its fields would mean something else: see `_draft`.
        await batch.submit(index, item if own is None else _draft(item), own)
    return await batch.finish()


def is_replayed(items: list[Item], outcomes: list[Outcome]) -> bool:
    """Whether *outcomes* is the answer to *items* that was given before.

    An unreadable item is the same problem each time; all others must have been stored before.
    """
    stored = [
        isinstance(outcome, Published) and outcome.replayed
        for item, outcome in zip(items, outcomes, strict=True)
        if not isinstance(item, Refused)
    ]
    return bool(stored) and all(stored)


class PostWindow:
    """Posts on their way to the store, `_WINDOW` at most, and their *outcomes* by index.

    *outcomes* has `None` for each that has not been settled yet. *trace* is the request's
    `traceparent`. Cancelling a method recalls none: those on their way may be stored all the same.
    """

    def __init__(
        self, publishing: Publishing, principal: Principal, count: int, trace: str | None = None
    ) -> None:
        self._publishing = publishing
        self._trace = trace
        self._principal = principal
        self._window: deque[_OnItsWay] = deque()
        self._recipients = 0
        self.outcomes: list[Outcome | None] = [None] * count

    async def submit(
        self, index: int, draft: Draft, key: str | None, waited: Waited | None = None
    ) -> None:
        """Hand over one more, when the window has room."""
        if key is not None and any(key == each.key for each in self._window):
            # The same key twice in one batch: the second is answered as the first was.
            await self.settle()
        while self._window and not self._has_room(draft):
            await self._settle_oldest()
        self._put(self._hand_over(index, draft, key, waited))

    async def finish(self) -> list[Outcome]:
        """Wait for all of them."""
        await self.settle()
        return [each for each in self.outcomes if each is not None]

    def _has_room(self, draft: Draft) -> bool:
        few = self._recipients + _recipients(draft) <= _WINDOW_RECIPIENTS
        return few and len(self._window) < _WINDOW

    def _put(self, item: _OnItsWay) -> None:
        self._window.append(item)
        self._recipients += _recipients(item.draft)

    async def _settle_oldest(self) -> None:
        oldest = self._window.popleft()
        self._recipients -= _recipients(oldest.draft)
        if await self._is_full(oldest):
            self._window.appendleft(self._again(oldest))
            await self.settle()

    async def settle(self) -> None:
        """Wait for the whole window; what the store had no room for is tried until it has."""
        give_up_at = trio.current_time() + _ROOM_TIMEOUT
        while self._window:
            refused = [each for each in self._window if await self._is_full(each)]
            self._window.clear()
            self._recipients = 0
            if not refused or trio.current_time() > give_up_at:
                return
            await trio.sleep(_PAUSE)
            for each in refused:
                self._put(self._again(each))

    async def _is_full(self, item: _OnItsWay) -> bool:
        """Wait for what becomes of *item*, note it, and tell if it is that there was no room."""
        try:
            self.outcomes[item.index] = published(
                await self._publishing.answer(item.reply, item.deadline)
            )
        except Refused as error:
            self.outcomes[item.index] = error
            return error.problem.code == "overloaded"
        return False

    def _again(self, item: _OnItsWay) -> _OnItsWay:
        return self._hand_over(item.index, item.draft, item.key, item.waited)

    def _hand_over(
        self, index: int, draft: Draft, key: str | None, waited: Waited | None
    ) -> _OnItsWay:
        reply: Reply[Committal] = Reply()
        via: Via = "batch" if waited is None else "broker"
        try:
            self._publishing.submit(self._principal, draft, key, reply, waited, self._trace, via)
        except Refused as error:
            reply.fail(error)
        deadline = self._publishing.new_deadline()
        return _OnItsWay(index, draft, key, waited, reply, deadline)


def _recipients(draft: Draft) -> int:
    return len(draft.to.users or ())


def _draft(item: BatchItem) -> Draft:
    """*item* without its key, so that the key means the same as it does with a single post."""
    return Draft(**{name: getattr(item, name) for name in Draft.__struct_fields__})
