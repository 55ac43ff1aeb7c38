"""Commands and queries about connectors: the letters that they leave, and what operators say."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.commands import Done, NotFound


class IngestLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a connector took and that can never be stored. Times are Unix ms.

    *place* names it in its broker. *body* is its text, or the base64 of its bytes if they are no
    text (*encoding*); only its beginning, if it was *cut*. *problem* is the problem document that
    the same post would have got over HTTP, in JSON. *history* is as that of a `DeadLetter`.
    """

    connector: str
    place: str
    idempotency_key: str | None
    correlation: str | None
    headers: Mapping[str, str]
    encoding: str
    body: str
    cut: bool
    problem: str
    dead_at: int
    id: int = 0
    status: str = "dead"
    history: str = "[]"


class BuryMessages(Command[Done], frozen=True):
    """Keep *letters*. If there is one of the same connector and place, that stays as it is.

    Those that were *moved* to a place at their broker are settled: only a note of each is kept.
    """

    letters: tuple[IngestLetter, ...]
    moved: bool = False


class SettleIngest(Command[Done | NotFound], frozen=True):
    """Note that a letter is `replayed` or `discarded` (*status*); `NotFound` if it was settled or
    does not exist.
    """

    id: int
    status: str
    now_ms: int


class IngestLetters(msgspec.Struct, frozen=True):
    """A page of letters, without their bodies."""

    letters: tuple[IngestLetter, ...]
    more: bool


class ListIngest(Query[IngestLetters], frozen=True):
    """Letters of connectors, the newest first, with ids below *before* if given.

    At most *limit*, of one *connector* if that is given. *status* as in `ListLetters`.
    """

    limit: int
    before: int | None = None
    status: str | None = "dead"
    connector: str | None = None


class FindIngest(Query[IngestLetter | NotFound], frozen=True):
    """One letter of a connector."""

    id: int


class ConnectorOrders(msgspec.Struct, frozen=True):
    """The orders of operators to a connector, for all nodes.

    It was paused at *paused_at* (Unix ms), if it is. It passes over the messages at *skips*.
    """

    paused_at: int | None = None
    skips: tuple[str, ...] = ()


class ReadConnector(Query[ConnectorOrders], frozen=True):
    """The orders for the connector called *name*."""

    name: str


class SetConnector(Command[Done], frozen=True):
    """Give the connector called *name* its *orders*; the last ones given hold."""

    name: str
    orders: ConnectorOrders
