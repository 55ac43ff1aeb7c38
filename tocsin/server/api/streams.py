"""Following the inbox over plain HTTP: a stream of events, a long poll, and acknowledging."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, assert_never

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.actors.delivery.messages import Arrived
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.key_commands import BindTicket
from tocsin.persistence.store.user_commands import Acknowledge, AcknowledgedPartly, BeyondHead
from tocsin.protocol.delivery.terms import Acknowledging
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.news import AckStored
from tocsin.protocol.notifications.notification import DeviceId
from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.values import is_uuid
from tocsin.server.api.answers import Answering, CursorText, Goodbye, Notification, written
from tocsin.server.api.operation import (
    CACHING,
    NO_CONTENT,
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
from tocsin.server.attachment import check_running, expiry_ms, new_device, read_cursor
from tocsin.server.auth.errors import AuthCode, Unauthenticated
from tocsin.server.auth.principal import StreamGrant
from tocsin.server.follow.long_poll import gather
from tocsin.server.follow.poll_outlet import PollOutlet
from tocsin.server.follow.sse import SseStream
from tocsin.server.follow.sse_outlet import SseOutlet
from tocsin.server.follow.stream_refusal import STREAM_HEADERS, STREAM_PATH
from tocsin.server.services import Services

WAIT_MAX: Final = 60.0
"""Seconds that a long poll may ask for: the usual patience of a proxy; `poll_wait_max` is the
bound."""
CHANGES_MAX: Final = 1000
"""Changes in one answer, so that reading and encoding it does not keep others waiting."""
_CHANGES_DEFAULT: Final = 100
"""Changes in one answer where the client names no number: a screen or two of notifications."""
_DEFAULT_DEVICE: Final = "default"
_RETRY_MIN: Final = 1.0
"""Seconds, to twice as many, before an EventSource comes back that heard no goodbye."""

_ACK_BYTES_MAX: Final = 64 * 1024
"""1 024 ids, with commas, quotes and some blanks."""
_RETRY_AFTER: Final = Header("Retry-After", "Seconds to stay away, with a `goodbye`.")
GivenCursor = Annotated[str, Meta(max_length=64, description="A cursor from the server, or `0`.")]

LastEventId = Annotated[
    str, Meta(max_length=64, description="As the header `Last-Event-ID`, which goes before it.")
]
_ORIGIN_MAX: Final = 300
"""Characters: a scheme, a host of 255, a port."""

operations: Final = Operations("inbox")


class StreamQuery(
    UrlQuery, frozen=True, kw_only=True, rename={"polyfills_last_event_id": "lastEventId"}
):
    """Where a stream starts, and how what it brings is acknowledged.

    An EventSource that is made of other things cannot send a header, and says in the query what was
    the last event that it got; by one name or the other.
    """

    device: DeviceId | UnsetType = UNSET
    ticket: str | UnsetType = UNSET
    cursor: GivenCursor | UnsetType = UNSET
    polyfills_last_event_id: LastEventId | UnsetType = UNSET
    last_event_id: LastEventId | UnsetType = UNSET
    ack: Acknowledging = Acknowledging.RESUME


class ChangesQuery(UrlQuery, frozen=True, kw_only=True):
    """Which changes, and how long to wait for the first (seconds); the node may wait less."""

    device: DeviceId = _DEFAULT_DEVICE
    cursor: GivenCursor | UnsetType = UNSET
    wait: Annotated[float, Meta(ge=0, le=WAIT_MAX)] = 0.0
    limit: Annotated[int, Meta(ge=1, le=CHANGES_MAX)] = _CHANGES_DEFAULT


class PushFrame(Answering, frozen=True, kw_only=True):
    """A change, the same on all transports."""

    type: Literal["push"]
    sequence: int
    previous: int
    change: Literal["created", "updated", "withdrawn", "state"]
    attempt: int
    replay: bool
    notification: Notification
    unread: int
    unseen: int


class Changes(Answering, frozen=True, kw_only=True, omit_defaults=True):
    """The changes; go on with *cursor*, at once if there is *more*.

    With *reset*, drop what you have: these are the first changes of a log that is replayed.
    """

    changes: list[PushFrame]
    cursor: CursorText
    more: bool
    unread: int
    unseen: int
    reset: bool = False
    reason: Literal["epoch", "horizon"] | None = None
    goodbye: Goodbye | None = None


class AckBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The notifications that *device* has received and processed: all up to *cursor*, or just these
    *ids*."""

    device: DeviceId
    cursor: GivenCursor | None = None
    ids: frames.Ids | None = None


