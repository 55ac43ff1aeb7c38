"""What the storage actor is asked: a command or a query says by its type what comes of it.

So `await storage.ask(Read(query=FindHead(user)))` is a `Head`, and nobody looks whether it is one.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from tocsin.actors.runtime import Request
from tocsin.persistence.store import Command, Query, ReadDeliveries

T = TypeVar("T")


class Write(Request[T], Generic[T]):
    """Run *command* durably; fails with `StoreUnavailable` or `StoreFailed`.

    Writes of one *lane* keep their order; without one it is the command's (`lane_of`).
    """

    command: Command[T]
    lane: str | None = None


class Read(Request[T], Generic[T]):
    """Answer *query*; fails like `Write`."""

    query: Query[T]


class Flush(Request[None]):
    """Have the ledger's lines written that are here now; fails like `Write`."""


StorageMessage = Write[Any] | Read[Any] | Flush


def reads_ledger(read: Read[Any]) -> bool:
    """Whether *read* has to see all that the ledger was told."""
    return isinstance(read.query, ReadDeliveries)
