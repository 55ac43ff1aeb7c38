"""After the mending all is quiet: services are reached, nothing is spooled, nothing overdue."""

from __future__ import annotations

from typing import Final

from simulation.checks.check import Check

_RELEASED: Final = 5000
"""Milliseconds by which a scheduled delivery may be late."""


class Quiet(Check):
    """See the module."""

    def settled(self) -> str | None:
        for name, host in self.cluster.hosts.items():
            if host.node is None or (services := host.node.services) is None:
                return f"{name} is not up"
            if not services.status.available or not services.bus.available:
                return f"{name} misses the store or the bus"
        if spooled := self.cluster.broker.spooled:
            return f"{spooled} entries wait in the spool"
        return self._unreleased()

    def _unreleased(self) -> str | None:
        due = self.cluster.now_ms() - _RELEASED
        rows = self.cluster.store.rows(
            "SELECT notification_id, deliver_at FROM schedule WHERE deliver_at < ? LIMIT 1", due
        )
        return f"{rows[0][0]} was to be delivered at {rows[0][1]}" if rows else None
