"""A batch that a connector has in hand: what is settled of it, and what has to be tried again.

Each message ends in one of two ways, and then the broker may forget it: it is stored, or there is a
letter. Until then it is tried again, because the store is away or has no room, with the same key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tocsin.persistence.source import BrokerMessage
from tocsin.protocol.refusal import Refused
from tocsin.server.connector_status import ConnectorTerms, IngestCounters
from tocsin.server.ingest.burial import Dead
from tocsin.server.ingest.letters import letter_of
from tocsin.server.ingest.posting import Outcome, Readable
from tocsin.server.producing.publishing import Published

FAULTS_MAX: Final = 5
"""Tries of one message that end in an error of our own, while the store works; then it is a letter:
a bug of ours must not stop a queue for ever."""
ABSENCES_MAX: Final = 3
"""Tries of a change whose notification is not there: perhaps not yet, because it comes from
another partition or producer."""
ABSENCE_PAUSE: Final = 10.0
"""Seconds between these tries."""
_TEMPORARY: Final = frozenset({"idempotency_in_flight", "rate_limited"})
_SERVER_FAULT: Final = 500
"""The HTTP status from which on the fault is not the message's."""


@dataclass(slots=True)
class _Message:
    taken: BrokerMessage
    order: Readable
    faults: int = 0
    absences: int = 0


class BatchInHand:
    """The messages *taken*, with what each asks for; see the module."""

    def __init__(
        self,
        terms: ConnectorTerms,
        counters: IngestCounters,
        taken: Sequence[BrokerMessage],
        orders: Sequence[Readable],
    ) -> None:
        self._terms = terms
        self._counters = counters
        self._left = [_Message(*each) for each in zip(taken, orders, strict=True)]
        self.dead: list[Dead] = []
        self.trouble = ""
        """The code of the last problem for which a message has to be tried again."""
        self.waits_for_absent = False
        """True if all messages that are left wait for notifications that are absent."""

    @property
    def orders(self) -> list[Readable]:
        """The orders of the messages that are not settled, in order."""
        return [each.order for each in self._left]

    def settle(self, outcomes: Sequence[Outcome], now_ms: int) -> None:
        """Note the *outcomes* of all `orders`; what is left has to be tried again."""
        left = []
        self.waits_for_absent = True
        for message, outcome in zip(self._left, outcomes, strict=True):
            if isinstance(outcome, Published):
                self._counters.accepted += not outcome.replayed
                self._counters.replayed += outcome.replayed
            elif self._is_for_good(message, outcome):
                self._counters.refused += 1
                letter = letter_of(message.taken, outcome, self._terms, now_ms)
                self.dead.append(Dead(message.taken, letter))
            else:
                left.append(message)
                self.trouble = outcome.problem.code
                self.waits_for_absent &= outcome.problem.code == "not_found"
        self._left = left

    def _is_for_good(self, message: _Message, refused: Refused) -> bool:
        problem = refused.problem
        if problem.code == "internal_error":
            message.faults += 1
            return message.faults >= FAULTS_MAX
        if problem.code == "not_found":
            message.absences += 1
            return message.absences >= ABSENCES_MAX
        return problem.status < _SERVER_FAULT and problem.code not in _TEMPORARY
