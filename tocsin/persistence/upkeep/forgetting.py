"""Removes one user from all tables, in one transaction, and proves it by a search for the name.

Rows of the user alone are deleted: log and inbox, devices, ledger, subscriptions, preferences,
tickets, dead letters, receipts, addresses, sends, answers to posts, and notifications that no other
user has. Rows that concern other users as well stay, without the name: a notification that the user
posted, a list of recipients that waits for its time. Text that others wrote *about* the user cannot
be told from other text; such notifications are counted, not changed. So are rows of other things
that have the user's very name, such as a topic.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from tocsin.persistence.upkeep.tables import FLEETING, TABLES

FORGOTTEN: Final = "forgotten"
"""Stands in place of the credential of a forgotten user who posted a notification."""

ATTEMPTS: Final = 5
"""Looks at most. Each waits until nodes have written what they hold; more than two are not
expected."""

_LETTERS: Final = "ingest_letters"
_THEIR_ROWS: Final = (
    *("inbox", "users", "devices", "deliveries", "tickets", "preferences"),
    *("collapsing", "subscriptions", "dead_letters", "receipts", "sink_letters"),
    *("addresses", "sends", "channel_preferences"),
)
"""Tables whose rows with the user's `user_id` are deleted."""

_NAMES_OF_OTHER_THINGS: Final = frozenset(
    {
        *(("api_keys", "name"), ("connectors", "name"), ("ingest_letters", "connector")),
        *(("topics", "topic"), ("topic_log", "topic"), ("subscriptions", "topic")),
        *(("notifications", name) for name in ("category", "topic", "collapse_key")),
        *(("collapsing", "topic"), ("collapsing", "collapse_key"), ("preferences", "name")),
        *((table, "device_id") for table in ("devices", "deliveries", "dead_letters")),
        *((table, "device_id") for table in ("receipts", "tickets")),
        *(("receipts", "category"), ("idempotency", "key"), ("sinks", "description")),
        *(("addresses", "name"), ("sends", "address"), ("channel_preferences", "preferences")),
    }
)
"""Columns of names that people gave to other things than users. One that is equal to a user's is
counted apart: the row is not about the user, or else it is deleted for its `user_id`."""
_CONTENT: Final = ("notifications", "document")
"""The column of text that was written for people, which is counted apart as well."""
_LETTERS_AT_ONCE: Final = 100
"""Letters whose bodies are decoded and searched at a time: each may have 64 KiB."""

# Notifications that the user has and that no other user has, had, or may yet get from a topic.
_SOLE: Final = """
SELECT i.notification_id FROM inbox AS i
WHERE i.user_id = $1
    AND NOT EXISTS (SELECT 1 FROM inbox AS o
        WHERE o.notification_id = i.notification_id AND o.user_id <> $1)
    AND NOT EXISTS (SELECT 1 FROM topic_log AS t WHERE t.notification_id = i.notification_id)
"""


class Busy(Exception):
    """The transaction lost a deadlock against others; it may be tried again."""


class Hands(Protocol):
    """A connection of either kind. Statements have parameters `$1`, `$2`…, all of them texts.

    Cancelling a call undoes the transaction that it is in.
    """

    find: str
    """The SQL function for the position of the second text in the first, from 1; 0 for nowhere."""

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Commit the changes of the block, or undo all of them. Raises `Busy` after a deadlock."""

    async def run(self, sql: str, *parameters: str) -> Sequence[Sequence[Any]]:
        """Run a statement; its rows."""

    async def texts(self, table: str) -> list[str]:
        """The columns of *table* that hold text."""


@dataclass(frozen=True, slots=True)
class Named:
    """*rows* is the number of rows that name the user, for each table that has any; *mentions* is
    the number of notifications in whose content the name stands, of any recipient; *namesakes* is
    the number of rows, by table, of other things that have the user's name."""

    rows: dict[str, int]
    mentions: int
    namesakes: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.rows.values())


class Person(NamedTuple):
    """The user to forget; *credentials* are further credentials, which do not contain the name."""

    user: str
    credentials: tuple[str, ...] = ()

    @property
    def quoted(self) -> str:
        """The user's name as it stands in JSON."""
        return msgspec.json.encode(self.user).decode()

    def owns(self, credential: str) -> bool:
        """Whether *credential* is one of the user's."""
        kind, _, rest = credential.partition(":")
        by_token = kind == "jwt" and rest.partition(":")[2] == self.user
        return by_token or credential in _credentials(self)


