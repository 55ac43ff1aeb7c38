"""Users' logs within a transaction: locked and read, advanced in memory, and written back."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tocsin.persistence.scripts.statements import Row, Script, run


class UserLog(msgspec.Struct):
    """A user's log within a transaction; *before* is (head, unread, unseen) at its start.

    *changed_at* is the time of the last change (Unix ms).
    """

    head: int
    unread: int
    unseen: int
    before: tuple[int, int, int]
    changed_at: int = 0

    @classmethod
    def from_row(cls, row: Row) -> UserLog:
        """From a row of `users_hold`."""
        return cls(row.head, row.unread, row.unseen, (row.head, row.unread, row.unseen))

    def append(self, now_ms: int, unread: int, unseen: int) -> int:
        """Append an entry at *now_ms* that changes the counters by these; its sequence."""
        self.head += 1
        self.unread += unread
        self.unseen += unseen
        self.changed_at = max(self.changed_at, now_ms)
        return self.head


def hold_users(users: Iterable[str]) -> Script[dict[str, UserLog]]:
    """Lock the logs of *users*; by user. Users without a log are left out."""
    rows = yield from run("users_hold", user_id=sorted(set(users)))
    return {row.user_id: UserLog.from_row(row) for row in rows}


def save_users(logs: dict[str, UserLog]) -> Script[None]:
    """Write the heads and counters of *logs* that have new entries."""
    moved = {user: log for user, log in sorted(logs.items()) if log.head > log.before[0]}
    yield from run(
        "users_advance",
        user_id=list(moved),
        taken=[log.head - log.before[0] for log in moved.values()],
        unread=[log.unread - log.before[1] for log in moved.values()],
        unseen=[log.unseen - log.before[2] for log in moved.values()],
        changed_at=[log.changed_at for log in moved.values()],
    )
