"""What the storage actor is asked."""

from __future__ import annotations

from tocsin.actors.runtime import Request
from tocsin.persistence.store import Answer, Command, Query, ReadDeliveries, Result


class Write(Request[Result]):
    """Run *command* durably; fails with `StoreUnavailable` or `StoreFailed`.

    Writes of one *lane* keep their order; without one it is the command's (`lane_of`).
    """

    command: Command
    lane: str | None = None


class Read(Request[Answer]):
    """Answer *query*; fails like `Write`."""

    query: Query


class Flush(Request[None]):
    """Have the ledger's lines written that are here now; fails like `Write`."""


StorageMessage = Write | Read | Flush


def reads_ledger(read: Read) -> bool:
    """Whether *read* has to see all that the ledger was told."""
    return isinstance(read.query, ReadDeliveries)
