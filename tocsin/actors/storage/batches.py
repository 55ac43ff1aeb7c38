"""Requests that go to the store together: refusing, abandoning, halving and answering them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, TypeVar

import structlog
import trio

from tocsin.actors.health import StorageStatistics
from tocsin.actors.runtime.ref import Request, abandoned
from tocsin.actors.storage.ledger_buffer import halves
from tocsin.actors.storage.requests import Read, Write
from tocsin.persistence.store import Store, StoreFailed, StoreUnavailable
from tocsin.persistence.store.user_commands import Record

logger = structlog.get_logger(__name__)

W = TypeVar("W")


def refuse(requests: Iterable[Request[Any]], error: StoreUnavailable) -> None:
    """Fail all *requests* with *error*, a copy for each."""
    for request in requests:
        request.reply.fail(error.again())


def abandon(requests: Iterable[Request[Any]]) -> None:
    """Fail all *requests*: their handler fails or is cancelled, so no answer will come."""
    for request in requests:
        abandoned(request)


def admitted(batch: list[Write[Any]]) -> list[Write[Any]]:
    """The writes of *batch* that overtake none of their lines; the others are refused."""
    remaining = []
    for write in batch:
        if write.line is None or write.line.admits(write.command):
            remaining.append(write)
        else:
            write.reply.fail(write.line.refusal())
    return remaining


def in_halves(records: list[Record], batch: list[W]) -> list[tuple[list[Record], list[W]]]:
    """*records* and *batch* in two parts, in order; none for a single command or a single line."""
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


async def answer(store: Store, statistics: StorageStatistics, batch: list[Read[Any]]) -> bool:
    """Answer *batch*; returns whether the *store* is away, in which case the queries are refused.

    A query that is poison is found by halves, and refused alone.
    """
    parts = [batch] if batch else []
    while parts:
        part = parts.pop()
        began = trio.current_time()
        try:
            answers = await store.read([read.query for read in part])
        except StoreUnavailable as error:
            refuse(chain(part, *parts), error)
            return True
        except StoreFailed as error:
            if len(part) == 1:
                logger.error("store refused a query", query=part[0].query, exc_info=error)
                part[0].reply.fail(error)
            else:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
        else:
            statistics.reads += 1
            statistics.read_batches.observe(trio.current_time() - began)
            statistics.queries += len(part)
            statistics.statements = store.statements_run
            for read, found in zip(part, answers, strict=True):
                read.reply.set(found)
    return False
