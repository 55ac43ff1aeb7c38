"""Numbered migrations, which the program applies itself when it opens the store.

`<dialect>/<number>_<name>.sql` is applied once and never changed afterwards: its checksum is
recorded, and a difference stops the program, because it means that the tables are not what the
statements were written for. Adapters hold a lock around `missing` and the applying, so that of
many nodes that start together one migrates and the others wait.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from tocsin.persistence.store import StoreFailed

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
EPOCH_LENGTH = 10
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


class Migration(NamedTuple):
    number: int
    name: str
    sql: str
    checksum: str

    def __str__(self) -> str:
        return f"{self.number:04} {self.name}"


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


def missing(dialect: str, applied: Mapping[int, str]) -> Sequence[Migration]:
    """What is to be applied to a database where *applied* (number → checksum) were.

    Raises `StoreFailed` for a database that this program cannot work with.
    """
    ours = {migration.number: migration for migration in known(dialect)}
    for number, checksum in sorted(applied.items()):
        if number not in ours:
            raise StoreFailed(
                f"The database has schema version {number}, and this program knows only "
                f"version {max(ours)}: a newer Tocsin has used it. Run that version or a later one."
            )
        if checksum != ours[number].checksum:
            raise StoreFailed(
                f"Migration {ours[number]} is not the one that was applied to the database: the "
                "program or the database was changed by hand. Run the version that made it."
            )
    return [migration for number, migration in sorted(ours.items()) if number not in applied]


def epoch_from(entropy: bytes) -> str:
    """The name of a new database's logs, from `EPOCH_LENGTH` bytes of *entropy*."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in entropy)
