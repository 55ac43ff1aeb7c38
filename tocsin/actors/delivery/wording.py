"""What the store has answered about a device, in the protocol's words."""

from __future__ import annotations

from tocsin.actors.delivery.surroundings import Company
from tocsin.persistence.store import Attached, Page
from tocsin.protocol import frames
from tocsin.protocol.cursor import Cursor
from tocsin.protocol.notification import client_view
from tocsin.protocol.push import LogEntry


def welcome(
    user: str, device: str, connection: str, window: int, company: Company, attached: Attached
) -> frames.Welcome:
    """What *device* is told when it has *attached*."""
    settings, epoch = company.settings, company.status.epoch
    return frames.Welcome(
        user=user,
        device=device,
        connection=connection,
        node=settings.node,
        epoch=epoch,
        cursor=str(Cursor(epoch, attached.start.sequence)),
        head=attached.head,
        unread=attached.counters.unread,
        unseen=attached.counters.unseen,
        resumed=attached.start.resumed,
        heartbeat=settings.heartbeat,
        window=window,
        resend=frames.Resend(settings.limits.resend.first, settings.limits.resend_limit),
    )


def entries_of(page: Page) -> list[LogEntry]:
    """The entries of *page*, all with its counters."""
    return [
        LogEntry(
            entry.sequence,
            entry.notification,
            entry.change,
            client_view(entry.document, entry.state, entry.seen_at, entry.read_at),
            page.counters.unread,
            page.counters.unseen,
            entry.attempts,
            entry.expires_at,
        )
        for entry in page.entries
    ]
