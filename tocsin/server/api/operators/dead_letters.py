"""Dead letters: what did not arrive, for operators to look at, deliver again, or let go.

Letters of all kinds stand in one list: notifications that a device did not get, messages that a
connector took and that cannot be stored, sends on a channel that were given up, and receipts that a
webhook's receiver refused. They have one row of numbers in the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, assert_never

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.persistence.store.commands import NotActive, NotFound
from tocsin.persistence.store.ingest_commands import FindIngest, IngestLetter, ListIngest
from tocsin.persistence.store.letter_commands import (
    FindReceiptLetter,
    FindSendLetter,
    ListReceiptLetters,
    ListSendLetters,
    ReceiptLetter,
    SendLetter,
    SettleSendLetter,
)
from tocsin.persistence.store.queries import FindLetter, FoundLetter, ListLetters
from tocsin.persistence.store.sink_commands import SettleSinkLetter
from tocsin.persistence.store.upkeep_commands import DiscardLetter, LetterReplayed, ReplayLetter
from tocsin.protocol.notifications.notification import UserId
from tocsin.protocol.refusal import refuse
from tocsin.server.api import answers
from tocsin.server.api import letter_lines as lines
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
from tocsin.server.api.operators.webhook_letters import carry_letter
from tocsin.server.decoding import ConnectorName, NotificationId
from tocsin.server.ingest.replaying import DISCARDED, REPLAYED, discard, replay

operations = Operations("dead letters")

_DEAD: Final = "dead"


class LettersQuery(UrlQuery, frozen=True, kw_only=True):
    """Which dead letters."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    before: Annotated[int, Meta(ge=1, le=2**53)] | UnsetType = UNSET
    status: Literal["dead", "replayed", "discarded", "all"] = "dead"
    user: UserId | UnsetType = UNSET
    notification: NotificationId | UnsetType = UNSET
    kind: Literal["delivery", "ingest", "send", "receipt", "all"] = "all"
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
    found: list[answers.LetterLine] = []
    more = False
    for kind, (asked, fields) in _LISTS.items():
        if query.kind in (kind, "all") and (wanted := asked(query)) is not None:
            page = await call.services.read(wanted)
            found += [answers.LetterLine(**fields(each)) for each in page.letters]
            more |= page.more
    # Each list has as many as asked for, so the newest of all together are among them.
    found.sort(key=lambda line: -line.id)
    listed = found[: query.limit]
    more |= len(found) > len(listed)
    return Answer(answers.LetterList(dead_letters=listed, next=listed[-1].id if more else None))


@operations.define(
    *("GET", "/v1/admin/dead-letters/{letter}", "Show a dead letter"),
    caller=Caller.ADMIN,
    answers={200: answers.Letter},
)
async def show_dead_letter(call: Call[UrlQuery, None], letter: int) -> Answer:
    """With its history, and the notification as long as that is kept."""
    found = await _find(call, letter)
    match found:
        case FoundLetter(letter=kept, document=document):
            return Answer(lines.delivery_letter(kept, document))
        case IngestLetter():
            return Answer(lines.ingest_letter(found))
        case SendLetter():
            return Answer(lines.send_letter(found))
        case ReceiptLetter():
            return Answer(lines.receipt_letter(found))
        case _:
            assert_never(found)


