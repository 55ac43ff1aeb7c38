"""Letters of webhooks: receipts that a receiver refused while it took their neighbours."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.sink_commands import ListSinkLetters, SettleSinkLetter
from tocsin.protocol.receipts.sink import Letter
from tocsin.protocol.receipts.webhook import letter_message
from tocsin.protocol.refusal import Refused, refuse
from tocsin.protocol.values import to_rfc3339
from tocsin.server.api.answers import Answering, Timestamp, written
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
from tocsin.server.api.operators.webhooks import WebhookTested, carry_now, find_webhook
from tocsin.server.api.receipts import ReceiptView

operations = Operations("webhooks")


class WebhookLettersQuery(UrlQuery, frozen=True, kw_only=True):
    """Which letters of a webhook."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    before: Annotated[int, Meta(ge=1, le=2**53)] | UnsetType = UNSET


class WebhookLetter(Answering, frozen=True, kw_only=True):
    """A receipt that was refused, for as long as receipts are kept."""

    position: int
    receipt: ReceiptView
    reason: str
    at: Timestamp
    status: Literal["dead", "replayed", "discarded"]


class WebhookLetterList(Answering, frozen=True, kw_only=True):
    """Letters of a webhook, the newest first."""

    letters: list[WebhookLetter]
    next: int | None


@operations.define(
    *("GET", "/v1/webhooks/{webhook}/letters", "List the receipts that a receiver refused"),
    caller=Caller.ADMIN,
    query=WebhookLettersQuery,
    answers={200: WebhookLetterList},
)
async def list_webhook_letters(call: Call[WebhookLettersQuery, None], webhook: str) -> Answer:
    """Each was refused alone, while the receiver took the one behind it."""
    await find_webhook(call, webhook)
    query = call.query
    page = await call.services.read(ListSinkLetters(webhook, query.limit, given(query.before)))
    following = page.letters[-1].position if page.more else None
    letters = [_view(each) for each in page.letters]
    return Answer(WebhookLetterList(letters=letters, next=following))


@operations.define(
    *("POST", "/v1/webhooks/{webhook}/letters/{position}/replay", "Carry a refused receipt again"),
    caller=Caller.ADMIN,
    answers={200: WebhookTested},
)
async def replay_webhook_letter(call: Call[UrlQuery, None], webhook: str, position: int) -> Answer:
    """Now, by itself; with a 2xx the letter is settled."""
    await find_webhook(call, webhook)
    letter = await _find(call, webhook, position)
    with audited(call, "webhook letter replayed", webhook=webhook, position=position):
        return Answer(await carry_letter(call, webhook, letter))


async def carry_letter(call: Call[Any, Any], webhook: str, letter: Letter) -> WebhookTested:
    """Carry *letter* now; taken, it is settled. Raises `Refused` if there is no such webhook.

    Cancelled, it may have been carried without being settled; then a replay carries it again.
    """
    sink = await find_webhook(call, webhook)
    message_id, body = letter_message(
        letter.receipt, call.services.epoch, letter.position, alone=sink.batch_max == 1
    )
    tested = await carry_now(call, sink, message_id, body)
    if tested.taken:
        await call.services.write(SettleSinkLetter(webhook, letter.position, "replayed"))
    return tested


@operations.define(
    *("DELETE", "/v1/webhooks/{webhook}/letters/{position}", "Discard a refused receipt"),
    caller=Caller.ADMIN,
    answers={204: None},
)
async def discard_webhook_letter(call: Call[UrlQuery, None], webhook: str, position: int) -> Answer:
    """It is kept as discarded, as long as receipts are; again is no error."""
    command = SettleSinkLetter(webhook, position, "discarded")
    with audited(call, "webhook letter discarded", webhook=webhook, position=position):
        if isinstance(await call.services.write(command), NotFound):
            raise _unknown()
    return NO_CONTENT


async def _find(call: Call[Any, Any], webhook: str, position: int) -> Letter:
    page = await call.services.read(ListSinkLetters(webhook, 1, position + 1))
    if not page.letters or page.letters[0].position != position:
        raise _unknown()
    return page.letters[0]


def _unknown() -> Refused:
    return refuse("not_found", "There is no letter of this webhook at this position.")


def _view(letter: Letter) -> WebhookLetter:
    status: Any = letter.status
    receipt: Any = written(msgspec.Raw(letter.receipt.encode()))
    return WebhookLetter(
        position=letter.position,
        receipt=receipt,
        reason=letter.reason,
        at=to_rfc3339(letter.at),
        status=status,
    )
