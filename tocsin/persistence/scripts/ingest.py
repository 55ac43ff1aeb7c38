"""Scripts about connectors: their letters, and what operators have said of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from tocsin.persistence.scripts.lists import Answers, Numbered, letter_pages, of_each_status
from tocsin.persistence.scripts.rows import NO_BOUND
from tocsin.persistence.scripts.statements import Row, Script, pick, run
from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Changed, NotFound, Publish, Update, Withdraw
from tocsin.persistence.store.ingest_commands import (
    BuryMessages,
    ConnectorOrders,
    FindIngest,
    IngestLetter,
    IngestLetters,
    ListIngest,
    ReadConnector,
    SetConnector,
    SettleIngest,
)
from tocsin.persistence.store.results import Result
from tocsin.protocol.receipts.receipt import RECEIPT_ID, Fact, Facts, ReceiptKind

_BURY: Final = pick(
    "connector",
    "place",
    "idempotency_key",
    "correlation",
    "encoding",
    "body",
    "cut",
    "problem",
    "dead_at",
    "status",
    "history",
)
_OF_BROKERS: Final = (Publish, Update, Withdraw)
"""The commands that a message of a connector becomes."""
_PROBLEM: Final = ("code", "status", "title", "detail")
"""The fields of a problem that a receipt has; the letter has all of it."""


def change_ingest(
    commands: Sequence[tuple[int, BuryMessages | SettleIngest | SetConnector]],
    results: list[Result],
    facts: Facts,
) -> Script[None]:
    """Run *commands*, letters before they are settled; put each result in its place, and add to
    *facts* that messages were refused.
    """
    if not commands:
        return
    # A statement of Postgres cannot meet the same row twice.
    buried = {
        (letter.connector, letter.place): _settled(letter) if each.moved else _dead(letter)
        for _, each in commands
        if isinstance(each, BuryMessages)
        for letter in each.letters
    }
    rows = yield from run(
        "ingest_bury",
        **_BURY(buried.values()),
        headers=[msgspec.json.encode(each.headers).decode() for each in buried.values()],
    )
    letters = [buried[row.connector, row.place] for row in rows]
    facts += [_refused(each) for each in letters if RECEIPT_ID not in each.headers]
    settled = {each.id: each for _, each in commands if isinstance(each, SettleIngest)}
    rows = yield from run(
        "ingest_settle",
        id=list(settled),
        status=[each.status for each in settled.values()],
        at=[each.now_ms for each in settled.values()],
    )
    known = {row.id for row in rows}
    for index, command in commands:
        if isinstance(command, SettleIngest) and command.id not in known:
            results[index] = NotFound()
    orders = {each.name: each.orders for _, each in commands if isinstance(each, SetConnector)}
    yield from run(
        "connectors_set",
        name=list(orders),
        paused_at=[each.paused_at for each in orders.values()],
        skips=[msgspec.json.encode(each.skips).decode() for each in orders.values()],
    )


def _dead(letter: IngestLetter) -> IngestLetter:
    return msgspec.structs.replace(letter, status="dead", history=_history(letter, "dead"))


def _settled(letter: IngestLetter) -> IngestLetter:
    history = _history(letter, "dead", "moved")
    return msgspec.structs.replace(letter, status="discarded", history=history)


def _history(letter: IngestLetter, *events: str) -> str:
    return msgspec.json.encode([{"at": letter.dead_at, "event": each} for each in events]).decode()


def note_accepted(
    commands: Iterable[tuple[int, Command[Any]]], results: Sequence[Result], facts: Facts
) -> None:
    """Add to *facts* which messages of connectors the store has accepted, by the *results* of
    *commands*. One that was done before, and is replayed, was a fact then.
    """
    for index, command in commands:
        if not isinstance(command, _OF_BROKERS) or command.origin is None:
            continue
        if isinstance(result := results[index], Changed):
            action = type(command).__name__.lower()
            at = command.content.created_at if isinstance(command, Publish) else command.now_ms
            detail = msgspec.structs.asdict(command.origin)
            detail |= {"action": action, "recipients": result.recipients}
            text = msgspec.json.encode(detail).decode()
            facts.append(Fact(ReceiptKind.ACCEPTED, result.content.id, None, at, detail=text))


def _refused(letter: IngestLetter) -> Fact:
    problem = msgspec.json.decode(letter.problem)
    detail = {
        "connector": letter.connector,
        "place": letter.place,
        "key": letter.idempotency_key,
        "correlation": letter.correlation,
        "problem": {name: problem.get(name) for name in _PROBLEM},
    }
    text = msgspec.json.encode(detail).decode()
    return Fact(ReceiptKind.REFUSED, None, None, letter.dead_at, detail=text)


def ingest_letters(queries: Numbered[ListIngest], answers: Answers) -> Script[None]:
    """Answer *queries*."""
    asked = of_each_status(queries)
    rows = yield from run(
        "ingest_page",
        number=[index for index, _, _ in asked],
        status=[status for _, status, _ in asked],
        before=[NO_BOUND if query.before is None else query.before for _, _, query in asked],
        connector=[query.connector for _, _, query in asked],
        letters_max=[query.limit + 1 for _, _, query in asked],
    )
    for index, page, has_more in letter_pages(queries, rows):
        answers[index] = IngestLetters(tuple([_letter(row) for row in page]), has_more)


def ingest_letter(queries: Numbered[FindIngest], answers: Answers) -> Script[None]:
    """Answer *queries*."""
    rows = yield from run("ingest_read", id=sorted({query.id for _, query in queries}))
    found = {row.id: _letter(row) for row in rows}
    for index, query in queries:
        answers[index] = found.get(query.id, NotFound())


def connector_orders(queries: Numbered[ReadConnector], answers: Answers) -> Script[None]:
    """Answer *queries*; a connector of which nothing was said has empty orders."""
    rows = yield from run("connectors_read", name=sorted({query.name for _, query in queries}))
    found = {
        row.name: ConnectorOrders(row.paused_at, tuple(msgspec.json.decode(row.skips)))
        for row in rows
    }
    for index, query in queries:
        answers[index] = found.get(query.name, ConnectorOrders())


def _letter(row: Row) -> IngestLetter:
    return IngestLetter(
        id=row.id,
        connector=row.connector,
        place=row.place,
        idempotency_key=row.idempotency_key,
        correlation=row.correlation,
        headers=msgspec.json.decode(row.headers),
        encoding=row.encoding,
        body=row.body,
        cut=bool(row.cut),
        problem=row.problem,
        dead_at=row.dead_at,
        status=row.status,
        history=row.history,
    )