@operations.define(
    *("POST", "/v1/admin/dead-letters/{letter}/replay", "Deliver a dead letter once more"),
    caller=Caller.ADMIN,
    body=LetterEdit,
    body_optional=True,
    problems=("conflict",),
    answers={200: answers.LetterReplayed},
)
async def replay_dead_letter(call: Call[UrlQuery, LetterEdit | None], letter: int) -> Answer:
    """To the device, user or address that it was for, with attempts counted anew. A message of a
    connector is posted as the connector would; a mended one may be sent along for it. A receipt is
    carried now, by itself.
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
                await _replay_other(call, await _find(call, letter))
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
            await _discard_other(call, await _find(call, letter))
    return NO_CONTENT


AnyLetter = FoundLetter | IngestLetter | SendLetter | ReceiptLetter


async def _find(call: Call[Any, Any], letter: int) -> AnyLetter:
    """The letter with this number, of whatever kind; raises `Refused`."""
    queries = (FindLetter(letter), FindIngest(letter), FindSendLetter(letter))
    for query in (*queries, FindReceiptLetter(letter)):
        found = await call.services.read(query)
        if not isinstance(found, NotFound):
            kept: AnyLetter = found
            return kept
    raise refuse("not_found", "There is no dead letter with this id.")


async def _replay_other(call: Call[UrlQuery, LetterEdit | None], letter: AnyLetter) -> None:
    """Replay a letter that is not of a delivery; raises `Refused`."""
    match letter:
        case IngestLetter():
            body = None if call.body is None else msgspec.json.encode(call.body.message)
            await replay(call.services, call.publishing, letter, body)
        case SendLetter():
            command = SettleSendLetter(letter.id, REPLAYED, call.now_ms)
            settled = await call.services.write(command)
            if isinstance(settled, NotFound):
                raise refuse("conflict", f"It is {letter.status}, so it cannot be replayed.")
            if (line := call.services.channels.lines.get(settled.channel)) is not None:
                line.bell.ring()
        case ReceiptLetter():
            if letter.letter.status != _DEAD:
                status = letter.letter.status
                raise refuse("conflict", f"It is {status}, so it cannot be replayed.")
            tested = await carry_letter(call, letter.sink, letter.letter)
            if not tested.taken:
                why = tested.error or f"it answered {tested.status}"
                raise refuse("conflict", f"The receiver did not take it: {why}.")
        case FoundLetter():
            raise refuse("not_found", "There is no dead letter with this id.")
        case _:
            assert_never(letter)


async def _discard_other(call: Call[Any, Any], letter: AnyLetter) -> None:
    """Settle a letter that is not of a delivery without replay; again is no error."""
    match letter:
        case IngestLetter():
            await discard(call.services, letter)
        case SendLetter():
            await call.services.write(SettleSendLetter(letter.id, DISCARDED, call.now_ms))
        case ReceiptLetter():
            if letter.letter.status == _DEAD:
                position = letter.letter.position
                await call.services.write(SettleSinkLetter(letter.sink, position, DISCARDED))
        case FoundLetter():
            pass  # settled by another at this moment
        case _:
            assert_never(letter)


def _deliveries(query: LettersQuery) -> ListLetters | None:
    if query.connector is not UNSET:
        return None
    return ListLetters(
        **_page(query), user=given(query.user), notification=given(query.notification)
    )


def _messages(query: LettersQuery) -> ListIngest | None:
    if query.user is not UNSET or query.notification is not UNSET:
        return None
    return ListIngest(**_page(query), connector=given(query.connector))


def _sends(query: LettersQuery) -> ListSendLetters | None:
    if query.connector is not UNSET:
        return None
    user, notification = given(query.user), given(query.notification)
    return ListSendLetters(**_page(query), user=user, notification=notification)


def _receipts(query: LettersQuery) -> ListReceiptLetters | None:
    if query.connector is not UNSET or query.notification is not UNSET:
        return None
    return ListReceiptLetters(**_page(query), user=given(query.user))


def _page(query: LettersQuery) -> dict[str, Any]:
    status = None if query.status == "all" else query.status
    return {"limit": query.limit, "before": given(query.before), "status": status}


_LISTS: Final[dict[str, tuple[Callable[[LettersQuery], Any], Callable[[Any], dict[str, Any]]]]] = {
    "delivery": (_deliveries, lines.delivery_fields),
    "ingest": (_messages, lines.ingest_fields),
    "send": (_sends, lines.send_fields),
    "receipt": (_receipts, lines.receipt_fields),
}
"""By kind: the query for letters, none where it has no letters of the kind; and their fields."""
