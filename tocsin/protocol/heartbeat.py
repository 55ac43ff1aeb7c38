"""Noticing that a peer has gone: pings in silence, as arithmetic (RFC 6455 §5.5.2).

Anything heard counts as life, not only a pong, so a busy connection is never pinged and nothing
has to be noted per frame but the time.
"""

from __future__ import annotations

from enum import Enum


class Pulse(Enum):
    """What to do about a silence."""

    QUIET = "quiet"
    PING = "ping"
    LOST = "lost"


_PINGS_MAX = 2


class Heartbeat:
    """Pings after each *interval* seconds of silence; lost when two pings in a row go unheard."""

    __slots__ = ("_interval", "_pings", "deadline")

    def __init__(self, interval: float, now: float) -> None:
        self._interval = interval
        self._pings = 0
        self.deadline = now + interval

    def check(self, now: float, last_heard: float) -> Pulse:
        """Judge the silence since *last_heard* at *now*, and set the next `deadline`."""
        if now < self.deadline:
            return Pulse.QUIET
        # The last ping was sent one interval ago: whatever came since then answers it.
        if last_heard > now - self._interval:
            self._pings = 0
            self.deadline = last_heard + self._interval
            return Pulse.QUIET
        if self._pings == _PINGS_MAX:
            return Pulse.LOST
        self._pings += 1
        self.deadline = now + self._interval
        return Pulse.PING
