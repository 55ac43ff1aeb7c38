"""Marking, and reading what is up to date: what several doors want of a user's inbox.

A topic's notifications come into a user's log when the user looks (`Materialise`). A
node that shows the log therefore looks first whether it is behind.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.queries import FindHead, Inbox, InboxPage
from tocsin.persistence.store.user_commands import BeyondHead, Marked, MarkInbox, Materialise
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor, UnreadableCursor, parse_cursor
from tocsin.protocol.notifications.marking import Mark
from tocsin.protocol.problems import FieldError
from tocsin.protocol.refusal import Refused, refuse
from tocsin.server.decoding import NotificationId, check
from tocsin.server.services import Services, storage_problem

IDS_MAX: Final = 500
"""Notifications in one request: a transaction marks them, and posts wait behind it."""
MARK_BYTES_MAX: Final = 32 * 1024
"""So many ids, with commas, quotes and some blanks."""
_ROUNDS_MAX: Final = 100
"""Transactions that one look at an inbox may cause; what is left then is left to the next look."""

_USERS_AT_A_TIME: Final = 200
"""Of those who are brought up to date together: each may have several entries to get."""


class MarkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Give notifications another state: some, those up to a cursor, or all in the inbox."""

    state: Mark
    ids: Annotated[list[NotificationId], Meta(min_length=1, max_length=IDS_MAX)] | None = None
    through: Annotated[str, Meta(max_length=64)] | None = None
    all: Literal[True] | None = None


class MarkedInbox(msgspec.Struct, frozen=True, kw_only=True):
    """*changed* notifications have another state now; *cursor* is where the log stands."""

    changed: int
    unread: int
    unseen: int
    cursor: str


async def mark_inbox(services: Services, user: str, request: MarkRequest) -> MarkedInbox:
    """Do what *request* says; raises `Refused`.

    Cancelled, a part of it may have been done. Doing it again does the rest.
    """
    command = MarkInbox(
        user=user,
        mark=request.state,
        now_ms=services.world.now_ms(),
        ids=None if request.ids is None else tuple(dict.fromkeys(request.ids)),
        through=_through(request, services.epoch),
    )
    marked = await _mark_some(services, command)
    changed = marked.changed
    while marked.more:
        marked = await _mark_some(services, command)
        changed += marked.changed
    return MarkedInbox(
        changed=changed,
        unread=marked.counters.unread,
        unseen=marked.counters.unseen,
        cursor=str(Cursor(services.status.epoch, marked.head)),
    )


def request_of(frame: frames.Mark) -> MarkRequest:
    """The request that a `mark` frame makes; raises `Refused`."""
    fields = {"state": frame.state, "ids": frame.ids, "through": frame.through}
    return check(MarkRequest, {**fields, "all": frame.all or None})


async def bring_up_to_date(services: Services, user: str) -> None:
    """Bring what *user*'s topics have into the log; raises `Refused`.

    Cancelled, some of it may have been brought already.
    """
    for _ in range(_ROUNDS_MAX):
        head = await services.read(FindHead(user))
        if not head.behind:
            break
        await services.write(Materialise((user,), services.world.now_ms()))


async def bring_all_up_to_date(services: Services, users: tuple[str, ...]) -> None:
    """Bring *users* up to date in transactions that are short; raises `Refused`.

    Before a change that presupposes it, and would else do it at a stretch, while others wait.
    Cancelled, some of them may have been.
    """
    behind = list(users)
    while behind:
        some = tuple(behind[:_USERS_AT_A_TIME])
        brought = await services.write(Materialise(some, services.world.now_ms()))
        behind[: len(some)] = brought.behind


async def read_inbox(services: Services, query: InboxPage) -> Inbox:
    """A page of an inbox that is up to date; raises `Refused`. Cancelled, a part
    of it may have been brought up to date."""
    page = await services.read(query)
    if page.behind:
        await bring_up_to_date(services, query.user)
        page = await services.read(query)
    return page


async def _mark_some(services: Services, command: MarkInbox) -> Marked:
    marked = await services.write(command)
    if isinstance(marked, BeyondHead):
        raise _no_place(f"it is beyond the log, which ends at {marked.head}")
    return marked


def _through(request: MarkRequest, epoch: str) -> int | None:
    """The sequence that *request* names, if it does; raises `Refused`."""
    ways = [request.ids, request.through, request.all]
    if sum(way is not None for way in ways) != 1:
        wrong = [FieldError("$", "give `ids`, `through` or `all`, one of the three")]
        raise refuse("invalid", "The request does not say in one way what to mark.", wrong)
    if request.through is None:
        return None
    if not epoch:
        raise storage_problem(StoreUnavailable())  # and so the log is not known yet
    try:
        cursor = parse_cursor(request.through, epoch)
    except UnreadableCursor as error:
        raise _no_place(str(error)) from None
    if cursor.epoch != epoch:
        raise _no_place("it is of another log; read the inbox anew")
    return cursor.sequence


def _no_place(message: str) -> Refused:
    wrong = [FieldError("$.through", message)]
    return refuse("invalid", "`through` is no place in the log.", wrong)
