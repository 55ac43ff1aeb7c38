"""Numbered migrations, which the program applies by itself when it opens the store.

A migration, `<dialect>/<number>_<name>.sql`, is applied once and never changed afterwards. Its
checksum is recorded, and a difference stops the program, because the tables may then not be those
that the statements were written for. Adapters hold a lock around `missing` and the applying: of
several nodes that start together one migrates, and the others wait.

Nodes of two releases share a database while a cluster is upgraded node by node. So each migration
says in a line of its own which programs can still work after it:

    -- works with 0005

Programs whose newest migration is 0005 or later work on the tables as this migration leaves them.
The database keeps the greatest of these floors (`meta`, row `schema`). By it a program that does
not know the newest migrations decides whether it may start.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from tocsin.persistence.store import StoreFailed

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
EPOCH_LENGTH = 10
"""Characters, and bytes of entropy: 36¹⁰ names, so that no two databases share one by chance."""
SECRET_BYTES = 32
"""Bytes of the secret that all nodes share; it is stored as hexadecimal digits."""

CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL
)
"""
READ_APPLIED = "SELECT number, checksum FROM migrations"
READ_SCHEMA = "SELECT value FROM meta WHERE name = 'schema'"
"""Run it only if `newer` finds migrations: before the first migration there is no table `meta`."""

_WORKS_WITH = re.compile(r"^-- works with (\d{4})$", re.MULTILINE)


class Migration(NamedTuple):
    number: int
    name: str
    sql: str
    checksum: str

    def __str__(self) -> str:
        return f"{self.number:04} {self.name}"

    @property
    def works_with(self) -> int:
        """The number of the migration that a program has to know to work after this one."""
        said = _WORKS_WITH.search(self.sql)
        return self.number if said is None else int(said[1])


@cache
def known(dialect: str) -> tuple[Migration, ...]:
    """All migrations of *dialect*, oldest first."""
    folder = resources.files("tocsin.persistence.migrations") / dialect
    found = []
    for file in folder.iterdir():
        if match := re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name):
            # A checkout may have other line ends, which must not change the checksum.
            sql = file.read_text(encoding="utf-8").replace("\r\n", "\n")
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(int(match[1]), match[2].replace("_", " "), sql, checksum))
    return tuple(sorted(found))


def newer(dialect: str, applied: Iterable[int]) -> list[int]:
    """The numbers of *applied* migrations that this program does not know, ascending."""
    ours = {migration.number for migration in known(dialect)}
    return sorted(number for number in applied if number not in ours)


def missing(
    dialect: str, applied: Mapping[int, str], schema: str | None = None
) -> Sequence[Migration]:
    """The migrations to apply to a database in which *applied* (number → checksum) were.

    *schema* is the database's line about newer migrations (`READ_SCHEMA`). Raises `StoreFailed` if
    this program cannot work with the database, or if an applied migration was another one.
    """
    ours = {migration.number: migration for migration in known(dialect)}
    for number in newer(dialect, applied):
        if not _works(schema, number, max(ours)):
            raise StoreFailed(
                f"The database has schema version {number}, and this program knows only "
                f"version {max(ours)}: a newer Tocsin has used it. Run that version or a later one."
            )
    for number, checksum in sorted(applied.items()):
        if number in ours and checksum != ours[number].checksum:
            raise StoreFailed(
                f"Migration {ours[number]} is not the one that was applied to the database: the "
                "program or the database was changed by hand. Run the version that made it."
            )
    return [migration for number, migration in sorted(ours.items()) if number not in applied]


def note_schema(dialect: str, applied: Iterable[int], schema: str | None) -> str:
    """SQL that records in the database which programs can work with it.

    Run it when all migrations of this program are applied. *applied* are the numbers that were
    applied before, *schema* is the former record.
    """
    newest, floor = _parse_schema(schema) or (0, 0)
    ours = known(dialect)
    newest = max(newest, *applied, *(each.number for each in ours))
    floor = max(floor, *(each.works_with for each in ours))
    return (
        f"INSERT INTO meta (name, value) VALUES ('schema', '{newest} {floor}')"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    )


def _works(schema: str | None, number: int, known_newest: int) -> bool:
    """Whether a program that knows *known_newest* can work where migration *number* was applied."""
    said = _parse_schema(schema)
    # A migration newer than the record was applied by a program that keeps no record: the floor in
    # the record does not cover it.
    return said is not None and number <= said[0] and known_newest >= said[1]


def _parse_schema(schema: str | None) -> tuple[int, int] | None:
    """The newest migration that was known when *schema* was written, and the floor."""
    if schema is None or not re.fullmatch(r"\d{1,9} \d{1,9}", schema):
        return None
    newest, floor = schema.split()
    return int(newest), int(floor)


def epoch_from(entropy: bytes) -> str:
    """The name of a new epoch, from `EPOCH_LENGTH` bytes of *entropy*."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in entropy)
