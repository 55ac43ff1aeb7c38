"""The sinks that this node carries to, as a table: leases, figures, and a bell.

One node at a time carries to a sink. Its lease stands in the store and is renewed long before it
runs out. A node that was frozen finds its lease over by its own clock before it carries anything
more, and the store takes no progress from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tocsin.actors.delivery.timing import Timing
from tocsin.actors.runtime.bell import Bell
from tocsin.actors.sinks.terms import SinkTerms
from tocsin.actors.sinks.watch import ReceiptWatch
from tocsin.persistence.store.sink_commands import StoredSink
from tocsin.protocol.receipts.sink import Secret
from tocsin.protocol.secret_box import SecretBox, SecretUnreadable, webhook_context

LEASE: Final = 15.0
"""Seconds for which one node has a sink: for so long a node that dies keeps others from it."""


@dataclass(slots=True)
class SinkLease:
    """This node carries to a sink *until* a time (Trio's), as of a *revision* of it."""

    until: float
    revision: int


@dataclass(slots=True)
class SinkFigures:
    """The work of this node for one sink since its start: *batches* that were taken, *failures*,
    *letters*; *behind* is in positions, *failing_since* in Unix ms.
    """

    batches: int = 0
    failures: int = 0
    letters: int = 0
    behind: int = 0
    failing_since: int | None = None


class SinksTable:
    """See the module."""

    def __init__(
        self,
        receipts: ReceiptWatch,
        terms: Sequence[SinkTerms] = (),
        timing: Timing | None = None,
        box: SecretBox | None = None,
    ) -> None:
        self._box = box or SecretBox()
        self.terms = tuple(terms)
        """The sinks in brokers that the settings of this node have."""
        self.timing = timing or Timing()
        self.leases: dict[str, SinkLease] = {}
        self.figures: dict[str, SinkFigures] = {}
        self.disabled = 0
        """Sinks of the whole cluster that are disabled, at the last look."""
        self.bell = Bell()
        """Rings when an operator has changed a webhook on this node."""
        self._receipts = receipts

    def sealed(self, webhook: str, secret: str) -> str:
        """*secret* as the store keeps it for *webhook*."""
        return self._box.seal(secret, webhook_context(webhook))

    def secrets_of(self, sink: StoredSink) -> tuple[Secret, ...]:
        """The secrets of *sink*, to sign with; those that were rotated out as far as they can be
        read. Raises `SecretUnreadable` if the present one cannot."""
        context, opened = webhook_context(sink.id), []
        for each in sink.secrets:
            try:
                opened.append(Secret(self._box.open(each.text, context), each.until))
            except SecretUnreadable:
                if each.until is None:
                    raise
        return tuple(opened)

    def changed(self) -> None:
        """Look at the webhooks now: an operator has made, changed or removed one."""
        self.bell.ring()
        # Its forwarder, which waits for receipts, finds that its lease is of an older revision.
        self._receipts.committed()

    def hold(self, sinks: Iterable[StoredSink], until: float) -> None:
        """Note that these are all sinks that this node has, *until* a time (Trio's)."""
        self.leases = {each.id: SinkLease(until, each.revision) for each in sinks}
        self.figures = {id_: self.figures.get(id_, SinkFigures()) for id_ in self.leases}

    def holds(self, sink: StoredSink, now: float) -> bool:
        """Whether this node may carry to *sink*, as it was claimed, at *now* (Trio's)."""
        lease = self.leases.get(sink.id)
        return lease is not None and lease.until > now and lease.revision == sink.revision
