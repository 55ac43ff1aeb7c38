"""What was heard on a bus and not yet taken. Shared by the adapters.

Bounded: a node that does not keep up loses what waits, and is told so by a `Gap`. Reading from the
store is then the cheaper way to catch up, whatever it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tocsin.persistence.bus import Gap, Heard, Said

HEARD_MAX = 100_000
"""Messages that may wait: some seconds of the most that one node hears."""
HEARD_BYTES_MAX = 64 << 20
"""Bytes of them."""


class Hearing:
    """A queue of what was heard, with one taker."""

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
        """Wait until there is something; all of it, in order. Cancelling loses nothing."""
        # A checkpoint even if there is something: in a flood, others want to run too.
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
