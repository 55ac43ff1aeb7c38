"""The channels of the bus that this node hears: those of its online users and of their topics.

A user's actor needs the channel before it reads the store, and waits for it here. Channels are
subscribed together with all others that were wanted in the meantime, so a thousand users who arrive
at once cost a few round trips. If the bus does not answer, the actors wait no longer; their users
are reconciled once the channels are heard.

A channel that no actor needs any more is heard for a while longer: most users who leave come back,
and a long poll leaves and comes back all the time.
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
"""Seconds that an arriving device waits for a bus that is not known to be away."""
IDLE: Final = 30.0
"""Seconds for which a channel is heard although no actor needs it."""
_SWEEP: Final = 1.0
"""Seconds between two looks for idle channels, which are then dropped together."""


class Channels:
    """The channels that are wanted, and those that are heard; see the module."""

    def __init__(self) -> None:
        # A dictionary for its order: the same calls lead to the same commands in every run.
        self._heard: dict[str, None] = {}
        self._wanted: dict[str, list[Callable[[], None]]] = {}
        self._idle: dict[str, float] = {}
        self.bell = Bell()
        """Rings when the keeper has channels to subscribe, or to drop some time."""

    def want(self, channel: str, ready: Callable[[], None] | None = None) -> bool:
        """Have *channel* heard; returns whether it is heard already.

        If not, *ready* is called when it is heard, or when waiting longer has no point.
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
        """Note that no actor needs *channel* now."""
        if not self._idle:
            self.bell.ring()
        self._idle[channel] = trio.current_time() + IDLE

    def start_anew(self) -> None:
        """Want all channels again: the bus was opened, and has no subscriptions yet."""
        for channel in self._heard:
            self._wanted.setdefault(channel, [])
        self._heard.clear()
        self.bell.ring()

    def give_up_waiting(self) -> None:
        """Call all that wait for a channel: the bus is away."""
        for waiting in self._wanted.values():
            _call(waiting)

    def snapshot(self) -> dict[str, float | None]:
        """The channels heard, each with the time (Trio's) until which it is kept unneeded.

        `None` for a channel that an actor here needs.
        """
        return {channel: self._idle.get(channel) for channel in self._heard}

    def __len__(self) -> int:
        return len(self._heard)

    # --- For their keeper ------------------------------------------------------------------------

    def wanted(self, count_max: int) -> list[str]:
        """The first channels that are wanted and not heard, *count_max* at most."""
        return list(islice(self._wanted, count_max))

    def heard(self, channels: Collection[str]) -> list[Callable[[], None]]:
        """Note that *channels* are heard from now on; returns the callbacks that waited."""
        waiting = [ready for channel in channels for ready in self._wanted.pop(channel, ())]
        self._heard.update(dict.fromkeys(channels))
        return waiting

    def drop_idle(self, now: float) -> list[str]:
        """Remove the channels that no actor has needed for long, at *now* (Trio time)."""
        due = [channel for channel, until in self._idle.items() if until <= now]
        for channel in due:
            del self._idle[channel]
            self._heard.pop(channel, None)
            self._wanted.pop(channel, None)
        return due

    def next_look(self, now: float) -> float:
        """When (Trio time) to look for idle channels again."""
        return now + _SWEEP if self._idle else math.inf


class ChannelKeeper:
    """Subscribes to the channels of *bus* that *channels* wants, and drops the idle ones.

    *confirmed* is called with channels on which no envelope is missed from now on.
    """

    def __init__(
        self, channels: Channels, bus: Bus, confirmed: Callable[[Collection[str]], None]
    ) -> None:
        self._channels = channels
        self._bus = bus
        self._confirmed = confirmed

    async def run(self) -> None:
        """Subscribe and unsubscribe until cancelled."""
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
        # First, so that a doubtful user is reconciled before the devices that waited go on.
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
