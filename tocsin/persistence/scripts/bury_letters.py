"""Scripts of dead letters: how they come to be (`settle_letters` settles them).

Two things make a letter: a device was given up after too many attempts, which a ledger line says,
or a notification expired before its recipient was told of it. There is one letter per notification,
user and device; it may die more than once, and its history says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tocsin.persistence.scripts.statements import Script, pick, run
from tocsin.protocol.ledger import DeliveryRecord

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
    """A notification that did not arrive; without a *device* it reached none of the user's."""

    notification: str
    user: str
    device: str | None
    cause: str
    reason: str
    attempts: int
    first_sent_at: int | None
    dead_at: int


def bury(deaths: Iterable[Death]) -> Script[None]:
    """Write the letters of *deaths*; of several of one place, the last."""
    last = {(death.notification, death.user, death.device): death for death in deaths}
    yield from run(
        "letters_bury",
        **_LETTERS_BURY(last.values()),
        device_id=[death.device or "" for death in last.values()],
    )


def bury_expired(notifications: Mapping[str, int]) -> Script[None]:
    """Write letters for who was told nothing of these *notifications* before they expired.

    The values are when (Unix ms) they expire: call it before their inbox rows say so. Only for
    what was addressed to users: who has a topic did not wait for each of its notifications.
    """
    rows = yield from run("letters_undelivered", notification_id=sorted(notifications))
    yield from bury(
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
    )


def deaths_in(lines: Iterable[tuple[DeliveryRecord, int]]) -> Script[list[Death]]:
    """The deaths that ledger *lines* bring news of, each with the time at which it was written.

    Call it before the ledger says so: a line that is repeated is no second death.
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
