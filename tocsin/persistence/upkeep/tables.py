"""The names of the tables, for work on a database as a whole: backups, copies, forgetting."""

from __future__ import annotations

from typing import Final, NamedTuple

MIGRATIONS: Final = "migrations"

TABLES: Final = (
    *("meta", "notifications", "inbox", "users", "devices", "deliveries"),
    *("idempotency", "api_keys", "tickets", "preferences", "schedule", "collapsing"),
    *("topics", "topic_log", "subscriptions", "dead_letters"),
    *("ingest_letters", "connectors"),
    *("escalations", "addresses", "sends", "channel_preferences"),
    *("receipt_log", "receipts", "sinks", "sink_letters"),
    *("footprints", "footprint_life"),
)
"""All tables but `migrations`, which each database keeps about itself."""


FLEETING: Final = ("footprints", "footprint_life")
"""Those with rows that mean something to one server only, and for minutes: neither a backup nor a
copy has them."""


class Contents(NamedTuple):
    """Numbers of a database, by which an operator recognises that it is the intended one.

    *bytes* is the size of its file or backup.
    """

    epoch: str
    users: int
    notifications: int
    bytes: int


class Unsuitable(Exception):
    """The given file or database cannot be used for this; *remedy* is the operator's way out."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.remedy = remedy
