"""Scripts of dead letters of sends and of receipts: listing, and settling those of sends."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tocsin.persistence.scripts.lists import Answers, Numbered, letter_pages, of_each_status
from tocsin.persistence.scripts.rows import NO_BOUND
from tocsin.persistence.scripts.statements import Row, Script, run
from tocsin.persistence.store.commands import NotFound
from tocsin.persistence.store.letter_commands import (
    FindReceiptLetter,
    FindSendLetter,
    ListReceiptLetters,
    ListSendLetters,
    ReceiptLetter,
    ReceiptLetters,
    SendLetter,
    SendLetters,
    SendSettled,
    SettleSendLetter,
)
from tocsin.persistence.store.results import Result
from tocsin.protocol.receipts.sink import Letter


def settle_send_letters(
    commands: Sequence[tuple[int, SettleSendLetter]], results: list[Result]
) -> Script[None]:
    """Run *commands*; of two for one letter the first counts."""
    first = {command.id: command for _, command in reversed(commands)}
    settled = sorted(first.values(), key=lambda command: command.id)
    rows = yield from run(
        "send_letters_settle",
        id=[each.id for each in settled],
        status=[each.status for each in settled],
        at=[each.now_ms for each in settled],
        event=[_event(each.now_ms, each.status) for each in settled],
    )
    channels = {row.letter: row.channel for row in rows}
    for index, command in commands:
        known = command is first[command.id] and command.id in channels
        results[index] = SendSettled(channels[command.id]) if known else NotFound()


def _event(at: int, event: str) -> str:
    return msgspec.json.encode({"at": at, "event": event}).decode()


def send_letters(queries: Numbered[ListSendLetters], answers: Answers) -> Script[None]:
    """Answer *queries*."""
    asked = of_each_status(queries)
    rows = yield from run(
        "send_letters_page",
        number=[index for index, _, _ in asked],
        status=[status for _, status, _ in asked],
        before=[NO_BOUND if query.before is None else query.before for _, _, query in asked],
        user_id=[query.user for _, _, query in asked],
        notification_id=[query.notification for _, _, query in asked],
        letters_max=[query.limit + 1 for _, _, query in asked],
    )
    for index, page, has_more in letter_pages(queries, rows):
        answers[index] = SendLetters(tuple([_send_letter(row, None) for row in page]), has_more)


def send_letter(queries: Numbered[FindSendLetter], answers: Answers) -> Script[None]:
    """Answer *queries*."""
    rows = yield from run("send_letters_read", id=sorted({query.id for _, query in queries}))
    found = {row.id: _send_letter(row, row.document) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.id, NotFound())


def receipt_letters(queries: Numbered[ListReceiptLetters], answers: Answers) -> Script[None]:
    """Answer *queries*."""
    asked = of_each_status(queries)
    rows = yield from run(
        "sink_letters_list",
        number=[index for index, _, _ in asked],
        status=[status for _, status, _ in asked],
        before=[NO_BOUND if query.before is None else query.before for _, _, query in asked],
        user_id=[query.user for _, _, query in asked],
        letters_max=[query.limit + 1 for _, _, query in asked],
    )
    for index, page, has_more in letter_pages(queries, rows):
        answers[index] = ReceiptLetters(tuple([_receipt_letter(row) for row in page]), has_more)


def receipt_letter(queries: Numbered[FindReceiptLetter], answers: Answers) -> Script[None]:
    """Answer *queries*."""
    rows = yield from run("sink_letters_read", id=sorted({query.id for _, query in queries}))
    found = {row.id: _receipt_letter(row) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.id, NotFound())


def _send_letter(row: Row, document: str | None) -> SendLetter:
    return SendLetter(
        id=row.id,
        notification=row.notification_id,
        user=row.user_id,
        channel=row.channel,
        address=row.address,
        attempts=row.attempts,
        reason=row.reason or "",
        history=f"[{row.history}]",
        dead_at=row.dead_at,
        status=row.status,
        document=document,
    )


def _receipt_letter(row: Row) -> ReceiptLetter:
    letter = Letter(row.position, row.user_id, row.receipt, row.reason, row.at, row.status)
    return ReceiptLetter(row.id, row.sink_id, letter)
