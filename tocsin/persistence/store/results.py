"""The results of all commands, as one type.

The news of each kind of result stand in `result_news`.
"""

from __future__ import annotations

from tocsin.persistence.store.commands import (
    Changed,
    Done,
    KeyReused,
    NotActive,
    NotFound,
    Overdue,
    PatchRefused,
    Replayed,
    RevisionMismatch,
    TooMany,
)
from tocsin.persistence.store.escalation_commands import (
    Escalated,
    SendsClaimed,
)
from tocsin.persistence.store.key_commands import StoredTicket
from tocsin.persistence.store.letter_commands import SendSettled
from tocsin.persistence.store.sink_commands import SinksClaimed
from tocsin.persistence.store.upkeep_commands import (
    Expired,
    LetterReplayed,
    Purged,
    Released,
)
from tocsin.persistence.store.user_commands import (
    AcknowledgedPartly,
    Attached,
    BeyondHead,
    Marked,
    Materialised,
    PreferencesSet,
    Subscribed,
    TopicClosed,
    TopicSet,
)
from tocsin.protocol.log.news import AckStored, DeviceForgotten

Result = (
    Changed
    | Replayed
    | KeyReused
    | Overdue
    | NotFound
    | RevisionMismatch
    | NotActive
    | PatchRefused
    | Expired
    | Released
    | Purged
    | Attached
    | BeyondHead
    | Marked
    | Materialised
    | Subscribed
    | TopicClosed
    | TopicSet
    | PreferencesSet
    | LetterReplayed
    | StoredTicket
    | TooMany
    | AckStored
    | AcknowledgedPartly
    | DeviceForgotten
    | Escalated
    | SendsClaimed
    | SendSettled
    | SinksClaimed
    | Done
)
"""The result of a command, of whatever kind."""
