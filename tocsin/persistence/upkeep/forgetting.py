"""Everything of one person, out of all tables, in one transaction; and the proof.

What is theirs alone goes: their log and inbox, devices, ledger, subscriptions, preferences,
tickets, dead letters, answers to their posts, and notifications that nobody else has. What is
others' as well stays without their name: a notification that they posted, a list of recipients that
waits for its time. What others wrote *about* them cannot be told from other text; it is counted,
not changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from tocsin.persistence.upkeep.tables import TABLES

FORGOTTEN: Final = "forgotten"
"""In the place of the credential of whoever posted a notification."""

ATTEMPTS: Final = 5
"""Looks at most. Each waits until nodes have written what they hold; more than two are not
expected."""

_THEIR_ROWS: Final = (
    *("inbox", "users", "devices", "deliveries", "tickets", "preferences"),
    *("collapsing", "subscriptions", "dead_letters"),
)
"""Tables whose rows with their `user_id` are theirs."""

# A notification that they have and nobody else has, had or may yet get.
_SOLE: Final = """
SELECT i.notification_id FROM inbox AS i
WHERE i.user_id = $1
    AND NOT EXISTS (SELECT 1 FROM inbox AS o
        WHERE o.notification_id = i.notification_id AND o.user_id <> $1)
    AND NOT EXISTS (SELECT 1 FROM topic_log AS t WHERE t.notification_id = i.notification_id)
"""


class Busy(Exception):
    """The transaction lost against others; it may be tried again."""


class Hands(Protocol):
    """A connection of either kind; statements have parameters `$1`, `$2`…, all of them texts."""

    find: str
    """The function that says where the second text stands in the first; 0 for nowhere."""

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """All of it or nothing. Raises `Busy` where others were in its way."""

    async def run(self, sql: str, *parameters: str) -> Sequence[Sequence[Any]]:
        """Its rows."""

    async def texts(self, table: str) -> list[str]:
        """The columns of *table* that hold text."""


@dataclass(frozen=True, slots=True)
class Named:
    """Rows that name the user, by table, where there are any; *mentions* are notifications in whose
    content the name stands, whosever they are."""

    rows: dict[str, int]
    mentions: int

    @property
    def total(self) -> int:
        return sum(self.rows.values())


class Person(NamedTuple):
    """Whom to forget; *credentials* are names of theirs that do not contain the user's."""

    user: str
    credentials: tuple[str, ...] = ()

    @property
    def quoted(self) -> str:
        """As it stands in JSON."""
        return msgspec.json.encode(self.user).decode()


async def forget_for_good(
    hands: Hands, person: Person, pause: Callable[[], Awaitable[None]]
) -> Named:
    """`forget`, again and again until a look after a *pause* finds nothing; what is left.

    Nodes that had the person connected write what they still hold a moment after the end.
    """
    for _ in range(ATTEMPTS):
        with suppress(Busy):
            await forget(hands, person)
        await pause()
        left = await survey(hands, person)
        if not left.rows:
            break
    return left


async def forget(hands: Hands, person: Person) -> None:
    """Remove all that `survey` finds, but for the mentions. Raises `Busy`."""
    user = person.user
    async with hands.transaction():
        # The store's order: notifications, users, and what hangs on them.
        await hands.run(f"DELETE FROM notifications WHERE id IN ({_SOLE})", user)
        await _leave_schedule(hands, person)
        await hands.run("UPDATE users SET head = head WHERE user_id = $1", user)
        await hands.run(
            "UPDATE topics SET subscribers = subscribers - 1 WHERE topic IN"
            " (SELECT topic FROM subscriptions WHERE user_id = $1 AND active)",
            user,
        )
        for table in _THEIR_ROWS:
            await hands.run(f"DELETE FROM {table} WHERE user_id = $1", user)
        credentials = [("credential = $1", name) for name in _credentials(person)]
        for condition, name in [(_by_token(hands), user), *credentials]:
            await hands.run(f"DELETE FROM idempotency WHERE {condition}", name)
            await hands.run(
                f"UPDATE notifications SET credential = '{FORGOTTEN}' WHERE {condition}", name
            )


async def survey(hands: Hands, person: Person) -> Named:
    """Look through every column of text of every table for the user's name.

    It counts as theirs where it is the whole value, a text in JSON, or the end of a credential.
    """
    rows: dict[str, int] = {}
    for table in TABLES:
        for column in await hands.texts(table):
            if (table, column) == ("notifications", "document"):
                continue
            condition = f"{column} = $1 OR {hands.find}({column}, $2) > 0"
            parameters = [person.user, person.quoted]
            if column == "credential":
                condition += f" OR {_by_token(hands)}"
                for name in _credentials(person):
                    parameters.append(name)
                    condition += f" OR {column} = ${len(parameters)}"
            [[count]] = await hands.run(
                f"SELECT count(*) FROM {table} WHERE {condition}", *parameters
            )
            if count:
                # A row may name them in two columns: as many as there are in the one with the most.
                rows[table] = max(count, rows.get(table, 0))
    [[mentions]] = await hands.run(
        f"SELECT count(*) FROM notifications WHERE {hands.find}(document, $1) > 0", person.user
    )
    return Named(rows, mentions)


async def _leave_schedule(hands: Hands, person: Person) -> None:
    waiting = await hands.run(
        f"SELECT notification_id, users FROM schedule WHERE {hands.find}(users, $1) > 0",
        person.quoted,
    )
    for notification, users in waiting:
        left = [each for each in msgspec.json.decode(users) if each != person.user]
        if left:
            await hands.run(
                "UPDATE schedule SET users = $2 WHERE notification_id = $1",
                *(notification, msgspec.json.encode(left).decode()),
            )
        else:
            await hands.run("DELETE FROM schedule WHERE notification_id = $1", notification)
            await hands.run("DELETE FROM notifications WHERE id = $1", notification)


def _by_token(hands: Hands) -> str:
    """Of a token's credential (`jwt:<issuer>:<user>`), whose issuer has no colon."""
    rest = "substr(credential, 5)"
    return (
        f"(substr(credential, 1, 4) = 'jwt:'"
        f" AND $1 = substr({rest}, {hands.find}({rest}, ':') + 1))"
    )


def _credentials(person: Person) -> tuple[str, ...]:
    return (f"ticket:{person.user}", *person.credentials)