@operations.define(
    "GET",
    STREAM_PATH,
    "Follow the inbox as a stream of events (SSE)",
    caller=Caller.USER,
    query=StreamQuery,
    headers=(
        Header("Last-Event-ID", "The id of the last event received; goes before `cursor`."),
        Header("Origin", "As browsers send it; the ticket of a stream is bound to the first."),
    ),
    sends=(CACHING, UNBUFFERED),
    problems=("overloaded",),
    answers={200: str},
    produces="text/event-stream",
    ticket=True,
    acts=True,
)
async def stream_inbox(call: Call[StreamQuery, None]) -> Streamed:
    """Events: `welcome`, `push`, `synced`, `counters`, `reset`, `status`, `goodbye`.

    A passing reason not to serve it is said by a `goodbye` on a stream: any
    status but 200 ends an EventSource for good.
    """
    services, query = call.services, call.query
    check_running(services)
    device = await _device_of_stream(call)
    cursor = _start_of_stream(call)
    random = services.world.random
    outlet = SseOutlet(
        services.connections.stream_name(),
        services.settings.outbound_bytes_max,
        _RETRY_MIN * (1.0 + random()),
    )
    window, expires_at = services.settings.window, expiry_ms(call.principal)
    arrived = Arrived(outlet, device, cursor, window, expires_at, query.ack)
    headers = {name: value for name, value in STREAM_HEADERS if name != "Content-Type"}
    body = SseStream(services, call.user, outlet, arrived)
    return Streamed(body, headers, outlet.write_directly)


@operations.define(
    "GET",
    "/v1/inbox/changes",
    "Changes after a cursor, waiting for the first (long poll)",
    caller=Caller.USER,
    query=ChangesQuery,
    sends=(CACHING, _RETRY_AFTER),
    problems=("replaced", "disconnected", "overloaded"),
    answers={200: Changes},
    acts=True,
)
async def poll_changes(call: Call[ChangesQuery, None]) -> Answer:
    """To send a cursor acknowledges everything up to it for the device."""
    services, query = call.services, call.query
    check_running(services)
    text = given(query.cursor)
    cursor = None if text is None else read_cursor(services, text, "?cursor")
    bytes_max = services.settings.window_bytes
    name = services.connections.stream_name()
    outlet = PollOutlet(name, query.limit, bytes_max, services.answering)
    expires_at = expiry_ms(call.principal)
    arrived = Arrived(outlet, query.device, cursor, query.limit, expires_at, Acknowledging.RESUME)
    wait = min(query.wait, services.settings.poll_wait_max)
    await gather(services, call.user, outlet, arrived, wait)
    return _answer(outlet)


@operations.define(
    "POST",
    "/v1/inbox/ack",
    "Acknowledge what a device has received",
    caller=Caller.USER,
    body=AckBody,
    problems=("not_found",),
    answers={204: None},
    lean=True,
    body_bytes_max=_ACK_BYTES_MAX,
)
async def acknowledge(call: Call[UrlQuery, AckBody]) -> Answer:
    """Durable when answered; for devices on any transport, and for those not connected."""
    services, body = call.services, call.body
    through = _acknowledged_through(services, body)
    ids = tuple(body.ids or ())
    command = Acknowledge(call.user, body.device, through, ids, call.now_ms)
    while isinstance(result := await services.write(command), AcknowledgedPartly):
        continue
    match result:
        case NotFound():
            raise refuse("not_found", "There is no device with this name.")
        case BeyondHead(head=head):
            raise _bad_field("cursor", f"is beyond the end of the log, {head}")
        case AckStored():
            return NO_CONTENT
        case _:
            assert_never(result)


