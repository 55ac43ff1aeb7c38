"""Footprints: what each transaction has written of logs, for nodes that may not have been told.

A node that shares its store with others is told of their commits over the bus. An envelope can get
lost there, and a node can die between its commit and its envelope. So each transaction that writes
logs leaves a *footprint* in the store, and a node that has read all of them knows what it missed.

Footprints lie in the order of the ids of their transactions, which is the order in which these
began, not that of their commits. A page therefore says which id is the `oldest` that may still be
under way: behind it a footprint may yet appear, and before it none does.

*Life* is a name for as long as the store remembers all ids that it gave out. A server that has
crashed, and a standby that takes over, may give ids out again; they have forgotten the life.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.commands import Done

UNKNOWN = None
"""The footprint of a program that writes logs without saying which."""


class Footprint(msgspec.Struct, frozen=True, omit_defaults=True):
    """The writes of a transaction: the *heads* of users' logs as they are since, the users who
    *joined* topics, those of whom only the counters changed (*recounted*), and the *topics* whose
    logs have new entries."""

    heads: dict[str, int] = {}
    joined: tuple[str, ...] = ()
    recounted: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()


class FootprintPage(msgspec.Struct, frozen=True):
    """The *footprints* of committed transactions, in order; `UNKNOWN` for some.

    *life* is `None` if the store has none (`BeginLife`). Footprints of transactions before the id
    *horizon* may have been forgotten. A transaction before the id *oldest* has ended, and *newest*
    is above all ids that were given out. *more* is the place of the last footprint here, if more
    lie behind it.
    """

    life: str | None
    horizon: int
    oldest: int
    newest: int
    footprints: tuple[Footprint | None, ...] = ()
    more: tuple[int, int] | None = None


class ReadFootprints(Query[FootprintPage], frozen=True):
    """The first *limit* footprints behind a place: the id of a transaction, and a part of it."""

    after: tuple[int, int]
    limit: int


class BeginLife(Command[Done], frozen=True):
    """Give the store the life of this name, if it has none."""

    life: str


class ForgetFootprints(Command[Done], frozen=True):
    """Forget footprints of transactions before an id, at most *limit*; the horizon moves there."""

    before: int
    limit: int = 10_000
