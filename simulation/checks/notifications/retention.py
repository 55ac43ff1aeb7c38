"""P1: what is older than the retention is purged, and a device that may have missed it is reset.

A device that stays connected is not forgotten. One that comes with a cursor below the horizon must
be sent a reset, because it cannot be told what was purged. (`convergence` judges, without knowing
of horizons, that nothing is missing then.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from simulation.checks.check import Check, Complaint
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, SessionStory, sequence_of

_LATE: Final = 8.0
"""Seconds by which a purge may be late: a failed one is tried again after five."""
_PURGES: Final = 2.0
"""Purges needed for a notification of a topic: the first removes its entries, the second itself."""
_OVERDUE: Final = """
    SELECT n.id, n.standing
    FROM notifications AS n
    WHERE n.standing <> 'scheduled' AND n.kept_from < ?
    LIMIT 3
"""
_OVERDUE_ROWS: Final = """
    SELECT notification_id, user_id, state FROM inbox
    WHERE archived_at < ? OR expired_at < ?
    LIMIT 3
"""
_IS_KNOWN: Final = "SELECT 1 FROM devices WHERE user_id = ? AND device_id = ? AND NOT removed"
_HORIZON: Final = "SELECT horizon FROM users WHERE user_id = ?"


class Retention(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._horizons: dict[SessionStory, int] = {}
        # A dictionary for its order.
        self._open: dict[SessionStory, None] = {}

    def opened(self, session: SessionStory) -> None:
        self._open[session] = None
        if session.hello not in (None, "0"):
            rows = self.cluster.store.rows(_HORIZON, session.user)
            self._horizons[session] = rows[0][0] if rows else 0

    def ended(self, session: SessionStory) -> None:
        self._open.pop(session, None)
        self._horizons.pop(session, None)

    def heard(self, session: SessionStory, frame: Frame, sent_at: float) -> None:
        if frame["type"] not in ("push", "synced", "reset", "changes"):
            return
        horizon = self._horizons.pop(session, 0)
        hello = session.hello or ""
        _, _, accounted = hello.partition("~")
        is_new = frame["type"] == "reset" or frame.get("reset", False)
        if not is_new and max(sequence_of(hello or "0"), int(accounted or 0)) < horizon:
            text = f"goes on from {hello}, below the horizon {horizon}, without a reset"
            self.complain(session, Complaint("P4", text))

    def settled(self) -> str | None:
        plan, behind = self.cluster.plan, min(h.clock_least for h in self.cluster.hosts.values())
        slack = 1000 * (_PURGES * plan.purge_interval + _LATE) - behind
        now_ms = self.cluster.now_ms() - slack
        if plan.retention:
            for id_, standing in self.cluster.store.rows(_OVERDUE, now_ms - 1000 * plan.retention):
                return f"{id_}, which is {standing}, should have been purged"
        befores = [
            now_ms - 1000 * kept if kept else 0
            for kept in (plan.retention_archived, plan.retention_expired)
        ]
        for id_, user, state in self.cluster.store.rows(_OVERDUE_ROWS, *befores):
            return f"{id_} of {user}, which is {state}, should have been purged"
        return None

    def finish(self) -> None:
        retention = self.cluster.plan.retention
        if not retention:
            return
        for session in self._open:
            stays = session.welcome is not None and self.now - session.began_at > retention + _LATE
            if not stays or self.history.troubles.touch(session.began_at, self.now):
                continue
            if not self.cluster.store.rows(_IS_KNOWN, session.user, session.device):
                self.complain(session, Complaint("P4", "is connected, and forgotten"))
