"""Scripts that make dead letters (`settle_letters` settles them).

A letter has one of two causes: a device was given up after too many attempts, which a ledger line
says, or a notification expired before any device of its recipient had it. There is one letter for
each notification, user and device. Its notification may die again after a replay; the letter's
history lists every death.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from tocsin.persistence.scripts.statements import Script, pick, run
from tocsin.protocol.log.ledger import DeliveryRecord
from tocsin.protocol.receipts.receipt import Fact, Facts, ReceiptKind

_LETTERS_BURY: Final = pick(
    "cause",
    "reason",
    "attempts",
    "first_sent_at",
    "dead_at",
    notification_id="notification",
    user_id="user",
)
_LETTERS_KNOWN: Final = pick(
    "sequence", notification_id="notification", user_id="user", device_id="device"
)


class Death(NamedTuple):
    """A notification that did not arrive. Without a *device*, no device of the user had it.

    The times *first_sent_at* and *dead_at* are Unix ms.
    """

    notification: str
    user: str
    device: str | None
    cause: str
    reason: str
    attempts: int
    first_sent_at: int | None
    dead_at: int


def bury(deaths: Iterable[Death]) -> Script[None]:
    """Write the letters of *deaths*; of several for one letter, the last counts."""
    last = {(death.notification, death.user, death.device): death for death in deaths}
    yield from run(
        "letters_bury",
        **_LETTERS_BURY(last.values()),
        device_id=[death.device or "" for death in last.values()],
    )


def dead_fact(death: Death) -> Fact:
    """That the notification is dead for a device that did not acknowledge it."""
    detail = msgspec.json.encode({"reason": death.reason, "attempts": death.attempts}).decode()
    user, device = death.user, death.device
    return Fact(ReceiptKind.DEAD, death.notification, user, death.dead_at, device, detail=detail)


def undelivered(notifications: Mapping[str, int], facts: Facts, *, letters: bool) -> Script[None]:
    """Note the recipients to whom *notifications* were not delivered before they expired, and with
    *letters* write a letter for each.

    *notifications* maps ids to the time of expiry (Unix ms). Call it before the inbox rows are
    marked as expired, because it reads which are not. It is for notifications that are addressed to
    users only: a subscriber does not wait for each notification of a topic.
    """
    rows = yield from run("letters_undelivered", notification_id=sorted(notifications))
    deaths = [
        Death(
            row.notification_id,
            row.user_id,
            None,
            "expired",
            "not delivered in time",
            row.attempts,
            row.first_sent_at,
            notifications[row.notification_id],
        )
        for row in rows
    ]
    facts += [
        Fact(ReceiptKind.EXPIRED, each.notification, each.user, each.dead_at) for each in deaths
    ]
    if letters:
        yield from bury(deaths)


def deaths_in(lines: Iterable[tuple[DeliveryRecord, int]]) -> Script[list[Death]]:
    """The deaths in *lines* that the ledger does not have yet; each line comes with its time.

    Call it before the lines are written: a repeated line is no second death, and only the ledger of
    before shows that it is repeated.
    """
    dead = [(line, at) for line, at in lines if line.dead_reason is not None]
    known = yield from run("letters_known", **_LETTERS_KNOWN([line for line, _ in dead]))
    old = {(row.notification_id, row.user_id, row.device_id) for row in known}
    return [
        Death(
            line.notification,
            line.user,
            line.device,
            "attempts",
            line.dead_reason or "",
            line.attempts,
            line.first_sent_at,
            at,
        )
        for line, at in dead
        if (line.notification, line.user, line.device) not in old
    ]
