"""The store's answers about a device, as values of the protocol."""

from __future__ import annotations

from tocsin.persistence.store.queries import Page
from tocsin.persistence.store.user_commands import Attached
from tocsin.protocol.delivery.values import Attachment, LogPage
from tocsin.protocol.log.push import LogEntry
from tocsin.protocol.notifications.notification import client_view


def attachment_of(attached: Attached, epoch: str) -> Attachment:
    """The place at which the store, in its *epoch*, has a device start."""
    counters = attached.counters
    return Attachment(
        epoch=epoch,
        start=attached.start,
        head=attached.head,
        horizon=attached.horizon,
        unread=counters.unread,
        unseen=counters.unseen,
    )


def page_of(page: Page) -> LogPage:
    """The entries of *page*, each with the counters of the whole page."""
    unread, unseen = page.counters.unread, page.counters.unseen
    entries = [
        LogEntry(
            entry.sequence,
            entry.notification,
            entry.change,
            client_view(entry.document, entry.state, entry.seen_at, entry.read_at),
            unread,
            unseen,
            entry.attempts,
            entry.expires_at,
        )
        for entry in page.entries
    ]
    return LogPage(entries, page.through, page.head, page.horizon, unread, unseen)
