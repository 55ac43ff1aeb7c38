"""What this node has still to say on the bus.

Bounded in envelopes and in bytes; beyond it the oldest is dropped, which is safe: whoever would
have heard it finds it in the store when it reconciles. What a failing bus did not take is kept and
said later, as long as there is room: it may come twice and late.

Not so what is *fleeting*, true at its moment only: of two devices that arrived while the bus was
away, the one whose words happen to be said last is not the last one.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tocsin.persistence.bus import Said

ENVELOPES_MAX: Final = 50_000
"""Some seconds of the most that one node says."""
BYTES_MAX: Final = 64 << 20
"""Bytes of them, so that large envelopes cannot take a node's memory while the bus is away."""
BATCH_MAX: Final = 2000
"""Envelopes in one round trip."""
BATCH_BYTES_MAX: Final = 1 << 20
"""Bytes in one, give or take the last envelope: more could take longer than anybody waits."""


class Outbox:
    """First in, first out; *dropped* counts what there was no room for."""

    def __init__(self, envelopes_max: int = ENVELOPES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self.dropped = 0
        self._envelopes_max = envelopes_max
        self._bytes_max = bytes_max
        self._waiting: deque[tuple[Said, bool]] = deque()
        self._bytes = 0

    def put(self, channel: str, payload: bytes, *, fleeting: bool = False) -> None:
        """Add what is to be said, at the expense of the oldest."""
        self._waiting.append((Said(channel, payload), fleeting))
        self._bytes += len(payload)
        while len(self._waiting) > self._envelopes_max or self._bytes > self._bytes_max:
            oldest, _ = self._waiting.popleft()
            self._bytes -= len(oldest.payload)
            self.dropped += 1

    def take(self) -> list[tuple[Said, bool]]:
        """The first of what waits, as much as one round trip should bring; or `put_back`."""
        batch: list[tuple[Said, bool]] = []
        taken = 0
        while self._waiting and len(batch) < BATCH_MAX and taken < BATCH_BYTES_MAX:
            first = self._waiting.popleft()
            taken += len(first[0].payload)
            batch.append(first)
        self._bytes -= taken
        return batch

    def put_back(self, batch: list[tuple[Said, bool]]) -> None:
        """*batch* could not be said: keep of everything what is not fleeting, where it was."""
        kept = [each for each in (*batch, *self._waiting) if not each[1]]
        self._waiting.clear()
        self._bytes = 0
        for said, _ in kept:
            self.put(said.channel, said.payload)

    def __len__(self) -> int:
        return len(self._waiting)
