"""What the storage actor does to requests: in parts, refused, abandoned."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.actors.ledger_buffer import halves
from tocsin.actors.runtime import Request
from tocsin.actors.runtime.ref import abandoned
from tocsin.persistence.store import (
    Answer,
    Command,
    Query,
    ReadDeliveries,
    Record,
    Result,
    StoreUnavailable,
)


class Write(Request[Result]):
    """Run *command* durably; fails with `StoreUnavailable` or `StoreFailed`.

    Writes of one *lane* keep their order; without one it is the command's (`lane_of`).
    """

    command: Command
    lane: str | None = None


class Read(Request[Answer]):
    """Answer *query*; fails like `Write`."""

    query: Query


def refuse(requests: Iterable[Write | Read], error: StoreUnavailable) -> None:
    """Tell all of *requests* of *error*."""
    for request in requests:
        # An exception of its own for each: one raised in many tasks would gather their tracebacks.
        request.reply.fail(type(error)(str(error)))


def reads_ledger(read: Read) -> bool:
    """Whether *read* has to see all that the ledger was told."""
    return isinstance(read.query, ReadDeliveries)


def abandon(requests: Iterable[Write | Read]) -> None:
    """Their actor fails or is cancelled: nobody is to wait for an answer that will not come."""
    for request in requests:
        abandoned(request)


def in_halves(records: list[Record], batch: list[Write]) -> list[tuple[list[Record], list[Write]]]:
    """The same in two parts, in order; none if it is a single command that says a single thing."""
    if records and batch:
        return [(records, []), ([], batch)]
    if len(batch) > 1:
        middle = len(batch) // 2
        return [([], batch[:middle]), ([], batch[middle:])]
    if len(records) > 1:
        middle = len(records) // 2
        return [(records[:middle], []), (records[middle:], [])]
    if records:
        return [([half], []) for half in halves(records[0])]
    return []
