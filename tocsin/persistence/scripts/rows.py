"""Makes values from rows of several statements; and the bound that stands for no bound."""

from __future__ import annotations

from typing import Final

from tocsin.persistence.scripts.statements import Row
from tocsin.persistence.store.key_commands import ApiKey
from tocsin.persistence.store.queries import DeadLetter
from tocsin.protocol.notifications.notification import Content

NO_BOUND: Final = 2**63 - 1
"""Greater than every sequence, id and size: the greatest integer that both databases have."""


def content_of_row(row: Row) -> Content:
    """The content in a row that has the columns of a notification."""
    return Content(
        id=row.id,
        revision=row.revision,
        category=row.category,
        created_at=row.created_at,
        updated_at=row.updated_at,
        expires_at=row.expires_at,
        document=row.document,
        priority=row.priority,
        topic=row.topic,
        collapse_key=row.collapse_key,
    )


def key_of_row(row: Row) -> ApiKey:
    """The API key in a row of `keys_read` or `keys_list`."""
    return ApiKey(
        row.id, row.hash, tuple(row.scopes.split()), row.name, row.created_at, row.revoked_at
    )


def letter_of_row(row: Row) -> DeadLetter:
    """The letter in a row of `letters_read` or `letters_page`."""
    return DeadLetter(
        id=row.id,
        notification=row.notification_id,
        user=row.user_id,
        device=row.device_id or None,
        cause=row.cause,
        reason=row.reason,
        attempts=row.attempts,
        first_sent_at=row.first_sent_at,
        dead_at=row.dead_at,
        status=row.status,
        history=row.history,
    )
