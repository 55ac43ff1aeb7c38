"""The load balancer in front of the nodes, with the behaviour of `cluster/haproxy.cfg`.

New connections go to nodes that passed their last health checks. The balancer learns late: a node
that has just begun to stop, or that hangs, still gets connections for a while. If a node refuses a
connection, nothing has been sent yet and another node is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from simulation.world.chance import Chance
from simulation.world.host import Host
from simulation.world.timeline import Timeline

_INTERVAL: Final = 0.5
"""Seconds between two health checks."""
_HANGING: Final = 5.0
"""Seconds after which a hanging node counts as down: two health checks went unanswered."""
_CONFIRMED: Final = 2
"""Health checks in a row with a new result before the balancer believes it."""


class Balancer:
    """See the module."""

    def __init__(self, hosts: Mapping[str, Host], timeline: Timeline) -> None:
        self._timeline = timeline
        self._views = [_View(host) for host in hosts.values()]

    def begin(self) -> None:
        """Check the nodes now, and then regularly."""
        for view in self._views:
            view.look(self._timeline.now)
        self._timeline.after(_INTERVAL, self.begin)

    def choose(self, chance: Chance) -> Host | None:
        """The host for a new connection: one that is ready, or else up; `None` if none is."""
        up = [view for view in self._views if view.host.is_up]
        ready = [view for view in up if view.is_ready] or up
        return chance.one(ready).host if ready else None


class _View:
    """The state of one node, as the balancer sees it."""

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
