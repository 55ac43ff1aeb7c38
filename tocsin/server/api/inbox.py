"""A user's inbox: look at it, and mark what is in it."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.queries import FindInboxItem, Inbox, InboxItem, InboxPage
from tocsin.protocol.conditions import has_tag
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.notifications.notification import Category, client_view
from tocsin.protocol.refusal import refuse
from tocsin.server.api import answers
from tocsin.server.api.operation import (
    CACHING,
    Answer,
    Call,
    Caller,
    Header,
    Operations,
    UrlQuery,
    given,
)
from tocsin.server.marking import (
    MARK_BYTES_MAX,
    MarkedInbox,
    MarkRequest,
    bring_up_to_date,
    mark_inbox,
    read_inbox,
)

operations = Operations("inbox")

_STATES: Final = {
    None: ("unseen", "seen", "read"),
    "unread": ("unseen", "seen"),
    "all": ("unseen", "seen", "read", "archived"),
    "archived": ("archived",),
}
_IF_NONE_MATCH: Final = Header("If-None-Match", "The `ETag` of a page that the caller has.")
_ETAG: Final = Header("ETag", "The same for the same page; for `If-None-Match`.")


class InboxQuery(UrlQuery, frozen=True, kw_only=True):
    """Which of the inbox; without *state*, all but what is archived."""

    state: Literal["unread", "all", "archived"] | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    before: Annotated[int, Meta(ge=1, le=2**53)] | UnsetType = UNSET


@operations.define(
    *("GET", "/v1/inbox", "List the inbox, the newest first"),
    caller=Caller.USER,
    query=InboxQuery,
    headers=(_IF_NONE_MATCH,),
    sends=(_ETAG, CACHING),
    answers={200: answers.InboxList, 304: None},
    lean=True,
)
async def list_inbox(call: Call[InboxQuery, None]) -> Answer:
    """With the counters and the cursor of the log at that moment, for a device to go on from.

    A page also ends at a quarter of `outbound_bytes_max` in content; one item always fits.
    """
    page = await read_inbox(call.services, inbox_page(call, call.user))
    body = msgspec.json.encode(inbox_list(page, call.services.status.epoch))
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if has_tag(call.headers["If-None-Match"], tag):
        return Answer(None, 304, headers)
    return Answer(body, headers=headers)


@operations.define(
    *("GET", "/v1/inbox/{notification}", "Show one notification of the inbox"),
    caller=Caller.USER,
    sends=(CACHING,),
    answers={200: answers.Notification},
)
async def show_inbox_item(call: Call[UrlQuery, None], notification: str) -> Answer:
    """In any state; another user's is not found."""
    await bring_up_to_date(call.services, call.user)
    item = await call.services.read(FindInboxItem(call.user, notification, call.now_ms))
    if isinstance(item, NotFound):
        raise refuse("not_found", "There is no notification with this id in your inbox.")
    return Answer(_view(item), headers={"Cache-Control": "private, no-cache"})


@operations.define(
    *("POST", "/v1/inbox/mark", "Mark notifications as seen, read, unread or archived"),
    caller=Caller.USER,
    body=MarkRequest,
    answers={200: MarkedInbox},
    lean=True,
    body_bytes_max=MARK_BYTES_MAX,
)
async def mark(call: Call[UrlQuery, MarkRequest]) -> Answer:
    """Some by their ids, those created up to a cursor, or all. Ids of others are passed over."""
    return Answer(await mark_inbox(call.services, call.user, call.body))


def inbox_page(call: Call[InboxQuery, None], user: str) -> InboxPage:
    """The page of *user*'s inbox that *call* asks for."""
    return InboxPage(
        user=user,
        states=_STATES[given(call.query.state)],
        category=given(call.query.category),
        limit=call.query.limit,
        before=given(call.query.before),
        now_ms=call.now_ms,
        bytes_max=call.services.settings.outbound_bytes_max // 4,
    )


def inbox_list(page: Inbox, epoch: str) -> answers.InboxList:
    """*page* as it goes over the wire."""
    return answers.InboxList(
        notifications=[answers.written(_view(item)) for item in page.items],
        next=str(page.items[-1].created_sequence) if page.more else None,
        unread=page.counters.unread,
        unseen=page.counters.unseen,
        cursor=str(Cursor(epoch, page.head)),
    )


def _view(item: InboxItem) -> bytes:
    return client_view(item.document, item.state, item.seen_at, item.read_at)
