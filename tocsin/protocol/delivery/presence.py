"""A device on one connection, as far as it goes without the log: its phase, and its end.

The other nodes matter for both: their words of the user must be heard before the store is asked
where the device starts, an earlier session on one of them is settled first, and of two connections
of a device the older one ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.phases import NEXT, Input, OutOfPhase, Phase
from tocsin.protocol.delivery.rivals import is_older, rank_of
from tocsin.protocol.delivery.terms import Acknowledging
from tocsin.protocol.delivery.values import (
    AnnouncePresence,
    AskPlace,
    DeliveryTerms,
    End,
    NoteEnd,
    Output,
)
from tocsin.protocol.log.ledger import SessionEnd

RETRY_DELAY: Final = 1.0
"""Seconds, to twice as many, before trying again what could not be done."""
ECHO_MAX: Final = 2.0
"""Seconds after which the node's own word comes back too late to tell the order of arrivals."""


class DevicePresence:
    """See the module. *random* gives numbers in [0, 1), for the jitter of delays."""

    __slots__ = (
        "_announced",
        "_asks",
        "_cursor",
        "_random",
        "_terms",
        "_told_at",
        "_ways",
        "phase",
        "since",
    )

    def __init__(self, terms: DeliveryTerms, random: Callable[[], float], now: float) -> None:
        self.phase = Phase.WAITING
        self.since: Final = now
        self._ways = NEXT[self.phase]
        self._terms = terms
        self._random = random
        self._cursor = terms.cursor
        # A device that comes back with a cursor says with it all that it has ever acknowledged.
        says_all = terms.cursor is not None and terms.acknowledging is Acknowledging.RESUME
        self._asks = not says_all
        self._told_at = math.inf
        self._announced = False

    # --- Its beginning ---------------------------------------------------------------------------

    def listening(self) -> list[Output]:
        """The envelopes of other nodes about the user are heard; again is no harm.

        Before that the store is not asked: what was committed elsewhere in between would be neither
        in its answer nor heard.
        """
        before = self._take(Input.LISTENING)
        return [AskPlace(self._cursor)] if before is Phase.WAITING else []

    @property
    def asks_elsewhere(self) -> bool:
        """Whether an earlier session that the store takes for open is to be settled first."""
        return self._asks and self.phase is Phase.ATTACHING

    def unsettled(self) -> None:
        """The answer is from before another node wrote what the device has said there: wait."""
        self._take(Input.UNSETTLED)
        self._asks = False

    def settled(self) -> list[Output]:
        """The other node has written all, or is not waited for any longer."""
        self._take(Input.SETTLED)
        return [AskPlace(self._cursor)]

    def acknowledged_partly(self) -> list[Output]:
        """The store has more to note before the cursor than one transaction takes: ask again."""
        self._take(Input.PARTLY)
        return [AskPlace(self._cursor)]

    # --- The other nodes -------------------------------------------------------------------------

    def echoed(self) -> None:
        """All nodes have been told by now that the device is here."""
        self._take(Input.HEARD_ELSEWHERE)
        self._announced = True

    def arrived_elsewhere(self, now: float) -> list[Output]:
        """The device has attached to another node, as is heard *now*."""
        self._take(Input.HEARD_ELSEWHERE)
        if self._announced:
            return self.end(Closing.REPLACED)
        if now - self._told_at > ECHO_MAX:
            # The bus has lost the word of this connection's arrival. A second word makes both nodes
            # compare its age with the other's.
            return [AnnouncePresence(self.since)]
        # A connection that the others have not been told of yet is the later of the two.
        return []

    def is_elsewhere(self, since: float, rank: str) -> list[Output]:
        """The device is connected to another node, too: the older one of the two ends."""
        self._take(Input.HEARD_ELSEWHERE)
        ours = rank_of(self._terms.node, self._terms.connection)
        if is_older(self.since, ours, since, rank):
            return self.end(Closing.REPLACED)
        return [AnnouncePresence(self.since)]

    def asked_for(self) -> list[Output]:
        """The other nodes want to know which devices are here."""
        self._take(Input.HEARD_ELSEWHERE)
        return [AnnouncePresence(self.since)]

    # --- Its end ---------------------------------------------------------------------------------

    def end(self, closing: Closing, after: float = 0.0, detail: str = "") -> list[Output]:
        """Say goodbye; *after* in seconds, *detail* what was wrong."""
        return self._goodbye(self._take(Input.ENDED), End(closing, after, detail))

    def left(self) -> list[Output]:
        """The connection has gone."""
        return self._over(self._take(Input.LEFT))

    def ask_refused(self, closing: Closing) -> list[Output]:
        """The store could not even be asked."""
        return self._goodbye(self._take(Input.ASK_REFUSED), End(closing, self._spread(RETRY_DELAY)))

    def note_refused(self) -> list[Output]:
        """The ledger had no room for a `Note`, so this is not noted as the end of the session.

        The device comes back, is told again and acknowledges again: nothing is lost.
        """
        self._take(Input.NOTE_REFUSED)
        return [End(Closing.OVERLOADED, self._spread(RETRY_DELAY))]

    # --- Inside ----------------------------------------------------------------------------------

    def _take(self, happened: Input) -> Phase:
        """Go on to the phase that the table names; returns the one before."""
        before = self.phase
        following = self._ways.get(happened)
        if following is not before:
            if following is None:
                raise OutOfPhase(f"{happened!r} cannot come in the phase {before!r}")
            self.phase = following
            self._ways = NEXT[following]
        return before

    def _goodbye(self, before: Phase, end: End) -> list[Output]:
        return [end, *self._over(before)]

    def _over(self, before: Phase) -> list[Output]:
        """The session that the store may take for open, since it was asked, is over."""
        if before is Phase.WAITING:
            return []
        terms = self._terms
        return [NoteEnd(SessionEnd(terms.user, terms.device, terms.session))]

    def _spread(self, delay: float) -> float:
        return delay * (1.0 + self._random())
