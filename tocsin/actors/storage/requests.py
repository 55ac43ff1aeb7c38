"""The requests to the storage actor: the type of a command or query is that of its answer.

So `await storage.ask(Read(query=FindHead(user)))` is a `Head`, and the asker need not check that.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from tocsin.actors.runtime.ref import Request
from tocsin.actors.storage.lines import Line
from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.queries import ReadDeliveries

T = TypeVar("T")


class Write(Request[T], Generic[T]):
    """Run *command* durably; fails with `StoreUnavailable` or `StoreFailed`.

    Writes of one *line* keep their order, also where one of them is not done; without a line they
    keep the order of the command's lane (`lane_of`).
    """

    command: Command[T]
    line: Line | None = None


class Read(Request[T], Generic[T]):
    """Answer *query*; fails like `Write`."""

    query: Query[T]


class Flush(Request[None]):
    """Have the ledger's lines written that wait now; fails like `Write`."""


StorageMessage = Write[Any] | Read[Any] | Flush


def reads_ledger(read: Read[Any]) -> bool:
    """Whether the answer of *read* has to include all lines that the ledger was told."""
    return isinstance(read.query, ReadDeliveries)
