"""Dead letters: what did not arrive, for operators to look at, deliver again, or let go.

Letters of both kinds stand in one list: notifications that a device did not get, and messages that
a connector took and that cannot be stored. They have one row of numbers in the store.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.persistence.store.commands import NotActive, NotFound
from tocsin.persistence.store.ingest_commands import (
    FindIngest,
    IngestLetter,
    ListIngest,
)
from tocsin.persistence.store.queries import DeadLetter, FindLetter, ListLetters
from tocsin.persistence.store.upkeep_commands import DiscardLetter, LetterReplayed, ReplayLetter
from tocsin.protocol.notification import UserId
from tocsin.protocol.problems import Problem
from tocsin.protocol.refusal import refuse
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
from tocsin.server.decoding import ConnectorName, NotificationId
from tocsin.server.ingest.replaying import discard, replay

operations = Operations("dead letters")


class LettersQuery(UrlQuery, frozen=True, kw_only=True):
    """Which dead letters."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    before: Annotated[int, Meta(ge=1, le=2**53)] | UnsetType = UNSET
    status: Literal["dead", "replayed", "discarded", "all"] = "dead"
    user: UserId | UnsetType = UNSET
    notification: NotificationId | UnsetType = UNSET
    kind: Literal["delivery", "ingest", "all"] = "all"
    connector: ConnectorName | UnsetType = UNSET


class LetterEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message in place of the kept one."""

    message: dict[str, Any]


@operations.define(
    *("GET", "/v1/admin/dead-letters", "List dead letters, the newest first"),
    caller=Caller.ADMIN,
    query=LettersQuery,
    answers={200: answers.LetterList},
)
async def list_dead_letters(call: Call[LettersQuery, None]) -> Answer:
    """Those that nobody has settled yet, unless the query says otherwise."""
    query = call.query
    lines: list[answers.LetterLine] = []
    more = False
    if query.kind != "ingest" and query.connector is UNSET:
        page = await call.services.read(_deliveries(query))
        lines += [answers.LetterLine(**_fields(each)) for each in page.letters]
        more |= page.more
    if query.kind != "delivery" and query.user is UNSET and query.notification is UNSET:
        messages = await call.services.read(_messages(query))
        lines += [answers.LetterLine(**_ingest_fields(each)) for each in messages.letters]
        more |= messages.more
    # Each list has as many as asked for, so the newest of both together are among them.
    lines.sort(key=lambda line: -line.id)
    listed = lines[: query.limit]
    more |= len(lines) > len(listed)
    return Answer(answers.LetterList(dead_letters=listed, next=listed[-1].id if more else None))


@operations.define(
    *("GET", "/v1/admin/dead-letters/{letter}", "Show a dead letter"),
    caller=Caller.ADMIN,
    answers={200: answers.Letter},
)
async def show_dead_letter(call: Call[UrlQuery, None], letter: int) -> Answer:
    """With its history, and the notification as long as that is kept."""
    found = await call.services.read(FindLetter(letter))
    if isinstance(found, NotFound):
        return Answer(_ingest_letter(await _ingest(call, letter)))
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
    body=LetterEdit,
    body_optional=True,
    problems=("conflict",),
    answers={200: answers.LetterReplayed},
)
async def replay_dead_letter(call: Call[UrlQuery, LetterEdit | None], letter: int) -> Answer:
    """To the device or user that it was for, with attempts counted anew. A message of a connector
    is posted as the connector would; a mended one may be sent along for it.
    """
    with audited(call, "dead letter replayed", letter=letter):
        match await call.services.write(ReplayLetter(letter, call.now_ms)):
            case LetterReplayed():
                return Answer(answers.LetterReplayed(id=letter))
            case NotActive(standing=standing):
                raise refuse(
                    "conflict", f"The notification is {standing}, so it cannot be delivered again."
                )
            case _:
                body = None if call.body is None else msgspec.json.encode(call.body.message)
                kept = await _ingest(call, letter)
                await replay(call.services, call.publishing, kept, body)
                return Answer(answers.LetterReplayed(id=letter))


@operations.define(
    *("DELETE", "/v1/admin/dead-letters/{letter}", "Discard a dead letter"),
    caller=Caller.ADMIN,
    answers={204: None},
)
async def discard_dead_letter(call: Call[UrlQuery, None], letter: int) -> Answer:
    """It is kept as discarded, until retention takes it; again is no error."""
    with audited(call, "dead letter discarded", letter=letter):
        if isinstance(await call.services.write(DiscardLetter(letter, call.now_ms)), NotFound):
            await discard(call.services, await _ingest(call, letter))
    return NO_CONTENT


async def _ingest(call: Call[Any, Any], letter: int) -> IngestLetter:
    """The letter of a connector; raises `Refused`."""
    found = await call.services.read(FindIngest(letter))
    if isinstance(found, NotFound):
        raise refuse("not_found", "There is no dead letter with this id.")
    return found


def _deliveries(query: LettersQuery) -> ListLetters:
    return ListLetters(
        limit=query.limit,
        before=given(query.before),
        status=None if query.status == "all" else query.status,
        user=given(query.user),
        notification=given(query.notification),
    )


def _messages(query: LettersQuery) -> ListIngest:
    return ListIngest(
        limit=query.limit,
        before=given(query.before),
        status=None if query.status == "all" else query.status,
        connector=given(query.connector),
    )


def _fields(letter: DeadLetter) -> dict[str, Any]:
    fields = msgspec.structs.asdict(letter)
    del fields["history"]
    first_sent_at = letter.first_sent_at
    fields["first_sent_at"] = None if first_sent_at is None else to_rfc3339(first_sent_at)
    fields["dead_at"] = to_rfc3339(letter.dead_at)
    return fields


def _ingest_fields(letter: IngestLetter) -> dict[str, Any]:
    problem = msgspec.json.decode(letter.problem, type=Problem)
    return {
        "id": letter.id,
        "kind": "ingest",
        "notification": None,
        "user": None,
        "device": None,
        "cause": "refused",
        "reason": f"{problem.code}: {problem.detail}",
        "attempts": 1,
        "first_sent_at": None,
        "dead_at": to_rfc3339(letter.dead_at),
        "status": letter.status,
        "connector": letter.connector,
        "place": letter.place,
    }


def _ingest_letter(letter: IngestLetter) -> answers.Letter:
    return answers.Letter(
        **_ingest_fields(letter),
        history=[_event(each) for each in msgspec.json.decode(letter.history)],
        content=None,
        message=answers.KeptMessage(
            idempotency_key=letter.idempotency_key,
            correlation=letter.correlation,
            headers=dict(letter.headers),
            encoding="base64" if letter.encoding == "base64" else "text",
            body=letter.body,
            cut=letter.cut,
        ),
        problem=msgspec.json.decode(letter.problem, type=Problem),
    )


def _event(event: dict[str, Any]) -> Any:
    """A `LetterEvent`, with whatever else it says."""
    return event | {"at": to_rfc3339(event["at"])}
