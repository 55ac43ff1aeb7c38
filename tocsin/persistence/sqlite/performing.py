"""Runs a statement on SQLite: once for each row of its columns, and one part after the other.

SQLite runs in this process, so running a text for each row costs no round trip. A statement that
changes several tables in Postgres consists of several parts here (`Part`).
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tocsin.persistence.scripts.statements import Part, Row, Rows, Sql, Statement


class PreparedStatement(NamedTuple):
    """A statement, and the function that makes its rows from SQLite's tuples."""

    sql: Sql
    named: Callable[[Iterable[Any]], Row]


def prepare(statements: Mapping[str, Sql]) -> dict[str, PreparedStatement]:
    """All *statements*, by name; their rows become named tuples.

    (`tuple.__new__` instead of the named tuple's `_make`, which counts the columns and costs twice
    as much.)
    """
    return {
        name: PreparedStatement(sql, partial(tuple.__new__, namedtuple(name, sql.columns)))
        for name, sql in statements.items()
    }


def perform(
    connection: sqlite3.Connection, prepared: PreparedStatement, statement: Statement
) -> Rows:
    """Run *statement* for every row of its columns; the rows found. Raises `sqlite3.Error`."""
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
    """Run all *parts* of a statement but the last one; the text and the columns of that one."""
    for part in parts:
        taken = [columns[place] for place in part.columns]
        if part.condition and connection.execute(part.condition).fetchone() is None:
            taken = [()] * len(taken)  # runs for no row
        if part is not parts[-1]:
            connection.executemany(part.text, zip(*taken, strict=True))
    return part.text, taken
