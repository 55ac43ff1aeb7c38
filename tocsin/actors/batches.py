"""What becomes of requests that go to the store together, when they cannot all be answered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from tocsin.actors.ledger_buffer import halves
from tocsin.actors.runtime import Request
from tocsin.actors.runtime.ref import abandoned
from tocsin.persistence.store import Record, StoreUnavailable

W = TypeVar("W")


def refuse(requests: Iterable[Request[Any]], error: StoreUnavailable) -> None:
    """Tell all of *requests* of *error*."""
    for request in requests:
        # An exception of its own for each: one raised in many tasks would gather their tracebacks.
        request.reply.fail(type(error)(str(error)))


def abandon(requests: Iterable[Request[Any]]) -> None:
    """This fails or is cancelled: nobody is to wait for an answer that will not come."""
    for request in requests:
        abandoned(request)


def in_halves(records: list[Record], batch: list[W]) -> list[tuple[list[Record], list[W]]]:
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
