"""Places in the line of the producers' commands, and how their commands are prepared for the spool.

No function here waits or touches the spool: see `line` and `spooler`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from tocsin.actors.runtime.ref import Reply
from tocsin.actors.spool.entries import (
    Committal,
    Spoolable,
    Spooled,
    answer_to,
    check,
    claim_of,
    encode,
    is_overdue,
    is_spoolable,
    named,
)
from tocsin.persistence.bus import Claim, SpoolDraft
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.commands import KeyReused, PatchRefused
from tocsin.protocol.refusal import Refused

APPEND_MAX: Final = 256
"""Commands that are appended in one round trip: enough for its price to vanish."""
APPEND_BYTES_MAX: Final = 1 << 20
"""Bytes in one round trip, give or take the last command: Redis does nothing else meanwhile."""


class LinePlace:
    """A place in the line: *asked* while the store has the command, *refused* if it was away."""

    __slots__ = ("asked", "command", "refused", "reply", "settled")

    def __init__(self, command: Spoolable, reply: Reply[Committal]) -> None:
        self.command = command
        self.reply = reply
        self.asked = self.refused = self.settled = False

    @property
    def waits(self) -> bool:
        """Whether the command has not gone to the store, nor to the spool."""
        return not (self.asked or self.settled)

    def settle(self, value: Committal) -> None:
        """Answer the producer with *value*; the place may leave the line."""
        self.settled = True
        self.reply.set(value)

    def fail(self, error: Exception) -> None:
        """Fail the producer's request with *error*; the place may leave the line."""
        self.settled = True
        self.reply.fail(error)


class Prepared(msgspec.Struct, frozen=True):
    """A place whose command can be spooled as *draft*; *answer* is for the producer then."""

    place: LinePlace
    draft: SpoolDraft
    answer: str

    def settle(self, earlier: Claim | None) -> None:
        """Answer the producer: the draft was appended, or its key had an *earlier* claim."""
        claim = self.draft.claim
        if earlier is None and not self.draft.payload:
            self.place.fail(StoreUnavailable("only the store knows whether this is a repetition"))
            return
        # The claim is our own if an earlier attempt was appended and its answer was lost.
        if earlier is None or earlier == claim:
            self.place.settle(Spooled(self.answer))
        elif claim is None or earlier.fingerprint != claim.fingerprint:
            self.place.settle(KeyReused())
        else:
            self.place.settle(Spooled(earlier.answer, replayed=True))


def prepare(line: Iterable[LinePlace], entropy: Callable[[int], bytes]) -> list[Prepared]:
    """The first places of *line* that can be spooled together; settles those that never can.

    The list ends before the first place that the store has not answered yet, so that no command
    overtakes it.
    """
    prepared: list[Prepared] = []
    size = 0
    for place in line:
        if place.asked and not place.settled:
            break
        if place.settled or (next_ := _prepare(place, entropy)) is None:
            continue
        prepared.append(next_)
        size += len(next_.draft.payload)
        if len(prepared) >= APPEND_MAX or size >= APPEND_BYTES_MAX:
            break
    return prepared


def _prepare(place: LinePlace, entropy: Callable[[int], bytes]) -> Prepared | None:
    # From here on the spool may have the command without our knowing.
    command = place.command = named(place.command, entropy)
    try:
        check(command)
    except Refused as error:
        place.settle(PatchRefused(error))
        return None
    if not is_spoolable(command):
        place.fail(StoreUnavailable("changes wait to be stored, so nobody knows the revision"))
        return None
    answer = answer_to(command)
    payload = b"" if is_overdue(command) else encode(command)
    return Prepared(place, SpoolDraft(payload, claim_of(command, answer)), answer)
