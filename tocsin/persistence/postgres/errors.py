"""Tells errors of asyncpg apart: states of the world, and bugs of ours.

The SQLSTATE decides (Postgres manual, appendix A): its first two characters are a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from tocsin.persistence.store import StoreBlocked, StoreFailed, StoreUnavailable

_UNAVAILABLE = (
    "08",  # connection exceptions
    "25006",  # read-only transaction: we are talking to a standby
    "25P04",  # the server's transaction_timeout
    "25P03",  # the server ended our transaction because this process had been frozen
    "28",  # login refused: a password or pg_hba.conf is being changed
    "3D",  # no such database: it is being restored
    "40",  # deadlock or serialization failure, again and again
    "53",  # insufficient resources: disk full, out of memory, too many connections
    "57",  # operator intervention: shutdown, crash, starting up, statement timeout
    "58",  # system errors: I/O
)
_READABLE = ("25006", "53100")  # those that prevent writing only: read only, disk full
_RETRYABLE = ("40001", "40P01")


def is_retryable(error: Exception) -> bool:
    """Whether the transaction is likely to succeed if it is repeated at once."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        # Another node has migrated the tables. asyncpg prepares the statement anew by itself.
        return True
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _RETRYABLE


@contextmanager
def tables_needed(schema: str) -> Iterator[None]:
    """Raise `StoreFailed` with a remedy for the operator if the block cannot make its tables in
    *schema*.
    """
    own = "give Tocsin a schema of its own (CREATE SCHEMA tocsin AUTHORIZATION …; ALTER ROLE … SET "
    own += "search_path = tocsin)"
    try:
        yield
    except (asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError) as error:
        wrong = f"The schema {schema} holds what is not Tocsin's: {error}."
        raise StoreFailed(f"{wrong} Nothing was changed; {own}.") from error
    except asyncpg.InsufficientPrivilegeError as error:
        wrong = f"The role may not make or change tables in the schema {schema}: {error}."
        raise StoreFailed(f"{wrong} Run `tocsin migrate` as their owner, or {own}.") from error


def translated(error: Exception) -> StoreUnavailable | StoreFailed:
    """The `StoreUnavailable` (a state of the world) or `StoreFailed` (a bug) for *error*."""
    text = f"Postgres: {type(error).__name__}: {error}"
    if isinstance(error, asyncpg.PostgresError):
        # Errors that asyncpg raises by itself, such as a lost connection, have a code as well.
        code = error.sqlstate or ""
        if code == "55P03":  # lock not available
            return StoreBlocked(text)
        if code.startswith(_UNAVAILABLE):
            return StoreUnavailable(text, readable=code in _READABLE)
        return StoreFailed(text)
    if isinstance(error, OSError | asyncpg.TargetServerAttributeNotMatched):
        # The second: none of several servers can be written to, while one is being promoted.
        return StoreUnavailable(text)
    if isinstance(error, asyncpg.InterfaceError) and "closed" in str(error):
        # "connection is closed", "connection was closed in the middle of operation"
        return StoreUnavailable(text)
    if isinstance(error, asyncpg.InternalClientError) and "another operation" in str(error):
        # The server has ended an idle connection. Its last message has arrived, the end of the
        # connection has not, and asyncpg takes the message for that of an operation under way.
        return StoreUnavailable(text)
    return StoreFailed(text)
