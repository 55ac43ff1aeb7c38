"""Dead letters of sends and of receipts: queries, and settling those of sends.

They share their numbers with the letters of deliveries and of connectors, so that all stand in one
list. A *send* that was given up is its own letter; a *receipt* is one of a sink that refused it.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.commands import NotFound
from tocsin.protocol.receipts.sink import Letter


class SendLetter(msgspec.Struct, frozen=True):
    """A send that was given up at *dead_at* (Unix ms). *history* is JSON: its attempts, and what
    operators did. *document* is the notification's, where it was asked for and is kept."""

    id: int
    notification: str
    user: str
    channel: str
    address: str
    attempts: int
    reason: str
    history: str
    dead_at: int
    status: str
    document: str | None = None


class SendLetters(msgspec.Struct, frozen=True):
    letters: tuple[SendLetter, ...]
    more: bool


class ListSendLetters(Query[SendLetters], frozen=True):
    """Letters of sends, the newest first, with ids below *before* if given.

    At most *limit*, of one *user* or *notification* if given. *status* as in `ListLetters`.
    """

    limit: int
    before: int | None = None
    status: str | None = "dead"
    user: str | None = None
    notification: str | None = None


class FindSendLetter(Query[SendLetter | NotFound], frozen=True):
    """One letter of a send, with the notification's document."""

    id: int


class SendSettled(msgspec.Struct, frozen=True):
    """The letter is settled; one that was replayed waits on *channel*."""

    channel: str


class SettleSendLetter(Command[SendSettled | NotFound], frozen=True):
    """Settle the letter *id* of a send: `replayed` or `discarded` (*status*).

    A send that is replayed waits again, with its attempts counted anew, and is judged as any other
    when it is claimed. `NotFound` if the letter is settled already, or does not exist.
    """

    id: int
    status: str
    now_ms: int


class ReceiptLetter(msgspec.Struct, frozen=True):
    """The *letter* with the number *id*, of the sink *sink*."""

    id: int
    sink: str
    letter: Letter


class ReceiptLetters(msgspec.Struct, frozen=True):
    letters: tuple[ReceiptLetter, ...]
    more: bool


class ListReceiptLetters(Query[ReceiptLetters], frozen=True):
    """Letters of all sinks, the newest first, with ids below *before* if given.

    At most *limit*, of one *user* if given. *status* as in `ListLetters`.
    """

    limit: int
    before: int | None = None
    status: str | None = "dead"
    user: str | None = None


class FindReceiptLetter(Query[ReceiptLetter | NotFound], frozen=True):
    """One letter of a sink, by its number."""

    id: int
