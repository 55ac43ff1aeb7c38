"""The producers' half of the API: post, look, change, withdraw, and the ledger."""

from __future__ import annotations

import msgspec
from quart import Blueprint, Response, request

from tocsin.persistence.store import (
    Deliveries,
    Delivery,
    FindNotification,
    ProducerView,
    ReadDeliveries,
)
from tocsin.protocol.notification import Content
from tocsin.protocol.problems import FieldError, refuse
from tocsin.protocol.values import is_identifier, to_rfc3339
from tocsin.server.api.requests import authenticate, check_query, json_answer, read_body, read_limit
from tocsin.server.publishing import Publishing, check_id
from tocsin.server.services import Services

_DELIVERIES_DEFAULT, _DELIVERIES_MAX = 100, 1000


def producers_blueprint(services: Services, publishing: Publishing) -> Blueprint:
    """Routes under `/v1/notifications`."""
    routes = Blueprint("producers", __name__, url_prefix="/v1/notifications")

    @routes.post("")
    async def publish() -> Response:
        principal = await authenticate(services.authenticator)
        check_query()
        body = await read_body()
        published = await publishing.publish(
            principal, body, request.headers.get("Idempotency-Key")
        )
        answer = json_answer(published.body, 201)
        notification = msgspec.json.decode(published.body)["id"]
        answer.headers["Location"] = f"/v1/notifications/{notification}"
        if published.replayed:
            answer.headers["Idempotency-Replayed"] = "true"
        return answer

    @routes.get("/<notification>")
    async def show(notification: str) -> Response:
        principal = await authenticate(services.authenticator)
        principal.require_scope("notify")
        check_query()
        check_id(notification)
        view = await services.read(FindNotification(notification))
        if not isinstance(view, ProducerView):
            raise refuse("not_found", "There is no notification with this id.")
        return _with_revision(json_answer(_producer_view(view)), view.content)

    @routes.get("/<notification>/deliveries")
    async def deliveries(notification: str) -> Response:
        principal = await authenticate(services.authenticator)
        principal.require_scope("notify")
        check_query("limit", "after")
        check_id(notification)
        limit = read_limit(_DELIVERIES_DEFAULT, _DELIVERIES_MAX)
        page = await services.read(ReadDeliveries(notification, limit, _read_after()))
        if not isinstance(page, Deliveries):
            raise refuse("not_found", "There is no notification with this id.")
        last = page.lines[-1] if page.more else None
        answer = {
            "deliveries": [_delivery(line) for line in page.lines],
            "next": None if last is None else f"{last.user}/{last.device}",
        }
        return json_answer(msgspec.json.encode(answer))

    @routes.patch("/<notification>")
    async def update(notification: str) -> Response:
        principal = await authenticate(services.authenticator)
        check_query()
        body = await read_body()
        changed = await publishing.update(
            principal, notification, body, request.headers.get("If-Match")
        )
        return _with_revision(json_answer(changed.content.document), changed.content)

    @routes.delete("/<notification>")
    async def withdraw(notification: str) -> Response:
        principal = await authenticate(services.authenticator)
        check_query()
        await publishing.withdraw(principal, notification)
        return Response(b"", 204)

    return routes


def _with_revision(answer: Response, content: Content) -> Response:
    answer.headers["ETag"] = f'"{content.revision}"'
    return answer


def _producer_view(view: ProducerView) -> bytes:
    counts = {
        "recipients": view.recipients,
        "delivered": view.delivered,
        "seen": view.seen,
        "read": view.read,
        "expired": view.expired,
        "dead": view.dead,
    }
    fields = msgspec.json.decode(view.content.document)
    return msgspec.json.encode(fields | {"state": view.standing, "counts": counts})


def _delivery(line: Delivery) -> dict[str, str | int | None]:
    acknowledged_at = line.acknowledged_at
    return {
        "user": line.user,
        "device": line.device,
        "attempts": line.attempts,
        "first_sent_at": to_rfc3339(line.first_sent_at),
        "acknowledged_at": None if acknowledged_at is None else to_rfc3339(acknowledged_at),
        "outcome": line.outcome,
        "reason": line.reason,
    }


def _read_after() -> tuple[str, str] | None:
    after = request.args.get("after")
    if after is None:
        return None
    user, _, device = after.partition("/")
    if not is_identifier(user) or not is_identifier(device):
        wrong = [FieldError("?after", "the `next` of the page before")]
        raise refuse("invalid", "`after` cannot be read.", wrong)
    return user, device
