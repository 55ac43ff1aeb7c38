"""Followers of the receipts' log in the store: commands, each with its result, and queries.

A *webhook*, and a *sink in a broker*, is carried to by nodes, one at a time: the node that has its
lease. A webhook is made by an operator, the other stands in the settings of nodes. A *reader* is a
producer that asks for receipts; its row only says that they are wanted.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command, Query
from tocsin.persistence.store.commands import Done, NotFound, TooMany
from tocsin.protocol.receipts.receipt import Filter
from tocsin.protocol.receipts.sink import Letter, Progress, Secret

SINKS_MAX = 256
"""Webhooks of an installation. Each has a cursor of its own and is looked for by all nodes."""
READERS_MAX = 256
"""Credentials that read the log; the one that has not read for longest makes room."""


WEBHOOK, BROKER = "webhook", "broker"
"""The kinds of sinks that are carried to."""


class StoredSink(msgspec.Struct, frozen=True):
    """A webhook, or a sink in a broker (*kind*), without url and secrets; times are Unix ms.

    *revision* counts the changes by operators. *lost* is the number of positions that were purged
    before they were carried.
    """

    id: str
    url: str
    secrets: tuple[Secret, ...]
    filter: Filter
    description: str
    batch_max: int
    progress: Progress
    revision: int
    created_at: int
    kind: str = WEBHOOK


class CreateSink(Command[Done | TooMany], frozen=True):
    """Make *sink*, which starts at the head of the log, whatever its position says."""

    sink: StoredSink


class DeclareSink(Command[Done], frozen=True):
    """Make the sink *id* in a broker, or give it this *filter* and *batch_max*; a new one starts at
    the head of the log. It is forgotten when it was not claimed for as long as receipts are kept.
    """

    id: str
    filter: Filter
    batch_max: int
    now_ms: int


class ChangeSink(Command[Done | NotFound], frozen=True):
    """Change the fields of the sink *id* of this *kind* that are given, as an operator does.

    The batch that was being carried is given up, and formed anew from the position. *state* begins
    a new life of the webhook: former failures are forgotten.
    """

    id: str
    url: str | None = None
    secrets: tuple[Secret, ...] | None = None
    filter: Filter | None = None
    description: str | None = None
    batch_max: int | None = None
    position: int | None = None
    state: str | None = None
    kind: str = WEBHOOK


class DeleteSink(Command[Done | NotFound], frozen=True):
    """Remove a webhook and its letters."""

    id: str


class FollowReceipts(Command[Done], frozen=True):
    """Note that *reader* wants receipts, as of *now_ms*: those of the `USUAL` kinds, or of all.

    A reader that has wanted all kinds once goes on to.
    """

    reader: str
    now_ms: int
    all_kinds: bool = False


class SinksClaimed(msgspec.Struct, frozen=True):
    """The sinks whose lease the node has now."""

    sinks: tuple[StoredSink, ...]


class ClaimSinks(Command[SinksClaimed], frozen=True):
    """Take or renew, until *until*, the leases of all webhooks that are active, and of the sinks in
    brokers with the ids *names*.

    A lease that another node has is taken when it has run out by *now_ms*. Rows that another node
    is claiming are passed over.
    """

    node: str
    now_ms: int
    until: int
    names: tuple[str, ...] = ()


class SaveProgress(Command[Done | NotFound], frozen=True):
    """Write what *node* has carried for the sink *id*, at *now_ms*. That a sink is disabled is a
    receipt for the other followers.

    Result: `NotFound` if nothing was written, because the node has the lease no more, or an
    operator has changed the sink since *revision*.
    """

    id: str
    node: str
    revision: int
    progress: Progress
    letters: tuple[Letter, ...] = ()
    now_ms: int = 0


class Sinks(msgspec.Struct, frozen=True):
    """Sinks, the oldest first, and the *head* of the receipts' log."""

    sinks: tuple[StoredSink, ...]
    head: int


class ListSinks(Query[Sinks], frozen=True):
    """All sinks of a *kind*, of both kinds if it is `None`; or the one with *id*."""

    id: str | None = None
    kind: str | None = WEBHOOK


class SinkLetters(msgspec.Struct, frozen=True):
    letters: tuple[Letter, ...]
    more: bool


class ListSinkLetters(Query[SinkLetters], frozen=True):
    """Letters of the webhook *sink*, the newest first, below the position *before* if given."""

    sink: str
    limit: int
    before: int | None = None


class SettleSinkLetter(Command[Done | NotFound], frozen=True):
    """Settle the letter of *sink* at *position*: it was `replayed`, or is `discarded`."""

    sink: str
    position: int
    status: str
