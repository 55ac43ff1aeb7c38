"""The store's port: commands and queries as values, and the protocol of a store.

A *command* changes something, a *query* does not. The storage actor collects many of each and hands
them over together: `Store.write` runs all its commands in one transaction, `Store.read` answers all
its queries in few statements. So there is no method per use case, and every result tells its
outcome in a form that needs no second look at the store.

The store gives out sequences in the committing transaction, under the lock of the user's row. A
user's log therefore becomes visible in the order of its sequences, whichever node writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.results import Result
from tocsin.protocol.errors import DescribedError


class StoreUnavailable(DescribedError):
    """The store cannot be reached, or cannot write now (disk full, read only). Try again later.

    A command may still have been committed: the connection can die between the commit and its
    answer. Every command is therefore safe to repeat; a `Publish` is known by its content's id.

    *readable* says that only writing is impossible (a full disk): queries may be answered.
    *reason*, where it is known, may be shown to clients: it names no place and no address.
    *timed_out* says that the time limit of the call went by without an answer.
    """

    def __init__(
        self,
        *args: object,
        readable: bool = False,
        reason: str = "",
        timed_out: bool = False,
    ) -> None:
        super().__init__(*args)
        self.readable = readable
        self.reason = reason
        self.timed_out = timed_out

    def again(self) -> Self:
        """An equal exception, to be raised in another task: one exception raised in many tasks
        would gather all their tracebacks. A subclass has to keep this constructor.
        """
        return type(self)(
            *self.args, readable=self.readable, reason=self.reason, timed_out=self.timed_out
        )


class StoreBlocked(StoreUnavailable):
    """Another transaction holds a lock on rows that a command changes. The store works; nothing was
    done.
    """


class StoreFailed(DescribedError):
    """The store refused a statement: a bug of ours, or a database that this program cannot use."""


class Store(Protocol):
    """A durable store. Its methods raise `StoreUnavailable` and `StoreFailed`, nothing else.

    Cancelling a call abandons its answer, not its work: a write may still commit.
    """

    @property
    def epoch(self) -> str:
        """The name of this life of the database, known after `open`; a restored one has another."""

    @property
    def secret(self) -> str:
        """The secret that all nodes on this store share, and no other program; known after `open`.

        It is made at the first opening, and appears in no log, metric or answer.
        """

    @property
    def statements_run(self) -> int:
        """The number of statements that scripts have run; it shows whether batches stay cheap.

        A statement counts once, however many rows its columns have.
        """

    async def open(self) -> None:
        """Connect and apply missing migrations; safe to call again after a failure."""

    async def write(
        self, commands: Sequence[Command[Any]], *, hurried: bool = False
    ) -> list[Result]:
        """Run *commands* in one transaction, durable when this returns; their results, in order.

        Raises `StoreBlocked` if the lock of another transaction is in the way; *hurried* waits for
        it less long.

        Two kinds of commands keep the order of the batch: changes of logs among themselves, and
        commands about one device. A device that attaches may see the effect of a later command of
        its batch.
        """

    async def read(self, queries: Sequence[Query[Any]]) -> list[Any]:
        """Answer *queries*, in the same order. Each answer is of one moment; two may be of two.

        An answer has the type that its query names; the type of a list cannot express that.
        """

    async def probe(self) -> None:
        """Make the cheapest write that proves that the store can write."""

    async def aclose(self) -> None:
        """Close connections and threads; never raises, even if the store is away."""