async def forget_for_good(
    hands: Hands, person: Person, pause: Callable[[], Awaitable[None]]
) -> Named:
    """Repeat `forget` until a survey after a *pause* finds no row; the last survey.

    One attempt is not enough, because nodes to which the user was connected write what they still
    hold a moment later. After `ATTEMPTS` the survey may still have rows.
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
    """Remove all rows that `survey` finds, but not the mentions. Raises `Busy`."""
    user = person.user
    async with hands.transaction():
        # In the store's order of locks: notifications, users, and the rows that belong to these.
        await hands.run(f"DELETE FROM escalations WHERE notification_id IN ({_SOLE})", user)
        await hands.run(f"DELETE FROM notifications WHERE id IN ({_SOLE})", user)
        await _leave_schedule(hands, person)
        # A place between two pages of recipients: the step goes over them again, and sends nothing
        # twice.
        await hands.run("UPDATE escalations SET after_user = '' WHERE after_user = $1", user)
        await hands.run("UPDATE users SET head = head WHERE user_id = $1", user)
        await hands.run(
            "UPDATE topics SET subscribers = subscribers - 1 WHERE topic IN"
            " (SELECT topic FROM subscriptions WHERE user_id = $1 AND active)",
            user,
        )
        for table in _THEIR_ROWS:
            await hands.run(f"DELETE FROM {table} WHERE user_id = $1", user)
        await _remove_letters(hands, person)
        # All of them, and the life: nodes notice that, and look at all users once.
        for table in FLEETING:
            await hands.run(f"DELETE FROM {table}")
        for condition, name in _by_credential(hands, person):
            await hands.run(f"DELETE FROM idempotency WHERE {condition}", name)
            await hands.run(
                f"UPDATE notifications SET credential = '{FORGOTTEN}' WHERE {condition}", name
            )


async def survey(hands: Hands, person: Person) -> Named:
    """Search every column of text of every table for the user's name.

    A row counts if the name is a whole value, a text in JSON, or the end of a credential.
    """
    rows: dict[str, int] = {}
    namesakes: dict[str, int] = {}
    for table in TABLES:
        for column in await hands.texts(table):
            if (table, column) == _CONTENT:
                continue
            found = namesakes if (table, column) in _NAMES_OF_OTHER_THINGS else rows
            condition = f"{column} = $1 OR {hands.find}({column}, $2) > 0"
            parameters = [person.user, person.quoted]
            if column == "credential":
                condition += f" OR {_by_token(hands)}"
                for name in _credentials(person):
                    parameters.append(name)
                    condition += f" OR {column} = ${len(parameters)}"
            if found is namesakes and table in _THEIR_ROWS:
                condition = f"(user_id IS NULL OR user_id <> $1) AND ({condition})"
            [[count]] = await hands.run(
                f"SELECT count(*) FROM {table} WHERE {condition}", *parameters
            )
            if count:
                # A row may name the user in two columns, so the column with most rows counts.
                found[table] = max(count, found.get(table, 0))
    if encoded := [each async for each in _encoded_letters(hands, person)]:
        rows[_LETTERS] = rows.get(_LETTERS, 0) + len(encoded)
    [[mentions]] = await hands.run(
        f"SELECT count(*) FROM notifications WHERE {hands.find}(document, $1) > 0", person.user
    )
    return Named(rows, mentions, namesakes)


async def claimed_keys(hands: Hands, person: Person) -> set[tuple[str, str]]:
    """The idempotency keys of the user's posts, each behind its credential."""
    found: set[tuple[str, str]] = set()
    for condition, name in _by_credential(hands, person):
        rows = await hands.run(f"SELECT credential, key FROM idempotency WHERE {condition}", name)
        found |= {(credential, key) for credential, key in rows}
    return found


async def _remove_letters(hands: Hands, person: Person) -> None:
    for column in await hands.texts(_LETTERS):
        if (_LETTERS, column) not in _NAMES_OF_OTHER_THINGS:
            await hands.run(
                f"DELETE FROM {_LETTERS} WHERE {column} = $1 OR {hands.find}({column}, $2) > 0",
                *(person.user, person.quoted),
            )
    async for id_ in _encoded_letters(hands, person):
        await hands.run(f"DELETE FROM {_LETTERS} WHERE id = {int(id_)}")


async def _encoded_letters(hands: Hands, person: Person) -> AsyncIterator[int]:
    """The ids of letters whose messages are no text, and name the user all the same."""
    after = 0
    while page := await hands.run(
        f"SELECT id, body FROM {_LETTERS} WHERE encoding = 'base64' AND id > {int(after)}"
        f" ORDER BY id LIMIT {_LETTERS_AT_ONCE}"
    ):
        for id_, body in page:
            if person.quoted.encode() in base64.b64decode(body):
                yield id_
        after = page[-1][0]


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


def _by_credential(hands: Hands, person: Person) -> list[tuple[str, str]]:
    """Conditions, each with its parameter, that a credential is one of the user's."""
    named = [("credential = $1", name) for name in _credentials(person)]
    return [(_by_token(hands), person.user), *named]


def _by_token(hands: Hands) -> str:
    """The condition that a credential is of a token of the user (`jwt:<issuer>:<user>`).

    The name may have colons, the issuer has none.
    """
    rest = "substr(credential, 5)"
    return (
        f"(substr(credential, 1, 4) = 'jwt:'"
        f" AND $1 = substr({rest}, {hands.find}({rest}, ':') + 1))"
    )


def _credentials(person: Person) -> tuple[str, ...]:
    return (f"ticket:{person.user}", *person.credentials)
