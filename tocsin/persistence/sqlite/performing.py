"""Running a statement on SQLite: a row of its columns at a time, and one text after the other.

SQLite runs in this process, so a text per row costs no round trip; and where one statement of
Postgres changes several tables, there are several here (`Part`).
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tocsin.persistence.scripts.statements import Part, Row, Rows, Sql, Statement


class PreparedStatement(NamedTuple):
    """A statement, and what makes its rows of SQLite's."""

    sql: Sql
    named: Callable[[Iterable[Any]], Row]


def prepare(statements: Mapping[str, Sql]) -> dict[str, PreparedStatement]:
    """All *statements*, by name, with named tuples of their columns as rows.

    (`_make` of a named tuple counts the columns in addition, at twice the price.)
    """
    return {
        name: PreparedStatement(sql, partial(tuple.__new__, namedtuple(name, sql.columns)))
        for name, sql in statements.items()
    }


def perform(
    connection: sqlite3.Connection, prepared: PreparedStatement, statement: Statement
) -> Rows:
    """Run *statement* for every row of its columns. Raises what `sqlite3` raises."""
    sql = prepared.sql
    text, columns = sql.text, sql.arguments(statement)
    if sql.parts:
        text, columns = _run_all_but_last(connection, sql.parts, columns)
    rows = zip(*columns, strict=True) if columns else [()]
    if not sql.columns:
        connection.executemany(text, rows)
        return ()
    execute = connection.execute
    found: list[tuple[object, ...]] = []
    for row in rows:
        found += execute(text, row)
    return list(map(prepared.named, found))


def _run_all_but_last(
    connection: sqlite3.Connection, parts: Sequence[Part], columns: Sequence[Sequence[Any]]
) -> tuple[str, list[Sequence[Any]]]:
    """Run all *parts* of a statement but the last; the text of that one, and its columns."""
    for part in parts:
        taken = [columns[place] for place in part.columns]
        if part is not parts[-1]:
            connection.executemany(part.text, zip(*taken, strict=True))
    return part.text, taken
