"""The events of the nodes of a cluster, for an operator who looks on."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from tocsin.protocol.notifications.notification import UserId
from tocsin.server.api.operation import (
    CACHING,
    UNBUFFERED,
    Call,
    Caller,
    Operations,
    Streamed,
    UrlQuery,
    given,
)
from tocsin.server.attachment import check_running
from tocsin.server.follow.spectating import SpectatorStream
from tocsin.server.follow.stream_refusal import UNKEPT

operations = Operations("operators")


class EventsQuery(UrlQuery, frozen=True, kw_only=True):
    """The user whose events are wanted; absent, a sample of all."""

    user: UserId | UnsetType = UNSET


@operations.define(
    *("GET", "/v1/admin/events", "Follow what all nodes do as a stream of events (SSE)"),
    caller=Caller.ADMIN,
    query=EventsQuery,
    sends=(CACHING, UNBUFFERED),
    problems=("overloaded",),
    answers={200: str},
    produces="text/event-stream",
    acts=True,
)
async def stream_events(call: Call[EventsQuery, None]) -> Streamed:
    """Events: `second`, once a second from each node of the cluster, with `node`, `at`, `counts`
    of all that happened by kind, some `events` of each kind, and the node's `sample`, as in
    `/v1/admin/samples`; `missed`, where this stream was read too slowly; `goodbye`.

    Kinds are `committed`, `pushed`, `resent`, `acknowledged`, `refused`, `dead`, `connected` and
    `ended`. With `user`, the events are those of this user, and not a sample.
    """
    check_running(call.services)
    stream = SpectatorStream(call.services, call.principal, given(call.query.user))
    return Streamed(stream, dict(UNKEPT))
