"""The users' half of the API: tickets and the inbox."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from quart import Blueprint, Response, request

from tocsin.persistence.store import (
    CreateTicket,
    FindInboxItem,
    Inbox,
    InboxItem,
    InboxPage,
    StoredTicket,
)
from tocsin.protocol.cursor import Cursor
from tocsin.protocol.notification import client_view
from tocsin.protocol.problems import FieldError, refuse
from tocsin.protocol.values import CATEGORY_PATTERN, to_rfc3339
from tocsin.server.api.requests import (
    authenticate,
    check_query,
    json_answer,
    read_before,
    read_limit,
)
from tocsin.server.auth import generate_ticket, ticket_for
from tocsin.server.publishing import check_id
from tocsin.server.services import Services

_INBOX_DEFAULT, _INBOX_MAX = 50, 200
_CATEGORY: Final = re.compile(CATEGORY_PATTERN)
_STATES: Final = {
    None: ("unseen", "seen", "read"),
    "unread": ("unseen", "seen"),
    "all": ("unseen", "seen", "read", "archived"),
    "archived": ("archived",),
}


def users_blueprint(services: Services) -> Blueprint:
    """Routes of a user's own things."""
    routes = Blueprint("users", __name__, url_prefix="/v1")

    @routes.post("/tickets")
    async def create_ticket() -> Response:
        principal = await authenticate(services.authenticator)
        check_query()
        ticket = generate_ticket(services.world.entropy)
        kept = ticket_for(
            principal, services.world.now_ms() / 1000, services.settings.ticket_lifetime
        )
        expires_at = round(kept.expires_at * 1000)
        principal_expires_at = kept.principal_expires_at
        await services.write(
            CreateTicket(
                StoredTicket(
                    hash=ticket.hash,
                    user=kept.user,
                    scopes=tuple(sorted(kept.scopes)),
                    expires_at=expires_at,
                    principal_expires_at=None
                    if principal_expires_at is None
                    else int(principal_expires_at * 1000),
                )
            )
        )
        answer = {"ticket": ticket.text, "expires_at": to_rfc3339(expires_at)}
        response = json_answer(msgspec.json.encode(answer), 201)
        response.headers["Cache-Control"] = "no-store"
        return response

    @routes.get("/inbox")
    async def inbox() -> Response:
        principal = await authenticate(services.authenticator)
        user = principal.require_user()
        check_query("state", "category", "limit", "before")
        query = InboxPage(
            user=user,
            states=_read_states(),
            category=_read_category(),
            limit=read_limit(_INBOX_DEFAULT, _INBOX_MAX),
            before=read_before(),
        )
        page = await services.read(query)
        assert isinstance(page, Inbox)
        answer = {
            "notifications": [_view(item) for item in page.items],
            "next": str(page.items[-1].created_sequence) if page.more else None,
            "unread": page.counters.unread,
            "unseen": page.counters.unseen,
            "cursor": str(Cursor(services.status.epoch, page.head)),
        }
        response = json_answer(msgspec.json.encode(answer))
        response.headers["Cache-Control"] = "private, no-cache"
        return response

    @routes.get("/inbox/<notification>")
    async def one(notification: str) -> Response:
        principal = await authenticate(services.authenticator)
        user = principal.require_user()
        check_query()
        check_id(notification)
        item = await services.read(FindInboxItem(user, notification))
        if not isinstance(item, InboxItem):
            raise refuse("not_found", "There is no notification with this id in your inbox.")
        return json_answer(bytes(_view(item)))

    return routes


def _view(item: InboxItem) -> msgspec.Raw:
    return msgspec.Raw(client_view(item.document, item.state, item.seen_at, item.read_at))


def _read_states() -> tuple[str, ...]:
    states = _STATES.get(request.args.get("state"))
    if states is None:
        wrong = [FieldError("?state", "one of unread, all, archived")]
        raise refuse("invalid", "`state` cannot be read.", wrong)
    return states


def _read_category() -> str | None:
    category = request.args.get("category")
    # Beside typing errors this keeps out what Postgres takes for no text, such as NUL.
    if category is not None and _CATEGORY.fullmatch(category) is None:
        wrong = [FieldError("?category", "1 to 64 characters of a-z, 0-9 and . _ -")]
        raise refuse("invalid", "`category` cannot be read.", wrong)
    return category
