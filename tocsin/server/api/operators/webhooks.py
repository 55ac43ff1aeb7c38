"""Webhooks: where receipts are carried to, for operators to make, look after and mend."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
import trio
from msgspec import UNSET, Meta, UnsetType

from tocsin.persistence.store.commands import NotFound, TooMany
from tocsin.persistence.store.sink_commands import (
    SINKS_MAX,
    ChangeSink,
    CreateSink,
    DeleteSink,
    ListSinks,
    StoredSink,
)
from tocsin.protocol.notifications.notification import Category, Instant
from tocsin.protocol.outbound import OutboundFailed
from tocsin.protocol.problems import FieldError
from tocsin.protocol.receipts.receipt import BATCH_MAX, USUAL, Filter
from tocsin.protocol.receipts.sink import ACTIVE, PAUSED, Progress, Secret
from tocsin.protocol.receipts.webhook import (
    OVERLAP,
    SECRET_BYTES,
    new_secret,
    rotated,
    signed_headers,
    trial_message,
)
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.secret_box import SecretUnreadable
from tocsin.protocol.values import to_rfc3339, uuid7
from tocsin.server.api.answers import Answering, Timestamp
from tocsin.server.api.audit import audited
from tocsin.server.api.operation import (
    NO_CONTENT,
    Answer,
    Call,
    Caller,
    Operations,
    UrlQuery,
)
from tocsin.server.api.operators.rewinding import position_since

operations = Operations("webhooks")

Event = Literal[
    "delivered",
    "read",
    "expired",
    "dead",
    "sent",
    "failed",
    "sink_disabled",
    "accepted",
    "refused",
]
Events = Annotated[list[Event], Meta(min_length=1, max_length=9)]
Categories = Annotated[list[Category], Meta(max_length=64)]
Url = Annotated[str, Meta(min_length=1, max_length=2048)]
BatchMax = Annotated[int, Meta(ge=1, le=BATCH_MAX)]
Description = Annotated[str, Meta(max_length=256)]
_OVERLAP_MAX: Final = 7 * 86400
"""Seconds for which an old secret may go on signing."""
_ANSWER_CHARACTERS_MAX: Final = 1024
"""Characters of a receiver's answer that a test shows."""


class WebhookRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A webhook to be made; without *events* it gets all kinds but `accepted` and `refused`."""

    url: Url
    events: Events | None = None
    categories: Categories = []
    batch_max: BatchMax = BATCH_MAX
    description: Description = ""


class WebhookPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields of a webhook that change; that holds from the next batch on."""

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    categories: Categories | UnsetType = UNSET
    batch_max: BatchMax | UnsetType = UNSET
    description: Description | UnsetType = UNSET


class RotationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """For how many seconds the present secret goes on signing beside the new one."""

    overlap: Annotated[float, Meta(ge=0, le=_OVERLAP_MAX)] = OVERLAP


class RewindRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The time whose receipts are the first to be carried again."""

    since: Instant


class WebhookView(Answering, frozen=True, kw_only=True):
    """A webhook as it stands; it never shows its secrets."""

    id: str
    url: str
    events: list[str]
    categories: list[str]
    batch_max: int
    description: str
    state: Literal["active", "paused", "disabled"]
    reason: str | None
    position: int
    behind: int
    lost: int
    failing_since: Timestamp | None
    succeeded_at: Timestamp | None
    created_at: Timestamp


class WebhookMade(WebhookView, frozen=True, kw_only=True):
    """A webhook, and its secret, which is shown this once."""

    secret: str


class WebhookList(Answering, frozen=True, kw_only=True):
    """All webhooks, the oldest first."""

    webhooks: list[WebhookView]


class SecretRotated(Answering, frozen=True, kw_only=True):
    """The new secret, which is shown this once."""

    secret: str


class WebhookTested(Answering, frozen=True, kw_only=True):
    """The status and the beginning of an answer, or the reason why there was none."""

    status: int | None
    seconds: float
    error: str | None
    answer: str | None

    @property
    def taken(self) -> bool:
        """Whether the receiver has said that it has it."""
        return self.status is not None and 200 <= self.status < 300


@operations.define(
    *("POST", "/v1/webhooks", "Make a webhook"),
    caller=Caller.ADMIN,
    body=WebhookRequest,
    problems=("conflict",),
    answers={201: WebhookMade},
)
async def create_webhook(call: Call[UrlQuery, WebhookRequest]) -> Answer:
    """It gets the receipts of what happens from now on. The secret is shown this once."""
    body, services = call.body, call.services
    await _check_url(call, body.url)
    secret = new_secret(services.world.entropy(SECRET_BYTES))
    webhook = uuid7(call.now_ms, services.world.entropy(10))
    sink = StoredSink(
        id=webhook,
        url=body.url,
        secrets=(Secret(services.sinks.sealed(webhook, secret)),),
        filter=Filter(tuple(body.events or USUAL.events), tuple(body.categories)),
        description=body.description,
        batch_max=body.batch_max,
        progress=Progress(0),
        revision=0,
        created_at=call.now_ms,
    )
    with audited(call, "webhook made", webhook=sink.id):
        if isinstance(await services.write(CreateSink(sink)), TooMany):
            raise refuse("conflict", f"There are {SINKS_MAX} webhooks, and no more are kept.")
    services.sinks.changed()
    found, head = await _find(call, sink.id)
    return Answer(WebhookMade(secret=secret, **_fields(found, head)), 201)


@operations.define(
    *("GET", "/v1/webhooks", "List the webhooks"),
    caller=Caller.ADMIN,
    answers={200: WebhookList},
)
async def list_webhooks(call: Call[UrlQuery, None]) -> Answer:
    """With how far each is, and how it fares."""
    found = await call.services.read(ListSinks())
    views = [WebhookView(**_fields(each, found.head)) for each in found.sinks]
    return Answer(WebhookList(webhooks=views))


@operations.define(
    *("GET", "/v1/webhooks/{webhook}", "Show a webhook"),
    caller=Caller.ADMIN,
    answers={200: WebhookView},
)
async def show_webhook(call: Call[UrlQuery, None], webhook: str) -> Answer:
    """*behind* counts places of the log, of all kinds."""
    return await _shown(call, webhook)


@operations.define(
    *("PATCH", "/v1/webhooks/{webhook}", "Change a webhook"),
    caller=Caller.ADMIN,
    body=WebhookPatch,
    answers={200: WebhookView},
)
async def change_webhook(call: Call[UrlQuery, WebhookPatch], webhook: str) -> Answer:
    """From the next batch on: the one that is under way is given up and formed anew."""
    body = call.body
    found, _ = await _find(call, webhook)
    if body.url is not UNSET:
        await _check_url(call, body.url)
    wanted = Filter(
        found.filter.events if body.events is UNSET else tuple(body.events),
        found.filter.categories if body.categories is UNSET else tuple(body.categories),
    )
    change = ChangeSink(
        webhook,
        url=None if body.url is UNSET else body.url,
        filter=wanted,
        description=None if body.description is UNSET else body.description,
        batch_max=None if body.batch_max is UNSET else body.batch_max,
    )
    await _change(call, "webhook changed", change)
    return await _shown(call, webhook)


@operations.define(
    *("DELETE", "/v1/webhooks/{webhook}", "Remove a webhook"),
    caller=Caller.ADMIN,
    answers={204: None},
)
async def delete_webhook(call: Call[UrlQuery, None], webhook: str) -> Answer:
    """With its letters. Receipts that it has not had are not carried any more."""
    with audited(call, "webhook removed", webhook=webhook):
        if isinstance(await call.services.write(DeleteSink(webhook)), NotFound):
            raise unknown_webhook()
    call.services.sinks.changed()
    return NO_CONTENT


@operations.define(
    *("POST", "/v1/webhooks/{webhook}/rotate", "Give a webhook a new secret"),
    caller=Caller.ADMIN,
    body=RotationRequest,
    body_optional=True,
    answers={200: SecretRotated},
)
async def rotate_secret(call: Call[UrlQuery, RotationRequest | None], webhook: str) -> Answer:
    """The present one signs too until the overlap is over; at most three are in force."""
    found, _ = await _find(call, webhook)
    overlap = OVERLAP if call.body is None else call.body.overlap
    fresh = new_secret(call.services.world.entropy(SECRET_BYTES))
    sealed = call.services.sinks.sealed(webhook, fresh)
    secrets = rotated(found.secrets, sealed, call.now_ms, overlap)
    await _change(call, "webhook secret rotated", ChangeSink(webhook, secrets=secrets))
    return Answer(SecretRotated(secret=fresh))


@operations.define(
    *("POST", "/v1/webhooks/{webhook}/test", "Send a webhook's receiver a test"),
    caller=Caller.ADMIN,
    answers={200: WebhookTested},
)
async def test_webhook(call: Call[UrlQuery, None], webhook: str) -> Answer:
    """A signed `{"type":"test"}`, now, in whatever state the webhook is."""
    found, _ = await _find(call, webhook)
    message_id, body = trial_message(webhook, call.now_ms)
    return Answer(await carry_now(call, found, message_id, body))


@operations.define(
    *("POST", "/v1/webhooks/{webhook}/pause", "Pause a webhook"),
    caller=Caller.ADMIN,
    answers={200: WebhookView},
)
async def pause_webhook(call: Call[UrlQuery, None], webhook: str) -> Answer:
    """It keeps its place; receipts wait for it as long as they are kept."""
    await _change(call, "webhook paused", ChangeSink(webhook, state=PAUSED))
    return await _shown(call, webhook)


@operations.define(
    *("POST", "/v1/webhooks/{webhook}/enable", "Enable a webhook that was paused or disabled"),
    caller=Caller.ADMIN,
    answers={200: WebhookView},
)
async def enable_webhook(call: Call[UrlQuery, None], webhook: str) -> Answer:
    """It goes on where it stopped, and its failures are forgotten."""
    await _change(call, "webhook enabled", ChangeSink(webhook, state=ACTIVE))
    return await _shown(call, webhook)


@operations.define(
    *("POST", "/v1/webhooks/{webhook}/rewind", "Carry receipts to a webhook again"),
    caller=Caller.ADMIN,
    body=RewindRequest,
    answers={200: WebhookView},
)
async def rewind_webhook(call: Call[UrlQuery, RewindRequest], webhook: str) -> Answer:
    """All since a time, as far as they are kept: what was carried is carried again."""
    position = await position_since(call, call.body.since)
    await _change(call, "webhook rewound", ChangeSink(webhook, position=position))
    return await _shown(call, webhook)


async def carry_now(
    call: Call[Any, Any], sink: StoredSink, message_id: str, body: bytes
) -> WebhookTested:
    """Send *body* to the receiver of *sink*, signed; cancelled, it may have been taken."""
    started = trio.current_time()
    status = error = answer = None
    try:
        secrets = call.services.sinks.secrets_of(sink)
        headers = signed_headers(message_id, body, secrets, call.now_ms)
        answered = await call.services.outbound.post(sink.url, headers, body)
        text = answered.body.decode("utf-8", "replace")
        status, answer = answered.status, text[:_ANSWER_CHARACTERS_MAX]
    except (OutboundFailed, SecretUnreadable) as failure:
        error = str(failure)
    seconds = round(trio.current_time() - started, 3)
    return WebhookTested(status=status, seconds=seconds, error=error, answer=answer)


async def find_webhook(call: Call[Any, Any], webhook: str) -> StoredSink:
    """The webhook with this id; raises `Refused`. Cancelling does no harm."""
    return (await _find(call, webhook))[0]


def unknown_webhook() -> Refused:
    """The refusal of an id that no webhook has."""
    return refuse("not_found", "There is no webhook with this id.")


async def _find(call: Call[Any, Any], webhook: str) -> tuple[StoredSink, int]:
    found = await call.services.read(ListSinks(webhook))
    if not found.sinks:
        raise unknown_webhook()
    return found.sinks[0], found.head


async def _shown(call: Call[Any, Any], webhook: str) -> Answer:
    return Answer(WebhookView(**_fields(*(await _find(call, webhook)))))


async def _change(call: Call[Any, Any], event: str, change: ChangeSink) -> None:
    with audited(call, event, webhook=change.id):
        if isinstance(await call.services.write(change), NotFound):
            raise unknown_webhook()
    call.services.sinks.changed()


async def _check_url(call: Call[Any, Any], url: str) -> None:
    try:
        await call.services.outbound.check(url)
    except OutboundFailed as error:
        raise refuse("invalid", str(error), [FieldError("$.url", str(error))]) from None


def _fields(sink: StoredSink, head: int) -> dict[str, Any]:
    progress = sink.progress
    return {
        "id": sink.id,
        "url": sink.url,
        "events": list(sink.filter.events),
        "categories": list(sink.filter.categories),
        "batch_max": sink.batch_max,
        "description": sink.description,
        "state": progress.state,
        "reason": progress.reason,
        "position": progress.position,
        "behind": max(0, head - progress.position),
        "lost": progress.lost,
        "failing_since": _time(progress.failing_since),
        "succeeded_at": _time(progress.succeeded_at),
        "created_at": to_rfc3339(sink.created_at),
    }


def _time(at: int | None) -> str | None:
    return None if at is None else to_rfc3339(at)
