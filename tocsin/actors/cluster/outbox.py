"""The envelopes that this node has still to say on the bus.

The outbox is bounded in envelopes and in bytes. Beyond the bounds the oldest envelope is dropped,
which is safe: a node that would have heard it finds the change in the store when it reconciles.
Envelopes that a failing bus did not take are kept and said later, as long as there is room, so they
may come late, or twice.

A *fleeting* envelope is true at its moment only, and is not kept. For if two devices arrived while
the bus was away, the one whose envelope happens to be said last need not be the last one.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tocsin.persistence.bus import Said

ENVELOPES_MAX: Final = 50_000
"""Envelopes in the outbox: what a node that says as much as it can says in some seconds."""
BYTES_MAX: Final = 64 << 20
"""Bytes in the outbox."""
BATCH_MAX: Final = 2000
"""Envelopes in one round trip."""
BATCH_BYTES_MAX: Final = 1 << 20
"""Bytes in one round trip, give or take the last envelope: more could take longer than the time-out
of a command."""


class Outbox:
    """Envelopes, first in, first out; *dropped* counts those for which there was no room."""

    def __init__(self, envelopes_max: int = ENVELOPES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self.dropped = 0
        self._envelopes_max = envelopes_max
        self._bytes_max = bytes_max
        self._waiting: deque[tuple[Said, bool]] = deque()
        self._bytes = 0

    def put(self, channel: str, payload: bytes, *, fleeting: bool = False) -> None:
        """Add an envelope to be said, at the expense of the oldest if there is no room."""
        self._waiting.append((Said(channel, payload), fleeting))
        self._bytes += len(payload)
        while len(self._waiting) > self._envelopes_max or self._bytes > self._bytes_max:
            oldest, _ = self._waiting.popleft()
            self._bytes -= len(oldest.payload)
            self.dropped += 1

    def take(self) -> list[tuple[Said, bool]]:
        """Remove the first envelopes, as many as one round trip should bring.

        If they cannot be said, `put_back` takes them.
        """
        batch: list[tuple[Said, bool]] = []
        taken = 0
        while self._waiting and len(batch) < BATCH_MAX and taken < BATCH_BYTES_MAX:
            first = self._waiting.popleft()
            taken += len(first[0].payload)
            batch.append(first)
        self._bytes -= taken
        return batch

    def put_back(self, batch: list[tuple[Said, bool]]) -> None:
        """Put *batch* back in front, as it could not be said; drop all fleeting envelopes."""
        kept = [each for each in (*batch, *self._waiting) if not each[1]]
        self._waiting.clear()
        self._bytes = 0
        for said, _ in kept:
            self.put(said.channel, said.payload)

    def __len__(self) -> int:
        return len(self._waiting)
