"""The balancer, as `cluster/haproxy.cfg` says: newcomers go to nodes that were ready.

It learns late: a node that has just begun to stop, or that hangs, still gets newcomers for a while.
One that refuses a connection does not: then another is tried, since nothing was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from simulation.world.chance import Chance
from simulation.world.host import Host
from simulation.world.timeline import Timeline

_INTERVAL: Final = 0.5
_HANGING: Final = 5.0
"""Seconds until it has given up two looks that are not answered."""
_CONFIRMED: Final = 2
"""Looks in a row that say something else than before, until it is believed."""


class Balancer:
    """See the module."""

    def __init__(self, hosts: Mapping[str, Host], timeline: Timeline) -> None:
        self._timeline = timeline
        self._views = [_View(host) for host in hosts.values()]

    def begin(self) -> None:
        """Look from now on."""
        for view in self._views:
            view.look(self._timeline.now)
        self._timeline.after(_INTERVAL, self.begin)

    def choose(self, chance: Chance) -> Host | None:
        """Where a newcomer is sent: to any node that is ready, else to any at all."""
        up = [view for view in self._views if view.host.is_up]
        ready = [view for view in up if view.is_ready] or up
        return chance.one(ready).host if ready else None


class _View:
    """What it thinks of one node."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.is_ready = False
        self._otherwise = 0
        self._hangs_since: float | None = None

    def look(self, now: float) -> None:
        if self.host.hangs:
            if self._hangs_since is None:
                self._hangs_since = now
            if now - self._hangs_since >= _HANGING:
                self.is_ready = False
            return
        self._hangs_since = None
        self._otherwise = 0 if self.host.is_ready == self.is_ready else self._otherwise + 1
        if self._otherwise >= _CONFIRMED:
            self.is_ready, self._otherwise = not self.is_ready, 0
