"""Statements, and the scripts that are made of them.

All store logic stands once, in *scripts*: generators that yield a `Statement`, are sent its rows,
and return their answer. They know no driver, no thread and no event loop; an adapter drives them
through its own connection. (The rejected alternative is a store class per database: the same
rules twice, and two ways to be wrong.)

A statement is a name and *columns*: one list per parameter, all equally long. One statement does
its work for every row of the columns; each dialect has its own way. In Postgres, where a round trip
is dear, one query takes the columns as arrays (`unnest`). In SQLite, where it is free, a scalar
statement runs for each row, or several in turn if Postgres changes several tables in one. Both
return the same rows for the same columns. So a batch of hundreds of commands costs as many
statements as a batch of one.

The heading of a statement is its signature, the same in both dialects:

    -- name: users_advance(user_id, taken, unread, unseen, changed_at)
    --     -> user_id, head, unread, unseen

Scripts hand columns over by these names, written out or picked from values (`pick`), and rows come
back with them. So no position is counted between Python and SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import takewhile
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

Row = Any
"""A row that a statement returns; its attributes are the columns of the heading."""
Rows = Sequence[Row]


class Statement(NamedTuple):
    """One step of a script: *columns* by the names of parameters. Without columns it runs once."""

    name: str
    columns: Mapping[str, Sequence[Any]]


Script = Generator[Statement, Rows, T]


class Part(NamedTuple):
    """One of several texts of a statement; *columns* are the places of its parameters, in order.

    With a *condition*, a query without parameters, it runs only if that has a row.
    """

    text: str
    columns: tuple[int, ...]
    condition: str = ""


class Sql(NamedTuple):
    """A statement's text in one dialect, its *parameters* by name, and the *columns* of its rows.

    Without *columns* it returns no rows. If it consists of several texts (only in SQLite), these
    are *parts*, which run one after the other; the rows of the last one are returned.
    """

    text: str
    parameters: tuple[str, ...]
    columns: tuple[str, ...]
    parts: tuple[Part, ...] = ()

    def arguments(self, statement: Statement) -> list[Sequence[Any]]:
        """The columns of *statement* in the order of the parameters.

        Raises `TypeError` if their names are not those of the heading.
        """
        columns = statement.columns
        try:
            if len(columns) == len(self.parameters):
                return [columns[name] for name in self.parameters]
        except KeyError:
            pass
        heading = f"{statement.name}({', '.join(self.parameters)})"
        raise TypeError(f"{heading} was given {', '.join(columns)}")


def run(name: str, /, **columns: Sequence[Any]) -> Script[Rows]:
    """Run one statement; its rows. If the columns are empty, there are none, and nothing runs."""
    for column in columns.values():
        if not column:
            return ()
        break
    rows: Rows = yield Statement(name, columns)
    return rows


def pick(*same: str, **paths: str) -> Callable[[Collection[Any]], dict[str, Sequence[Any]]]:
    """A function that makes columns from values, by their attributes.

    *same* are attributes with the names of parameters; *paths* are parameters with the attributes
    that they come from (`user_id="user"`, `id="content.id"`).

        _MOVED: Final = pick("sequence", user_id="user", notification_id="content.id")
        yield from run("…", **_MOVED(rows), at=[now_ms] * len(rows))
    """
    names = (*same, *paths)
    attributes = attrgetter(*same, *paths.values())

    def picked(values: Collection[Any]) -> dict[str, Sequence[Any]]:
        if not values:
            return dict.fromkeys(names, ())
        if len(names) == 1:
            return {names[0]: list(map(attributes, values))}
        return dict(zip(names, zip(*map(attributes, values), strict=True), strict=True))

    return picked


def drive(script: Script[T], perform: Callable[[Statement], Rows]) -> T:
    """Run *script* to its end with *perform*, which executes one statement and returns its rows."""
    try:
        statement = next(script)
        while True:
            statement = script.send(perform(statement))
    except StopIteration as done:
        answer: T = done.value
        return answer


_HEADING = "-- name:"
_GOES_ON = "--     "
_POSITION = re.compile(r"[?$](\d+)")
_NAMED = re.compile(r"(?<![:\w]):(\w+)")
_NAME = re.compile(r"\w+")
_THEN = re.compile(r"^-- then$", re.MULTILINE)
_WHEN = re.compile(r"^-- when: (.*)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


@cache
def load(dialect: str) -> Mapping[str, Sql]:
    """The statements of `sql/<dialect>/*.sql`, by name.

    A statement begins at `-- name: …` and ends at the next one; `-> …` names the columns of its
    rows, `-- then` stands between its parts. A part with `-- when: <query>` runs
    only if that query has a row. A heading that is too long for a line goes on in comment lines
    that are indented. Parameters are `:name` in SQLite; in Postgres they are arrays, `$1`, `$2`…,
    which the text itself names (`AS new (user_id, sequence)`).

    Raises `ValueError` for a name that stands twice, a parameter that its heading does not name, or
    a heading of another form.
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
    found = []
    for block in text.split(_HEADING)[1:]:
        first, *lines = block.splitlines(keepends=True)
        own = list(takewhile(lambda line: line.startswith(_GOES_ON), lines))
        signature = " ".join([first, *(line.removeprefix(_GOES_ON) for line in own)])
        name, parameters, columns = _signature(signature)
        bodies = [
            _numbered(_body(part), parameters) for part in _THEN.split("".join(lines[len(own) :]))
        ]
        conditions = [_condition(part) for part in _THEN.split("".join(lines[len(own) :]))]
        parts = tuple(map(_part, bodies, conditions)) if len(bodies) > 1 else ()
        found.append((name, Sql(";\n".join(bodies), parameters, columns, parts)))
    return found


def _signature(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    name, opened, rest = text.strip().partition("(")
    parameters, closed, columns = rest.partition(")")
    if not (opened and closed) or columns.strip()[:2] not in ("", "->"):
        raise ValueError(f"a heading is not `statement(parameter, …) -> column, …`: {text}")
    return name, tuple(_NAME.findall(parameters)), tuple(_NAME.findall(columns))


def _numbered(text: str, parameters: tuple[str, ...]) -> str:
    return _NAMED.sub(lambda match: f"?{parameters.index(match[1]) + 1}", text)


def _body(text: str) -> str:
    return _COMMENT.sub("", text).strip().removesuffix(";")


def _condition(text: str) -> str:
    said = _WHEN.search(text)
    return "" if said is None else said[1]


def _part(text: str, condition: str) -> Part:
    """Number the parameters of *text* anew: a driver wants as many values as the last number."""
    numbers = sorted({int(number) for number in _POSITION.findall(text)})
    places = {str(number): place for place, number in enumerate(numbers, 1)}
    renumbered = _POSITION.sub(lambda match: f"?{places[match[1]]}", text)
    return Part(renumbered, tuple([number - 1 for number in numbers]), condition)
