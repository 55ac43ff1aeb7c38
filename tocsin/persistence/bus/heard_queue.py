"""The queue of envelopes that were heard on a bus and not yet taken. All adapters use it.

It is bounded. A node that does not keep up loses the envelopes that wait, and gets a `Gap` with
their channels instead: reading the store is then the cheaper way to catch up.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tocsin.persistence.bus import Gap, Heard, Said

HEARD_MAX = 100_000
"""Envelopes that may wait: some seconds of the heaviest traffic that one node hears."""
HEARD_BYTES_MAX = 64 << 20
"""Bytes of payload that may wait: so much memory a slow node may lose to them."""


class HeardQueue:
    """A queue of envelopes and gaps, of which one task takes."""

    def __init__(self, messages_max: int = HEARD_MAX, bytes_max: int = HEARD_BYTES_MAX) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._heard: list[Heard] = []
        self._something = trio.Event()

    def put(self, heard: Heard) -> None:
        size = len(heard.payload) if isinstance(heard, Said) else 0
        if len(self._heard) >= self._messages_max or self._bytes + size > self._bytes_max:
            self._heard = [_summed_up(self._heard)]
            self._bytes = 0
        self._heard.append(heard)
        self._bytes += size
        self._something.set()

    async def take(self) -> Sequence[Heard]:
        """Wait until the queue is not empty; all its items, in order. Cancelling loses none."""
        # A checkpoint even if the queue is not empty: in a flood, other tasks have to run too.
        await self._something.wait()
        heard, self._heard = self._heard, []
        self._bytes = 0
        self._something = trio.Event()
        return heard


def _summed_up(heard: Sequence[Heard]) -> Gap:
    channels: dict[str, None] = {}
    for each in heard:
        match each:
            case Said(channel=channel):
                channels[channel] = None
            case Gap(channels=several):
                channels.update(dict.fromkeys(several))
    return Gap(tuple(channels))
