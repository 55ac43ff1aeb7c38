"""P5: counters agree with the states they count at any moment, as they change in one transaction.

Each look checks a few users, so that its cost does not grow with their number. At the end all users
are checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from simulation.checks.check import Check
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster

_AT_A_TIME: Final = 5
"""Users checked at each look."""
_COUNTED: Final = """
    SELECT u.unread, u.unseen, u.head, count(i.state), coalesce(sum(i.state = 'unseen'), 0),
        (SELECT coalesce(max(sequence), 0) FROM inbox WHERE user_id = u.user_id)
    FROM users AS u
    LEFT JOIN inbox AS i ON i.user_id = u.user_id
        AND i.state IN ('unseen', 'seen') AND i.expired_at IS NULL
    WHERE u.user_id = ?
"""


class Counters(Check):
    """See the module."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._next = 0
        self._heads: dict[str, int] = {}

    def look(self) -> None:
        users = self.cluster.plan.user_names
        if not users:
            return
        count = min(_AT_A_TIME, len(users))
        chosen = [users[(self._next + each) % len(users)] for each in range(count)]
        self._next = (self._next + count) % len(users)
        self._judge(chosen)

    def finish(self) -> None:
        self._judge(self.cluster.plan.user_names)

    def _judge(self, users: Sequence[str]) -> None:
        for user in users:
            rows = self.cluster.store.rows(_COUNTED, user)
            unread, unseen, head, unread_found, unseen_found, last = rows[0]
            if head is None:
                continue
            if (unread, unseen) != (unread_found, unseen_found):
                expected = f"{unread_found} unread, {unseen_found} unseen"
                self.violated("P5", user, f"there are {expected}, counted {unread}, {unseen}")
            if head < last:
                self.violated("P3", user, f"the log's head is {head}, its last entry {last}")
            if head < self._heads.get(user, 0):
                self.violated("P3", user, f"the log's head went back to {head}")
            self._heads[user] = head
