"""Statements, and the scripts that are made of them.

All store logic stands once, in *scripts*: generators that yield a `Statement`, are sent its rows,
and return their answer. They know no driver, no thread and no event loop; an adapter drives them
through its own connection. (The rejected alternative is a store class per database: the same
rules twice, and two ways to be wrong.)

A statement is a name and *columns*: one list per parameter, all equally long. One statement does
its work for every row of them, and how is the dialect's affair. Postgres, where a round trip is
dear, takes the columns as arrays in one query over `unnest`; SQLite, where it is free, runs a
scalar statement per row, or several in turn where Postgres changes several tables in one. Both
return the same rows for the same columns, so a batch of hundreds of commands costs as many
statements as a batch of one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

Row = Sequence[Any]
Rows = Sequence[Row]


class Statement(NamedTuple):
    """One step of a script; without *columns* it runs once."""

    name: str
    columns: tuple[Sequence[Any], ...]


Script = Generator[Statement, Rows, T]


class Part(NamedTuple):
    """One text of several, and which of the statement's columns are its parameters, in order."""

    text: str
    columns: tuple[int, ...]


class Sql(NamedTuple):
    """A statement's text in one dialect, how many parameters it takes, whether rows come back.

    Where it consists of several texts (only in SQLite), they are *parts*, to be run one after the
    other; the last one's rows come back.
    """

    text: str
    parameters: int
    returns_rows: bool
    parts: tuple[Part, ...] = ()


def run(name: str, *columns: Sequence[Any]) -> Script[Rows]:
    """Run one statement; nothing is asked of the database when the columns are empty."""
    if columns and not columns[0]:
        return ()
    rows: Rows = yield Statement(name, columns)
    return rows


def run_for(name: str, rows: Collection[Row]) -> Script[Rows]:
    """Run one statement for each of *rows*, which hold its parameters in order."""
    if not rows:
        return ()
    found: Rows = yield Statement(name, tuple(zip(*rows, strict=True)))
    return found


def drive(script: Script[T], perform: Callable[[Statement], Rows]) -> T:
    """Run *script* to its end with *perform*, which executes one statement and returns its rows."""
    try:
        statement = next(script)
        while True:
            statement = script.send(perform(statement))
    except StopIteration as done:
        answer: T = done.value
        return answer


_HEADING = re.compile(r"^-- name: (?P<name>\w+)(?P<rows> -> rows)?$", re.MULTILINE)
_PARAMETER = re.compile(r"[?$](\d+)")
_THEN = re.compile(r"^-- then$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


@cache
def load(dialect: str) -> Mapping[str, Sql]:
    """The statements of `sql/<dialect>/*.sql`, by name.

    A statement begins at `-- name: …` and ends at the next one; `-> rows` says that it returns
    rows, `-- then` stands between its parts. Raises `ValueError` for a name that stands twice.
    """
    statements: dict[str, Sql] = {}
    folder = resources.files("tocsin.persistence") / "sql" / dialect
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".sql"):
            for name, sql in _parse(file.read_text(encoding="utf-8")):
                if name in statements:
                    raise ValueError(f"{dialect}/{file.name}: {name} stands twice")
                statements[name] = sql
    return statements


def _parse(text: str) -> list[tuple[str, Sql]]:
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    found = []
    for heading, end in zip(headings, ends, strict=True):
        bodies = [_body(part) for part in _THEN.split(text[heading.end() + 1 : end])]
        body = ";\n".join(bodies)
        numbers = [int(number) for number in _PARAMETER.findall(body)]
        parts = tuple([_part(each) for each in bodies]) if len(bodies) > 1 else ()
        sql = Sql(body, max(numbers, default=0), bool(heading["rows"]), parts)
        found.append((heading["name"], sql))
    return found


def _body(text: str) -> str:
    return _COMMENT.sub("", text).strip().removesuffix(";")


def _part(text: str) -> Part:
    """Numbered anew, because a driver wants exactly as many values as the greatest number says."""
    numbers = sorted({int(number) for number in _PARAMETER.findall(text)})
    places = {str(number): place for place, number in enumerate(numbers, 1)}
    renumbered = _PARAMETER.sub(lambda match: f"?{places[match[1]]}", text)
    return Part(renumbered, tuple([number - 1 for number in numbers]))
