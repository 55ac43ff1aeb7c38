"""The producers' part of the API: post, look, change, withdraw, and the ledger."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.actors.spool.entries import Spooled
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.queries import (
    Delivery,
    FindNotification,
    ProducerView,
    ReadDeliveries,
)
from tocsin.protocol.conditions import has_tag
from tocsin.protocol.notifications.notification import Draft, Patch
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.traceparent import TRACEPARENT
from tocsin.protocol.user_ids import USER_ID_CHARACTER, USER_ID_CHARACTERS_MAX
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api import answers
from tocsin.server.api.operation import (
    NO_CONTENT,
    Answer,
    Call,
    Caller,
    Header,
    Operations,
    UrlQuery,
    given,
)
from tocsin.server.producing.batch import (
    ITEMS_MAX,
    BatchItem,
    Outcome,
    is_replayed,
    publish_all,
    read_array,
    read_lines,
)
from tocsin.server.producing.publishing import IDEMPOTENCY_KEY_PATTERN

operations = Operations("notifications")

_NDJSON: Final = "application/x-ndjson"
_LINE_PATTERN: Final = (
    rf"^{USER_ID_CHARACTER}{{1,{USER_ID_CHARACTERS_MAX}}}/[A-Za-z0-9._:@-]{{1,128}}$(?!\n)"
)
"""A place in the ledger: user and device. Read in one pass, since only the user may have a `/`."""
_Key = Annotated[str, Meta(pattern=IDEMPOTENCY_KEY_PATTERN)]
_Items = Annotated[list[BatchItem], Meta(min_length=1, max_length=ITEMS_MAX)]
_Revision = Annotated[str, Meta(pattern=r'^"[0-9]{1,9}"$')]
_View = Annotated[str, Meta(pattern=r'^"[0-9]{1,9}-[0-9a-f]{16}"$')]
_KEY: Final = Header(
    "Idempotency-Key", "The same key with the same meaning gets the first answer again.", _Key
)
_BATCH_KEY: Final = Header(
    "Idempotency-Key",
    "Item i, counted from 0, has the key `<key>#<i>` if it has none of its own.",
    _Key,
)
_IF_MATCH: Final = Header(
    "If-Match",
    "What may be changed: one or several `ETag`s, weak or not, by their revision; or `*`.",
)
_IF_NONE_MATCH: Final = Header("If-None-Match", "The `ETag` of a view that the caller has.")
_TRACEPARENT: Final = Header(
    TRACEPARENT,
    "The trace that the request belongs to (W3C Trace Context); ignored if it cannot be read.",
)
_LOCATION: Final = Header("Location", "Where the producers' view of it is.")
_REPLAYED: Final = Header(
    "Idempotency-Replayed", "`true` if this is the answer to an earlier request.", Literal["true"]
)
_ETAG: Final = Header("ETag", "The revision, in quotes.", _Revision)
_VIEW_ETAG: Final = Header(
    "ETag", "The revision and a digest of what is shown; for either condition.", _View
)


class LedgerQuery(UrlQuery, frozen=True, kw_only=True):
    """Which lines of the ledger."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: Annotated[str, Meta(pattern=_LINE_PATTERN)] | UnsetType = UNSET


@operations.define(
    *("POST", "/v1/notifications", "Publish a notification"),
    caller=Caller.NOTIFY,
    headers=(_KEY, _TRACEPARENT),
    sends=(_LOCATION, _REPLAYED),
    problems=("idempotency_in_flight", "idempotency_key_reused", "unknown_channel"),
    body=Draft,
    answers={201: answers.Published, 202: answers.PublishSpooled},
    lean=True,
)
async def publish(call: Call[UrlQuery, Draft]) -> Answer:
    """To users, to a topic, or to all; now, or at a time. It is durable when this is answered.

    `202` while the store is away: it is kept in the spool and goes out, in order, when it is back.
    """
    key = call.headers["Idempotency-Key"]
    published = await call.publishing.publish(
        call.principal, call.body, key, call.headers[TRACEPARENT]
    )
    headers = {"Location": f"/v1/notifications/{published.id}"}
    if published.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Answer(published.body.encode(), 202 if published.spooled else 201, headers)


@operations.define(
    *("POST", "/v1/notifications/batch", "Publish up to 1000 notifications"),
    caller=Caller.NOTIFY,
    headers=(_BATCH_KEY, _TRACEPARENT),
    sends=(_REPLAYED,),
    problems=("too_large", "unsupported_media_type"),
    streamed={"application/json": _Items, _NDJSON: BatchItem},
    answers={200: answers.Batch},
    lean=True,
)
async def publish_batch(call: Call[UrlQuery, Any]) -> Answer:
    """Each item stands alone: one that is refused has its problem, the others are published."""
    read = read_lines if call.media_type == _NDJSON else read_array
    items = await read(call.body, call.services.settings.body_bytes_max)
    key = call.headers["Idempotency-Key"]
    outcomes = await publish_all(
        call.publishing, call.principal, items, key, call.headers[TRACEPARENT]
    )
    headers = {"Idempotency-Replayed": "true"} if is_replayed(items, outcomes) else {}
    return Answer(answers.Batch(results=[_result(each) for each in outcomes]), headers=headers)


