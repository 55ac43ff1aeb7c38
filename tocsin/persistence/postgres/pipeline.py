"""Sends statements without rows along with the next one: a transaction in few round trips.

A round trip is the dear part of a statement, on an idle machine for the CPU of both processes and
on a busy one for the time, because each of them has to be scheduled. Of the statements of a usual
transaction only three return rows on which the script depends. The others, `BEGIN` and `COMMIT`
included, wait here as messages of the extended query protocol (Postgres manual, 55.2.4, pipelining)
until a statement with rows, or the end, takes them along. The server runs all in order; if one
fails, it passes over the rest, so a `COMMIT` behind it is never reached.

asyncpg has no pipelining. But it skips the answers to other statements that come before the answer
to its own, and raises their errors as that of its own. So the messages are written to its transport
just before it writes the statement with rows. (The rejected alternatives: one text of many
statements, whose values would have to stand in the text, and so in the server's log of errors; and
a driver of our own.) A contract test watches that, and the version is pinned.

Asyncio code: everything here runs inside the trio-asyncio loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

    _Driver: TypeAlias = asyncpg.Connection[asyncpg.Record]
    _Statement: TypeAlias = PreparedStatement[asyncpg.Record]

_LENGTH: Final = Struct("!i")
_COUNTS: Final = Struct("!hh")
_ALL_AS_TEXT: Final = 0
"""The number of format codes of a message: none, so parameters and results are text."""
_RESULTS: Final = b"\0\0"
_EXECUTE: Final = b"E" + _LENGTH.pack(9) + b"\0" + _LENGTH.pack(0)
"""Execute the unnamed portal, and fetch without a limit."""


class _Prepared(NamedTuple):
    """A statement that the server knows by a name, and the constant start of its bind messages."""

    statement: _Statement
    head: bytes

    def message(self, columns: Sequence[str]) -> bytes:
        """The messages that run the statement with *columns*."""
        parts = [self.head]
        for column in columns:
            data = column.encode()
            parts += (_LENGTH.pack(len(data)), data)
        parts += (_RESULTS, _EXECUTE)
        # A message's length counts itself, and not the byte of its kind.
        length = sum(map(len, parts)) + 4 - len(_EXECUTE)
        return b"".join((b"B", _LENGTH.pack(length), *parts))


class Pipeline:
    """The statements of *connection* that wait to be sent, and those that its server has prepared.

    If the connection has no *names* for statements, none waits: each is sent at once.
    """

    __slots__ = ("_connection", "_names", "_prepared", "_waiting")

    def __init__(self, connection: _Driver, *, names: bool) -> None:
        self._connection = connection
        self._names = names
        self._prepared: dict[str, _Prepared] = {}
        self._waiting: list[tuple[_Prepared, Sequence[str]]] = []

    async def add(self, text: str, columns: Sequence[str] = ()) -> None:
        """Run the statement *text*, which returns no rows, before the next one that does.

        An error of it is raised by the call that sends it, usually a later one.
        """
        if self._names:
            self._waiting.append((await self._prepare(text, len(columns), None), columns))
        else:
            await self._connection.execute(text, *columns)

    async def fetch(
        self, text: str, columns: Sequence[str], record: type[asyncpg.Record] | None = None
    ) -> Sequence[asyncpg.Record]:
        """Run all that waits, and then the statement *text*; its rows, as objects of *record*."""
        if not self._names:
            return await self._connection.fetch(text, *columns, record_class=record)
        prepared = await self._prepare(text, len(columns), record)
        if self._waiting:
            self._send()
        return await prepared.statement.fetch(*columns)

    async def flush(self) -> None:
        """Run all that waits."""
        if self._waiting:
            last, columns = self._waiting.pop()
            if self._waiting:
                self._send()
            await last.statement.fetch(*columns)

    def drop(self) -> None:
        """Forget all that waits, and the prepared statements: the server may have refused one."""
        self._waiting.clear()
        self._prepared.clear()

    def _send(self) -> None:
        # No message of the driver is under way, so it reads nothing before its next statement.
        transport: asyncio.Transport = self._connection._transport  # type: ignore[attr-defined]
        messages = [prepared.message(columns) for prepared, columns in self._waiting]
        self._waiting.clear()
        transport.write(b"".join(messages))

    async def _prepare(
        self, text: str, parameters: int, record: type[asyncpg.Record] | None
    ) -> _Prepared:
        if (found := self._prepared.get(text)) is None:
            # Behind a pooler, the beginning of the transaction says in which schema the tables are.
            await self.flush()
            statement = await self._connection.prepare(text, record_class=record)
            name = statement.get_name().encode()
            head = b"\0" + name + b"\0" + _COUNTS.pack(_ALL_AS_TEXT, parameters)
            found = self._prepared[text] = _Prepared(statement, head)
        return found
