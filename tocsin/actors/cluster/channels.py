"""Which channels of the bus this node hears: those of its online users and of their topics.

Whoever needs a channel before reading the store waits for it here: subscribing together with all
others who came in the meantime, so a thousand who arrive at once cost a few round trips. A bus that
does not answer is not waited for; who then goes on unheard is reconciled once the channel is heard.

What nobody needs any more is heard for a while longer: most who leave come back, and a long poll
leaves and comes back all the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final

import trio

from tocsin.actors.runtime.bell import Bell
from tocsin.persistence.bus import Bus, BusUnavailable

BATCH: Final = 5000
"""Channels in one round trip."""
PATIENCE: Final = 1.0
"""Seconds that an arriving device waits for a bus of which is not known that it is away."""
IDLE: Final = 30.0
"""Seconds for which a channel is heard that nobody needs."""
_SWEEP: Final = 1.0
"""Seconds between two looks for idle channels: short beside the time for which they are kept."""


class Channels:
    """Which channels are wanted, and which are heard; see the module."""

    def __init__(self) -> None:
        # A dictionary for its order: the same calls are said the same way in every run.
        self._heard: dict[str, None] = {}
        self._wanted: dict[str, list[Callable[[], None]]] = {}
        self._idle: dict[str, float] = {}
        self.bell = Bell()
        """Rings when there is something for the keeper to do."""

    def want(self, channel: str, ready: Callable[[], None] | None = None) -> bool:
        """Hear *channel*; whether that is so already. If not, *ready* is called when it is.

        Or when there is no point in waiting any longer.
        """
        self._idle.pop(channel, None)
        if channel in self._heard:
            return True
        waiting = self._wanted.setdefault(channel, [])
        if ready is not None:
            waiting.append(ready)
        self.bell.ring()
        return False

    def release(self, channel: str) -> None:
        """Nobody needs *channel* now."""
        if not self._idle:
            self.bell.ring()
        self._idle[channel] = trio.current_time() + IDLE

    def start_anew(self) -> None:
        """The bus was opened, and knows nothing of before."""
        for channel in self._heard:
            self._wanted.setdefault(channel, [])
        self._heard.clear()
        self.bell.ring()

    def give_up_waiting(self) -> None:
        """The bus is away: let everybody go on."""
        for waiting in self._wanted.values():
            _call(waiting)

    def snapshot(self) -> dict[str, float | None]:
        """The channels heard, each with the time (Trio's) until which it is kept unneeded.

        `None` for a channel that somebody here needs.
        """
        return {channel: self._idle.get(channel) for channel in self._heard}

    def __len__(self) -> int:
        return len(self._heard)

    # --- For their keeper ------------------------------------------------------------------------

    def wanted(self, count_max: int) -> list[str]:
        """The first channels that are wanted and not heard, *count_max* at most."""
        return list(islice(self._wanted, count_max))

    def heard(self, channels: Collection[str]) -> list[Callable[[], None]]:
        """*channels* are heard from now on; what is to be called."""
        waiting = [ready for channel in channels for ready in self._wanted.pop(channel, ())]
        self._heard.update(dict.fromkeys(channels))
        return waiting

    def drop_idle(self, now: float) -> list[str]:
        """The channels that nobody has needed for long, at *now*; they are not heard any more."""
        due = [channel for channel, until in self._idle.items() if until <= now]
        for channel in due:
            del self._idle[channel]
            self._heard.pop(channel, None)
            self._wanted.pop(channel, None)
        return due

    def next_look(self, now: float) -> float:
        """When (Trio time) to look for idle ones again."""
        return now + _SWEEP if self._idle else math.inf


class ChannelKeeper:
    """Subscribes and unsubscribes *bus* as *channels* say.

    *confirmed* is told of channels from which nothing is missed any more.
    """

    def __init__(
        self, channels: Channels, bus: Bus, confirmed: Callable[[Collection[str]], None]
    ) -> None:
        self._channels = channels
        self._bus = bus
        self._confirmed = confirmed

    async def run(self) -> None:
        """Subscribe and unsubscribe, for ever."""
        channels = self._channels
        while True:
            if not channels.wanted(1):
                await channels.bell.wait(channels.next_look(trio.current_time()))
            await self._unsubscribe_idle(trio.current_time())
            if batch := channels.wanted(BATCH):
                await self._subscribe(batch)

    async def _subscribe(self, batch: Collection[str]) -> None:
        try:
            with trio.fail_after(PATIENCE):
                await self._bus.subscribe(batch)
        except (BusUnavailable, trio.TooSlowError):
            self._channels.give_up_waiting()
            await trio.sleep(PATIENCE)
            return
        # First, so that a device that goes on finds out nothing too late.
        self._confirmed(batch)
        _call(self._channels.heard(batch))

    async def _unsubscribe_idle(self, now: float) -> None:
        due = self._channels.drop_idle(now)
        if not due:
            return
        try:
            await self._bus.unsubscribe(due)
        except BusUnavailable:
            return


def _call(waiting: list[Callable[[], None]]) -> None:
    for ready in waiting:
        ready()
    waiting.clear()
