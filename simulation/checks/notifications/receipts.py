"""P1 for producers: each fact is carried to each sink at least once, in order, and none other.

The receipts' log is compared with the facts in the store, and with what the webhook's receiver
and the broker took. Nothing of the log may be missing there, whichever node died, froze or was cut
off while it carried. A sink's position never is ahead of what its broker has confirmed.
"""

from __future__ import annotations

from typing import Any, Final

from simulation.checks.check import Check
from simulation.world.destination import NAME, position_of
from tocsin.actors.sinks.terms import id_of

_LOG: Final = "SELECT position, kind, notification_id, user_id FROM receipts ORDER BY position"
_BEHIND: Final = """
    SELECT s.id, s.position, l.head FROM sinks AS s, receipt_log AS l WHERE s.position < l.head
"""
_POSITION: Final = "SELECT position FROM sinks WHERE id = ?"
_DELIVERED: Final = "SELECT notification_id, user_id FROM inbox WHERE delivered_at IS NOT NULL"
_READ: Final = "SELECT notification_id, user_id FROM inbox WHERE read_at IS NOT NULL"
_ACKNOWLEDGED: Final = """
    SELECT 1 FROM deliveries
    WHERE notification_id = ? AND user_id = ? AND acknowledged_at IS NOT NULL
"""


class Receipts(Check):
    """See the module; without sinks in the plan it has nothing to judge."""

    def look(self) -> None:
        if not self.cluster.plan.sink:
            return
        confirmed = self.cluster.destination.confirmed
        for (position,) in self.cluster.store.rows(_POSITION, id_of(NAME)):
            if position > confirmed:
                text = f"is at {position}, and its broker has confirmed {confirmed}"
                self.violated("P1", NAME, text)

    def settled(self) -> str | None:
        if not self._has_sinks:
            return None
        for sink, position, head in self.cluster.store.rows(_BEHIND):
            return f"{sink} is at {position} of {head}"
        return None

    def finish(self) -> None:
        if not self._has_sinks:
            return
        log = {
            position: (kind, notification, user)
            for position, kind, notification, user in self.cluster.store.rows(_LOG)
        }
        self._judge_log(log)
        if self.cluster.plan.webhook:
            self._judge_taken(log, "webhook", self.cluster.receiver.taken)
        if self.cluster.plan.sink:
            self._judge_taken(log, NAME, self.cluster.destination.taken)

    @property
    def _has_sinks(self) -> bool:
        return bool(self.cluster.plan.webhook or self.cluster.plan.sink)

    def _judge_log(self, log: dict[int, tuple[Any, ...]]) -> None:
        told = set(log.values())
        for kind, facts in (("delivered", _DELIVERED), ("read", _READ)):
            for pair in self.cluster.store.rows(facts):
                if (kind, *pair) not in told:
                    self.violated("P1", "receipts", f"{pair} was {kind}, and there is no receipt")
        plan = self.cluster.plan
        if plan.retention or plan.retention_archived or plan.retention_expired:
            return  # the ledger that would bear witness has been purged
        for position, (kind, *whom) in log.items():
            if kind == "delivered" and not self.cluster.store.rows(_ACKNOWLEDGED, *whom):
                self.violated("P1", "receipts", f"{position}: {whom} was never acknowledged")

    def _judge_taken(
        self, log: dict[int, tuple[Any, ...]], sink: str, received: list[dict[str, Any]]
    ) -> None:
        taken: dict[int, tuple[Any, ...]] = {}
        for each in received:
            position = position_of(each["id"])
            taken.setdefault(position, (each["kind"], each["notification"], each["user"]))
        if missing := sorted(log.keys() - taken.keys()):
            self.violated("P1", sink, f"was not carried {missing[:5]} of {len(log)}")
        if list(taken) != sorted(taken):
            self.violated("P2", sink, f"was carried out of order: {list(taken)[:50]}")
        for position, fact in taken.items():
            if log.get(position) != fact:
                self.violated("P1", sink, f"{position}: {fact}, which did not happen")
