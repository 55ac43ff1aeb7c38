"""P1 for producers: each fact is carried to the webhook at least once, in order, and none other.

The receipts' log is compared with the facts in the store, and with what the receiver took. Nothing
of the log may be missing there, whichever node died, froze or was cut off while it carried.
"""

from __future__ import annotations

from typing import Any, Final

from simulation.checks.check import Check

_LOG: Final = "SELECT position, kind, notification_id, user_id FROM receipts ORDER BY position"
_BEHIND: Final = """
    SELECT s.position, l.head FROM sinks AS s, receipt_log AS l WHERE s.position < l.head
"""
_DELIVERED: Final = "SELECT notification_id, user_id FROM inbox WHERE delivered_at IS NOT NULL"
_READ: Final = "SELECT notification_id, user_id FROM inbox WHERE read_at IS NOT NULL"
_ACKNOWLEDGED: Final = """
    SELECT 1 FROM deliveries
    WHERE notification_id = ? AND user_id = ? AND acknowledged_at IS NOT NULL
"""


class Receipts(Check):
    """See the module; without a webhook in the plan it has nothing to judge."""

    def settled(self) -> str | None:
        if not self.cluster.plan.webhook:
            return None
        for position, head in self.cluster.store.rows(_BEHIND):
            return f"the webhook is at {position} of {head}"
        return None

    def finish(self) -> None:
        if not self.cluster.plan.webhook:
            return
        log = {
            position: (kind, notification, user)
            for position, kind, notification, user in self.cluster.store.rows(_LOG)
        }
        self._judge_log(log)
        self._judge_taken(log)

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

    def _judge_taken(self, log: dict[int, tuple[Any, ...]]) -> None:
        taken: dict[int, tuple[Any, ...]] = {}
        for each in self.cluster.receiver.taken:
            position = int(each["id"].rpartition("-")[2])
            taken.setdefault(position, (each["kind"], each["notification"], each["user"]))
        if missing := sorted(log.keys() - taken.keys()):
            self.violated("P1", "webhook", f"was not carried {missing[:5]} of {len(log)}")
        if list(taken) != sorted(taken):
            self.violated("P2", "webhook", f"was carried out of order: {list(taken)[:50]}")
        for position, fact in taken.items():
            if log.get(position) != fact:
                self.violated("P1", "webhook", f"{position}: {fact}, which did not happen")
