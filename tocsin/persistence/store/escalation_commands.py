"""Commands of escalation: what is due becomes sends, sends are claimed and settled; addresses.

Import these names from `tocsin.persistence.store`.
"""

from __future__ import annotations

import msgspec

from tocsin.persistence.store.asking import Command
from tocsin.persistence.store.commands import Done, NotFound


class Escalated(msgspec.Struct, frozen=True):
    """*sends* were made of *plans* that were due, the latest of them by *late_ms*.

    *behind* are subscribers who have not got the notification yet: bring them up to date
    (`Materialise`) and repeat the command. *next_at* is when the next step is due, `None` if none
    is.
    """

    sends: int
    plans: int
    behind: tuple[str, ...]
    next_at: int | None
    late_ms: int = 0


class Escalate(Command[Escalated], frozen=True):
    """Make sends of the steps that are due at *now_ms*, for about *limit* recipients.

    A step concerns the recipients who are not satisfied, have an address on its channel that is not
    dead, and want it by their preferences; in quiet hours the send waits for their end. Each step
    is done once, whatever the number of nodes that do this at a time.
    """

    now_ms: int
    limit: int = 1000


class ClaimedSend(msgspec.Struct, frozen=True):
    """A send that this node may carry now. *attempts* counts this one; *value* is the address, and
    *fingerprint* its digest. *digest* says that sends to one address go out together."""

    id: str
    notification: str
    user: str
    address: str
    value: str
    fingerprint: str
    attempts: int
    digest: int
    category: str
    document: str
    expires_at: int | None


class SendsClaimed(msgspec.Struct, frozen=True):
    """*sends* are this node's for a while. *judged* counts those that are settled or put off
    without being carried, by their state. If fewer than asked for were found, *next_at* is when the
    next send waits for, `None` if none does, and *waiting* is the number of all that wait.
    """

    sends: tuple[ClaimedSend, ...]
    judged: dict[str, int]
    full: bool
    next_at: int | None = None
    waiting: int = 0


class ClaimSends(Command[SendsClaimed], frozen=True):
    """Claim at most *limit* sends on *channel* that are due at *now_ms*, for *node*.

    A claim holds for *lease_ms*. In the same statement each send is judged anew: what is satisfied,
    withdrawn or expired by now is moot, and is not carried.
    """

    channel: str
    node: str
    now_ms: int
    limit: int
    lease_ms: int


class SettledSend(msgspec.Struct, frozen=True):
    """The outcome of a claimed send: it is *waiting* again until *next_at*, *sent*, or *dead*.

    *claimed* is the number of attempts that it was claimed with; by it and the node the store knows
    that nobody else has claimed it meanwhile. *attempts* is the number to keep.
    """

    id: str
    state: str
    claimed: int
    attempts: int
    next_at: int
    reason: str | None = None


class AddressVerdict(msgspec.Struct, frozen=True):
    """A carrier's finding about an address: `passed`, `failed` (dead after *failures_max* in a
    row) or `gone` (it is removed)."""

    user: str
    channel: str
    name: str
    fingerprint: str
    verdict: str
    reason: str = ""
    failures_max: int = 3


class SettleSends(Command[Done], frozen=True):
    """Note what became of sends that *node* has claimed, and of their addresses.

    A send that another node has claimed meanwhile is passed over.
    """

    node: str
    sends: tuple[SettledSend, ...]
    addresses: tuple[AddressVerdict, ...]
    now_ms: int


class SetAddress(Command[Done], frozen=True):
    """Let *user* be reached on *channel* at *value*, under *name*. A dead address lives again.

    With *exclusive*, an address with this value under another name or of another user goes. Of more
    than *count_max* addresses the oldest go.
    """

    user: str
    channel: str
    name: str
    value: str
    fingerprint: str
    now_ms: int
    count_max: int
    exclusive: bool = False


class RemoveAddress(Command[Done | NotFound], frozen=True):
    """Forget an address; sends to it that wait are moot."""

    user: str
    channel: str
    name: str


class MuteChannel(Command[Done], frozen=True):
    """Note that *user* wants nothing of *category* on *channel*; other preferences stay."""

    user: str
    category: str
    channel: str


class Address(msgspec.Struct, frozen=True):
    """An address; *dead_reason* says why it is not used any more."""

    channel: str
    name: str
    value: str
    created_at: int
    dead_reason: str | None


class SendLine(msgspec.Struct, frozen=True):
    """A send, as its producer sees it. *next_at* counts while it waits. *history* is JSON: its
    attempts, and what operators did."""

    id: str
    user: str
    channel: str
    address: str
    step: int
    state: str
    attempts: int
    next_at: int
    sent_at: int | None
    reason: str | None
    history: str