async def _device_of_stream(call: Call[StreamQuery, None]) -> str:
    """The device that follows; raises `Unauthenticated` where the ticket is good for another."""
    grant, asked = call.principal.grant, given(call.query.device)
    if grant is None:
        return asked or new_device(call.services)
    if asked not in (None, grant.device):
        detail = "This ticket is good for another device."
        raise Unauthenticated(detail, AuthCode.TICKET_ELSEWHERE)
    # An EventSource of another origin always sends this; one of our own never does.
    origin = (call.headers["Origin"] or "").lower()
    if await _bound_origin(call.services, grant, origin) != origin:
        detail = "This ticket is good for pages of another origin."
        raise Unauthenticated(detail, AuthCode.TICKET_ELSEWHERE)
    return grant.device


async def _bound_origin(services: Services, grant: StreamGrant, origin: str) -> str | None:
    """The origin that the ticket is bound to, which is *origin* if it is the first."""
    if grant.origin is not None or len(origin) > _ORIGIN_MAX:
        return grant.origin
    ticket = await services.write(BindTicket(grant.hash, origin))
    return None if isinstance(ticket, NotFound) else ticket.origin


def _start_of_stream(call: Call[StreamQuery, None]) -> Cursor | None:
    """Where the client wants to start; `None`: where the device stopped."""
    query = call.query
    ids = (
        ("Last-Event-ID", call.headers["Last-Event-ID"]),
        ("?lastEventId", given(query.polyfills_last_event_id)),
        ("?last_event_id", given(query.last_event_id)),
    )
    last = next(((where, text) for where, text in ids if text), None)
    if last is None:
        text = given(query.cursor)
        return None if text is None else read_cursor(call.services, text, "?cursor")
    where, text = last
    cursor = read_cursor(call.services, text, where)
    # An EventSource sends its last id by itself, whatever has become of the events before. A device
    # that acknowledges explicitly has not done so by that.
    return replace(cursor, acknowledges=query.ack is not Acknowledging.EXPLICIT)


def _answer(outlet: PollOutlet) -> Answer:
    assert outlet.cursor is not None
    headers = {"Cache-Control": "no-store"}
    goodbye = None
    if (closing := outlet.closing) is not None:
        after = round(outlet.after, 3)
        goodbye = Goodbye(
            code=int(closing),
            reason=closing.word,
            reconnect=closing.reconnect,
            after=after,
            detail=outlet.detail,
        )
        headers["Retry-After"] = str(math.ceil(after))
    reason: Any = outlet.reset
    # A session that rests keeps its outlet, and needs no answer twice.
    given_out, outlet.changes = outlet.changes, []
    changes = Changes(
        changes=[written(change) for change in given_out],
        cursor=str(outlet.cursor),
        more=not outlet.caught_up,
        unread=outlet.unread,
        unseen=outlet.unseen,
        reset=reason is not None,
        reason=reason,
        goodbye=goodbye,
    )
    return Answer(changes, headers=headers)


def _acknowledged_through(services: Services, body: AckBody) -> int | None:
    if (body.cursor is None) == (body.ids is None):
        raise _bad_field("cursor", "or `ids` must be given, one of the two")
    if body.ids is not None and not all(map(is_uuid, body.ids)):
        raise _bad_field("ids", "are notification ids")
    if body.cursor is None:
        return None
    cursor = read_cursor(services, body.cursor, "$.cursor")
    if cursor.epoch != services.epoch:
        raise _bad_field("cursor", "is of another epoch; there is nothing left to acknowledge")
    return cursor.sequence


def _bad_field(name: str, message: str) -> Refused:
    return refuse("invalid", f"`{name}` {message}.", [FieldError(f"$.{name}", message)])
