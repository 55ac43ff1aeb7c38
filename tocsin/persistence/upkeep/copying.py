"""Copies a whole database into another, of the same or of another kind, and proves the copy.

The rows are of one moment of the source, and are committed in the target all at once. Before that
they are read back: both sides must have the same number of rows in each table, and the same sum of
their digests. The copy keeps the epoch, so that devices go on with their cursors. If the source
goes on changing, the copy is like a restored backup, and has to get a new epoch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from tocsin.persistence import migrations
from tocsin.persistence.upkeep.tables import FLEETING, TABLES, Unsuitable

Row = tuple[Any, ...]

BATCH: Final = 2000
"""Rows that are held in memory at a time."""

NOT_COPIED: Final = ("schema", "probe")
"""Rows of `meta` that belong to a database and not to its data, by name."""

_COPIED: Final = tuple(table for table in TABLES if table not in FLEETING)

NOT_FRESH: Final = {
    "topics": "NOT (topic = '*' AND head = 0 AND subscribers = 0)",
    "receipt_log": "NOT (name = 'receipts' AND head = 0 AND horizon = 0)",
}
"""Conditions for the rows, by table, that the migrations have not made themselves."""

_DIGEST_BYTES: Final = 8
"""Bytes of a row's digest. It finds mistakes, not forgers: 64 bits do."""
_SUM: Final = 1 << (8 * _DIGEST_BYTES)


class Side(Protocol):
    """One of the two databases, in a transaction that sees one moment.

    The values of rows are numbers, texts, bytes and `None`; a boolean is 0 or 1 on both sides.
    Cancelling a call is an exception in its transaction like any other.
    """

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Commit the changes of the block at its end; undo all of them after an exception."""

    async def applied(self) -> dict[int, str]: ...

    async def columns(self, table: str) -> list[str]:
        """The names of the table's columns, sorted."""

    async def count(self, table: str, condition: str) -> int: ...

    def rows(
        self, table: str, columns: Sequence[str], condition: str
    ) -> AsyncIterator[list[Row]]: ...

    async def put(self, table: str, columns: Sequence[str], rows: list[Row]) -> None: ...

    async def delete(self, table: str, condition: str) -> None: ...

    async def last_letter(self) -> int:
        """The greatest id that a dead letter ever had, also a forgotten one; 0 for none."""

    async def set_last_letter(self, id: int) -> None: ...  # noqa: A002 (what it is called)

    async def set_epoch(self, epoch: str) -> None: ...


class Copied(NamedTuple):
    """A table that was copied; *digest* is of its rows, independent of their order."""

    table: str
    rows: int
    digest: str


@dataclass(slots=True)
class Account:
    """The number and the digests of the rows of one table that were seen so far."""

    rows: int = 0
    total: int = 0

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            digest = blake2b(msgspec.msgpack.encode(row), digest_size=_DIGEST_BYTES).digest()
            # A sum and not an exclusive or, in which the same row twice would cancel itself out.
            self.total = (self.total + int.from_bytes(digest)) % _SUM
            self.rows += 1

    def of(self, table: str) -> Copied:
        return Copied(table, self.rows, f"{self.total:0{2 * _DIGEST_BYTES}x}")


async def copy_all(
    source: Side, target: Side, *, fresh_epoch: Callable[[int], bytes] | None = None
) -> list[Copied]:
    """Copy everything; the copied tables, whose digests were the same on both sides.

    With *fresh_epoch*, a source of random bytes, the copy gets an epoch of its own. Raises
    `Unsuitable` and the errors of the drivers; then, and if it is cancelled, the target is as it
    was before.
    """
    async with source.transaction(), target.transaction():
        await _check_schemas(source, target)
        await _check_empty(target)
        for table in NOT_FRESH:
            await target.delete(table, "1 = 1")
        await target.delete("meta", _condition("meta"))
        copied = [await _copy_table(source, target, table) for table in _COPIED]
        await target.set_last_letter(await source.last_letter())
        for each in copied:
            found = await _account(target, each.table)
            if found != each:
                wrong = f"{each.table} is not what was copied: {each} became {found}"
                raise Unsuitable(wrong, "nothing was changed; please report it")
        if fresh_epoch is not None:
            await target.set_epoch(migrations.epoch_from(fresh_epoch(migrations.EPOCH_LENGTH)))
    return copied


async def _copy_table(source: Side, target: Side, table: str) -> Copied:
    account = Account()
    columns = await source.columns(table)
    async for rows in source.rows(table, columns, _condition(table)):
        await target.put(table, columns, rows)
        account.add(rows)
    return account.of(table)


async def _account(side: Side, table: str) -> Copied:
    account = Account()
    columns = await side.columns(table)
    async for rows in side.rows(table, columns, _condition(table)):
        account.add(rows)
    return account.of(table)


async def _check_schemas(source: Side, target: Side) -> None:
    there, here = await source.applied(), await target.applied()
    if there.keys() != here.keys():
        missing = sorted(here.keys() - there.keys())
        wrong = (
            f"The source lacks migration {missing[0]:04}"
            if missing
            else "The source is of a newer release"
        )
        raise Unsuitable(wrong, "bring it up to date first (`migrate`), with this same release")
    for table in _COPIED:
        if await source.columns(table) != await target.columns(table):
            raise Unsuitable(f"The columns of {table} differ", "please report it")


async def _check_empty(target: Side) -> None:
    for table in _COPIED:
        condition = NOT_FRESH.get(table, "1 = 1")
        if table != "meta" and (count := await target.count(table, condition)):
            raise Unsuitable(
                f"The target is not empty: {table} has {count} rows", "name an empty database"
            )


def _condition(table: str) -> str:
    if table != "meta":
        return "1 = 1"
    return f"name NOT IN ({', '.join(repr(name) for name in NOT_COPIED)})"