@operations.define(
    *("GET", "/v1/notifications/{notification}", "Show a notification to its producers"),
    caller=Caller.NOTIFY,
    headers=(_IF_NONE_MATCH,),
    sends=(_VIEW_ETAG,),
    answers={200: answers.ProducerNotification, 304: None},
)
async def show_notification(call: Call[UrlQuery, None], notification: str) -> Answer:
    """Its fields, its state, and what became of it; the `ETag` changes with any of that."""
    view = await call.services.read(FindNotification(notification))
    if isinstance(view, NotFound):
        raise refuse("not_found", "There is no notification with this id.")
    body = _producer_view(view)
    # The revision first, for the `If-Match` of a change, which is about nothing else.
    digest = hashlib.blake2b(body, digest_size=8).hexdigest()
    headers = {"ETag": f'"{view.content.revision}-{digest}"'}
    if has_tag(call.headers["If-None-Match"], headers["ETag"]):
        return Answer(None, 304, headers)
    return Answer(body, headers=headers)


@operations.define(
    *("GET", "/v1/notifications/{notification}/deliveries", "Show the ledger of a notification"),
    caller=Caller.NOTIFY,
    query=LedgerQuery,
    answers={200: answers.Ledger},
)
async def list_deliveries(call: Call[LedgerQuery, None], notification: str) -> Answer:
    """The deliveries: to which device, how often, with what outcome; by user and device."""
    after = _read_after(given(call.query.after))
    page = await call.services.read(ReadDeliveries(notification, call.query.limit, after))
    if isinstance(page, NotFound):
        raise refuse("not_found", "There is no notification with this id.")
    last = page.lines[-1] if page.more else None
    return Answer(
        answers.Ledger(
            deliveries=[_delivery(line) for line in page.lines],
            next=None if last is None else f"{last.user}/{last.device}",
        )
    )


@operations.define(
    *("PATCH", "/v1/notifications/{notification}", "Change a notification"),
    caller=Caller.NOTIFY,
    headers=(_IF_MATCH,),
    sends=(_ETAG,),
    problems=("conflict", "revision_mismatch"),
    body=Patch,
    answers={200: answers.Content, 202: answers.ChangeSpooled},
)
async def update_notification(call: Call[UrlQuery, Patch], notification: str) -> Answer:
    """Its next revision reaches everybody who has it; the `ETag` is the revision.

    `202` while the store is away; but `503` with `If-Match`, which cannot be compared then.
    """
    changed = await call.publishing.update(
        call.principal, notification, call.body, call.headers["If-Match"]
    )
    if isinstance(changed, Spooled):
        return Answer(changed.answer.encode(), 202)
    content = changed.content
    return Answer(content.document.encode(), headers={"ETag": f'"{content.revision}"'})


@operations.define(
    *("DELETE", "/v1/notifications/{notification}", "Withdraw a notification"),
    caller=Caller.NOTIFY,
    answers={202: answers.ChangeSpooled, 204: None},
)
async def withdraw_notification(call: Call[UrlQuery, None], notification: str) -> Answer:
    """From everybody who has it, or before it goes out; again is no error.

    `202` while the store is away.
    """
    withdrawn = await call.publishing.withdraw(call.principal, notification)
    if isinstance(withdrawn, Spooled):
        return Answer(withdrawn.answer.encode(), 202)
    return NO_CONTENT


def _result(outcome: Outcome) -> answers.BatchResult:
    if isinstance(outcome, Refused):
        wrong = outcome.problem
        return answers.BatchResult(status=wrong.status, problem=wrong)
    status = 202 if outcome.spooled else 201
    return answers.BatchResult(status=status, id=outcome.id, replayed=outcome.replayed)


def _producer_view(view: ProducerView) -> bytes:
    counts = answers.Counts(
        recipients=view.recipients,
        delivered=view.delivered,
        seen=view.seen,
        read=view.read,
        expired=view.expired,
        dead=view.dead,
        sent=view.sent,
    )
    fields = msgspec.json.decode(view.content.document)
    return msgspec.json.encode(fields | {"state": view.standing, "counts": counts})


def _delivery(line: Delivery) -> answers.DeliveryLine:
    acknowledged_at = line.acknowledged_at
    return answers.DeliveryLine(
        user=line.user,
        device=line.device,
        attempts=line.attempts,
        first_sent_at=to_rfc3339(line.first_sent_at),
        acknowledged_at=None if acknowledged_at is None else to_rfc3339(acknowledged_at),
        outcome=cast(Literal["pending"], line.outcome),
        reason=line.reason,
    )


def _read_after(after: str | None) -> tuple[str, str] | None:
    if after is None:
        return None
    user, _, device = after.rpartition("/")  # the last one: a user's id may have it as well
    return user, device
