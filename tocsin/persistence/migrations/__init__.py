"""Numbered migrations, which the program applies itself when it opens the store.

`<dialect>/<number>_<name>.sql` is applied once and never changed afterwards: its checksum is
recorded, and a difference stops the program, because it means that the tables are not what the
statements were written for. Adapters hold a lock around `missing` and the applying, so that of
many nodes that start together one migrates and the others wait.

Nodes of two releases share a database while they are upgraded one by one. So each migration says
which programs can go on after it, in a line of its own:

    -- works with 0005

Programs whose newest migration is 0005 or later work on the tables as this one leaves them. The
database keeps the greatest of these floors (`meta`, row `schema`), for a program that has never
heard of the newest migrations and starts all the same.
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
"""Of the secret that all nodes share; it is kept as hexadecimal digits."""

CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL
)
"""
READ_APPLIED = "SELECT number, checksum FROM migrations"
READ_SCHEMA = "SELECT value FROM meta WHERE name = 'schema'"
"""To be asked only where `newer` finds something: before the first migration there is no table."""

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
        """The newest migration that a program has to know at least to go on after this one."""
        said = _WORKS_WITH.search(self.sql)
        return self.number if said is None else int(said[1])


@cache
def known(dialect: str) -> tuple[Migration, ...]:
    """All migrations of *dialect*, oldest first."""
    folder = resources.files("tocsin.persistence.migrations") / dialect
    found = []
    for file in folder.iterdir():
        if match := re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name):
            # Whatever line ends a checkout gave them, they are the same migrations.
            sql = file.read_text(encoding="utf-8").replace("\r\n", "\n")
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(int(match[1]), match[2].replace("_", " "), sql, checksum))
    return tuple(sorted(found))


def newer(dialect: str, applied: Iterable[int]) -> list[int]:
    """Of the *applied* migrations those that this program does not know."""
    ours = {migration.number for migration in known(dialect)}
    return sorted(number for number in applied if number not in ours)


def missing(
    dialect: str, applied: Mapping[int, str], schema: str | None = None
) -> Sequence[Migration]:
    """What is to be applied to a database where *applied* (number → checksum) were.

    *schema* is what the database says of newer ones (`READ_SCHEMA`). Raises `StoreFailed` for a
    database that this program cannot work with.
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
    """SQL that keeps in the database which programs can work on it.

    For when all of ours are applied, of *applied* before; *schema* is what it said then.
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
    # What was applied after that was written, by whatever did not write it, nobody vouches for.
    return said is not None and number <= said[0] and known_newest >= said[1]


def _parse_schema(schema: str | None) -> tuple[int, int] | None:
    """The newest migration that was known when it was written, and the floor."""
    if schema is None or not re.fullmatch(r"\d{1,9} \d{1,9}", schema):
        return None
    newest, floor = schema.split()
    return int(newest), int(floor)


def epoch_from(entropy: bytes) -> str:
    """The name of a new database's logs, from `EPOCH_LENGTH` bytes of *entropy*."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in entropy)
