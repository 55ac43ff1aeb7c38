"""Noticing that a peer has gone: pings in silence, as arithmetic (RFC 6455 §5.5.2).

Anything heard counts as life, not only a pong, so a busy connection is never pinged and nothing
has to be noted per frame but the time.
"""

from __future__ import annotations

import math
from enum import Enum


class Pulse(Enum):
    """The action to take after a silence."""

    QUIET = "quiet"
    PING = "ping"
    LOST = "lost"


_PINGS_MAX = 2
"""Pings in a row: one that is lost on a bad link does not end the connection."""


class Heartbeat:
    """Pings after each *interval* seconds of silence; lost when two pings in a row go unheard."""

    __slots__ = ("_interval", "_pinged_at", "_pings", "deadline")

    def __init__(self, interval: float, now: float) -> None:
        self._interval = interval
        self._pings = 0
        self._pinged_at = -math.inf
        self.deadline = now + interval

    def check(self, now: float, last_heard: float) -> Pulse:
        """Judge the silence since *last_heard* at *now*, and set the next `deadline`."""
        if now < self.deadline:
            return Pulse.QUIET
        # Compared with the ping and not with now: a check that runs late must not take an answer
        # for old.
        if last_heard >= self._pinged_at:
            self._pings = 0
        # The same sum as the deadline, or rounding could make a deadline that is never reached.
        quiet_until = last_heard + self._interval
        if now < quiet_until:
            self.deadline = quiet_until
            return Pulse.QUIET
        if self._pings == _PINGS_MAX:
            return Pulse.LOST
        self._pings += 1
        self._pinged_at = now
        self.deadline = now + self._interval
        return Pulse.PING
