"""Dead letters: what did not arrive, for operators to look at, deliver again, or let go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.persistence.store import (
    DeadLetter,
    DiscardLetter,
    FindLetter,
    LetterReplayed,
    ListLetters,
    NotActive,
    NotFound,
    ReplayLetter,
)
from tocsin.protocol.notification import UserId
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api import answers
from tocsin.server.api.audit import audited
from tocsin.server.api.operation import (
    NO_CONTENT,
    Answer,
    Call,
    Caller,
    Operations,
    UrlQuery,
    given,
)
from tocsin.server.decoding import NotificationId

operations = Operations("dead letters")


class LettersQuery(UrlQuery, frozen=True, kw_only=True):
    """Which dead letters."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    before: Annotated[int, Meta(ge=1, le=2**53)] | UnsetType = UNSET
    status: Literal["dead", "replayed", "discarded", "all"] = "dead"
    user: UserId | UnsetType = UNSET
    notification: NotificationId | UnsetType = UNSET


@operations.define(
    *("GET", "/v1/admin/dead-letters", "List dead letters, the newest first"),
    caller=Caller.ADMIN,
    query=LettersQuery,
    answers={200: answers.LetterList},
)
async def list_dead_letters(call: Call[LettersQuery, None]) -> Answer:
    """Those that nobody has settled yet, unless the query says otherwise."""
    query = call.query
    page = await call.services.read(
        ListLetters(
            limit=query.limit,
            before=given(query.before),
            status=None if query.status == "all" else query.status,
            user=given(query.user),
            notification=given(query.notification),
        )
    )
    return Answer(
        answers.LetterList(
            dead_letters=[answers.LetterLine(**_fields(each)) for each in page.letters],
            next=page.letters[-1].id if page.more else None,
        )
    )


@operations.define(
    *("GET", "/v1/admin/dead-letters/{letter}", "Show a dead letter"),
    caller=Caller.ADMIN,
    answers={200: answers.Letter},
)
async def show_dead_letter(call: Call[UrlQuery, None], letter: int) -> Answer:
    """With its history, and the notification as long as that is kept."""
    found = await call.services.read(FindLetter(letter))
    if isinstance(found, NotFound):
        raise _unknown()
    document = found.document
    return Answer(
        answers.Letter(
            **_fields(found.letter),
            history=[_event(each) for each in msgspec.json.decode(found.letter.history)],
            content=None if document is None else answers.written(document),
        )
    )


@operations.define(
    *("POST", "/v1/admin/dead-letters/{letter}/replay", "Deliver a dead letter once more"),
    caller=Caller.ADMIN,
    problems=("conflict",),
    answers={200: answers.LetterReplayed},
)
async def replay_dead_letter(call: Call[UrlQuery, None], letter: int) -> Answer:
    """To the device or user that it was for, with attempts counted anew."""
    with audited(call, "dead letter replayed", letter=letter):
        match await call.services.write(ReplayLetter(letter, call.now_ms)):
            case LetterReplayed():
                return Answer(answers.LetterReplayed(id=letter))
            case NotActive(standing=standing):
                raise refuse(
                    "conflict", f"The notification is {standing}, so it cannot be delivered again."
                )
            case _:
                raise _unknown()


@operations.define(
    *("DELETE", "/v1/admin/dead-letters/{letter}", "Discard a dead letter"),
    caller=Caller.ADMIN,
    answers={204: None},
)
async def discard_dead_letter(call: Call[UrlQuery, None], letter: int) -> Answer:
    """It is kept as discarded, until retention takes it; again is no error."""
    with audited(call, "dead letter discarded", letter=letter):
        if isinstance(await call.services.write(DiscardLetter(letter, call.now_ms)), NotFound):
            raise _unknown()
    return NO_CONTENT


def _unknown() -> Refused:
    return refuse("not_found", "There is no dead letter with this id.")


def _fields(letter: DeadLetter) -> dict[str, Any]:
    fields = msgspec.structs.asdict(letter)
    del fields["history"]
    first_sent_at = letter.first_sent_at
    fields["first_sent_at"] = None if first_sent_at is None else to_rfc3339(first_sent_at)
    fields["dead_at"] = to_rfc3339(letter.dead_at)
    return fields


def _event(event: dict[str, Any]) -> Any:
    """A `LetterEvent`, with whatever else it says."""
    return event | {"at": to_rfc3339(event["at"])}
