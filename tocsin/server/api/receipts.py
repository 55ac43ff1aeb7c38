"""Receipts for producers: the log as a long poll and as a stream."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from tocsin.protocol.problems import FieldError
from tocsin.protocol.receipts.receipt import USUAL, Filter, ReceiptKind
from tocsin.protocol.refusal import refuse
from tocsin.server.api.answers import Answering, Timestamp
from tocsin.server.api.operation import (
    CACHING,
    UNBUFFERED,
    Answer,
    Call,
    Caller,
    Header,
    Operations,
    Streamed,
    UrlQuery,
    given,
)
from tocsin.server.api.streams import WAIT_MAX, GivenCursor
from tocsin.server.attachment import check_running, read_cursor
from tocsin.server.follow.receipts import ReceiptReader, ReceiptStream, start_reading, views
from tocsin.server.follow.stream_refusal import UNKEPT

operations = Operations("receipts")

_LIMIT_MAX: Final = 1000
"""Receipts in one answer, so that encoding it does not keep others waiting."""
_KIND: Final = "|".join(ReceiptKind)
Kinds = Annotated[
    str,
    Meta(
        pattern=rf"^({_KIND})(,({_KIND})){{0,{len(ReceiptKind) - 1}}}$(?!\n)",
        description="The kinds that are wanted, between commas; absent, all but `accepted` and "
        "`refused`.",
    ),
]


class ReceiptsQuery(UrlQuery, frozen=True, kw_only=True):
    """Which receipts, and how long to wait for the first (seconds); the node may wait less."""

    cursor: GivenCursor | UnsetType = UNSET
    wait: Annotated[float, Meta(ge=0, le=WAIT_MAX)] = 0.0
    limit: Annotated[int, Meta(ge=1, le=_LIMIT_MAX)] = 100
    kinds: Kinds | UnsetType = UNSET


class ReceiptStreamQuery(UrlQuery, frozen=True, kw_only=True):
    """Where the stream begins, and what is wanted."""

    cursor: GivenCursor | UnsetType = UNSET
    kinds: Kinds | UnsetType = UNSET


class ReceiptView(Answering, frozen=True, kw_only=True):
    """A fact about a notification, the same on all ways out."""

    id: str
    kind: str
    at: Timestamp
    notification: str | None
    category: str | None
    user: str | None
    device: str | None
    channel: str | None
    detail: Any


class ReceiptList(Answering, frozen=True, kw_only=True):
    """The receipts; go on with *cursor*, at once if there is *more*.

    With *reset*, some are missing in front of these: *reason* says why.
    """

    receipts: list[ReceiptView]
    cursor: str
    more: bool
    reset: bool
    reason: str | None


@operations.define(
    *("GET", "/v1/receipts", "Receipts after a cursor, waiting for the first (long poll)"),
    caller=Caller.NOTIFY,
    query=ReceiptsQuery,
    sends=(CACHING,),
    answers={200: ReceiptList},
    acts=True,
)
async def poll_receipts(call: Call[ReceiptsQuery, None]) -> Answer:
    """Without a cursor, what happens from now on; with `0`, all that is kept.

    Receipts are written while a webhook or a reader wants them: a credential that reads is a reader
    for `receipt_retention`, from its first call on.
    """
    services, query = call.services, call.query
    check_running(services)
    reader = await _reader(call, given(query.cursor), given(query.kinds))
    permit = services.credential_watch.enter(call.principal)
    try:
        wait = min(query.wait, services.settings.poll_wait_max)
        page = await reader.wait(wait, query.limit, permit)
    finally:
        services.credential_watch.closed(permit)
    listed: Any = views(page, services.epoch)
    reason = None if reader.reset is None else str(reader.reset)
    answer = ReceiptList(
        receipts=listed,
        cursor=str(reader.cursor),
        more=page.through < page.head,
        reset=reason is not None,
        reason=reason,
    )
    return Answer(answer, headers={"Cache-Control": "no-store"})


@operations.define(
    *("GET", "/v1/receipts/stream", "Follow the receipts as a stream of events (SSE)"),
    caller=Caller.NOTIFY,
    query=ReceiptStreamQuery,
    headers=(Header("Last-Event-ID", "The id of the last event; goes before `cursor`."),),
    sends=(CACHING, UNBUFFERED),
    answers={200: str},
    produces="text/event-stream",
    acts=True,
)
async def stream_receipts(call: Call[ReceiptStreamQuery, None]) -> Streamed:
    """Events: `receipt`, `reset`, `goodbye`. A stream that comes back goes on where it stopped."""
    check_running(call.services)
    last = call.headers["Last-Event-ID"]
    text = last or given(call.query.cursor)
    reader = await _reader(call, text, given(call.query.kinds))
    return Streamed(ReceiptStream(reader, call.principal), dict(UNKEPT))


async def _reader(call: Call[Any, Any], text: str | None, kinds: str | None) -> ReceiptReader:
    services = call.services
    if text is not None and len(text) > 64:
        raise refuse("invalid", "The cursor is too long.", [FieldError("?cursor", "is too long")])
    cursor = None if text is None else read_cursor(services, text, "?cursor")
    wanted = USUAL if kinds is None else Filter(tuple(dict.fromkeys(kinds.split(","))))
    return await start_reading(services, call.principal.credential, wanted, cursor)
