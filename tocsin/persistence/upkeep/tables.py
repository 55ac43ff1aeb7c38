"""The tables, for whatever handles a database as a whole: backups, copies, forgetting."""

from __future__ import annotations

from typing import Final, NamedTuple

MIGRATIONS: Final = "migrations"

TABLES: Final = (
    *("meta", "notifications", "inbox", "users", "devices", "deliveries"),
    *("idempotency", "api_keys", "tickets", "preferences", "schedule", "collapsing"),
    *("topics", "topic_log", "subscriptions", "dead_letters"),
)
"""All but `migrations`, which each database keeps of itself."""


class Contents(NamedTuple):
    """What a database holds, for people to see that it is the one they meant."""

    epoch: str
    users: int
    notifications: int
    bytes: int


class Unsuitable(Exception):
    """What was given cannot be used for this; *remedy* says what to do instead."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.remedy = remedy
