"""Both dialects speak of the same things; headings, parameters, columns and use are one."""

from __future__ import annotations

import ast
import re
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple, TypeGuard

import pytest

from tocsin.persistence import migrations
from tocsin.persistence.scripts import statements
from tocsin.persistence.scripts.receipts import append
from tocsin.persistence.scripts.statements import Part, Sql, Statement, drive, load, pick, run
from tocsin.persistence.sqlite.performing import perform, prepare
from tocsin.protocol.receipts.receipt import Fact, ReceiptKind

DIALECTS = ["sqlite", "postgres"]
OF_POSTGRES_ALONE = {"publish_few"}
"""These only spare round trips, of which SQLite has none."""


def test_both_dialects_have_the_same_statements():
    sqlite, postgres = load("sqlite"), load("postgres")

    common = {name: sql for name, sql in postgres.items() if name not in OF_POSTGRES_ALONE}
    assert signatures(sqlite) == signatures(common)
    assert set(postgres) >= OF_POSTGRES_ALONE


def test_every_statement_is_used_and_every_used_one_is_there():
    assert set(named_in_code()) == set(load("postgres"))


def test_scripts_give_the_parameters_that_the_headings_name():
    known = load("postgres")
    found = list(calls())

    assert len(found) > 100
    for name, given in found:
        assert sorted(given) == sorted(known[name].parameters), name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_parameter_is_used(dialect):
    for name, sql in load(dialect).items():
        numbers = {int(number) for number in re.findall(r"[?$](\d+)", sql.text)}
        assert numbers == set(range(1, len(sql.parameters) + 1)), name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_statements_that_say_so_return_rows(dialect):
    for name, sql in load(dialect).items():
        last = sql.parts[-1].text if sql.parts else sql.text
        # Behind the last part of a WITH, whose own rows stay inside.
        last = re.sub(
            r"^WITH .*^\)\n(?=INSERT|UPDATE|DELETE)", "", last, flags=re.DOTALL | re.MULTILINE
        )
        returns = last.startswith(("SELECT", "WITH")) or "RETURNING" in last
        assert bool(sql.columns) is returns, name


def test_arrays_are_called_in_the_text_as_in_the_heading():
    for name, sql in load("postgres").items():
        for arrays, names in re.findall(r"unnest\(([^)]*)\)\s+AS \w+ \(([^)]*)\)", sql.text):
            numbers = [int(number) for number in re.findall(r"\$(\d+)::", arrays)]
            called = [sql.parameters[number - 1] for number in numbers]
            assert called == re.findall(r"\w+", names), name


def test_sqlite_returns_the_columns_that_the_headings_name(sqlite):
    for name, sql in load("sqlite").items():
        text = sql.parts[-1].text if sql.parts else sql.text
        numbers = {int(number) for number in re.findall(r"\?(\d+)", text)}
        if text.startswith(("SELECT", "WITH")):
            cursor = sqlite.execute(text, [0] * max(numbers, default=0))
            found = [column[0] for column in cursor.description]
            assert len(found) == len(sql.columns), name
            for called, heading in zip(found, sql.columns, strict=True):
                # A column that is given back as asked, or worked out, has no name of its own here.
                assert called == heading or not called.isidentifier(), name
        elif sql.columns:
            returned = text.split("RETURNING ")[1]
            assert re.findall(r"\w+", returned) == list(sql.columns), name


def test_a_file_of_statements_is_read_without_its_comments():
    text = (
        "-- About this file: ?9\n\n-- name: one()\n-- Why $7.\nDELETE FROM a;\n\n"
        "-- name: two(a, b) -> c\nSELECT $1,\n    -- inside $8\n    $2;\n"
    )

    assert [(name, *sql[:3]) for name, sql in statements._parse(text)] == [
        ("one", "DELETE FROM a", (), ()),
        ("two", "SELECT $1,\n    $2", ("a", "b"), ("c",)),
    ]


def test_a_long_heading_goes_on_in_lines_that_are_indented():
    text = (
        "-- name: long(a,\n--     b)\n--     -> c, d,\n--     e\n-- Why.\nSELECT :a, :b;\n"
        "-- name: next(a)\n-- Why.\nDELETE FROM t WHERE a = :a;\n"
    )

    assert [(name, *sql[:3]) for name, sql in statements._parse(text)] == [
        ("long", "SELECT ?1, ?2", ("a", "b"), ("c", "d", "e")),
        ("next", "DELETE FROM t WHERE a = ?1", ("a",), ()),
    ]


@pytest.mark.parametrize(
    "text", ["-- name: old -> rows\nSELECT 1;\n", "-- name: odd(a)\nSELECT :b;\n"]
)
def test_a_heading_without_signature_or_a_parameter_without_heading_is_refused(text):
    with pytest.raises(ValueError, match=r"heading|not in tuple"):
        statements._parse(text)


def test_the_parts_of_a_statement_each_take_their_own_columns():
    text = (
        "-- name: both(a, b, c) -> c\nUPDATE a SET b = :c;\n"
        "-- then\nSELECT c WHERE d = :b AND e = :c;\n"
    )

    [(_, sql)] = statements._parse(text)

    assert (sql.parameters, sql.columns) == (("a", "b", "c"), ("c",))
    assert sql.parts == (
        Part("UPDATE a SET b = ?1", (2,)),
        Part("SELECT c WHERE d = ?1 AND e = ?2", (1, 2)),
    )


def test_a_part_runs_only_if_its_condition_has_a_row(sqlite):
    sqlite.executescript("CREATE TABLE wishes (n); CREATE TABLE done (n)")
    text = (
        "-- name: both(n)\n-- when: SELECT 1 FROM wishes\nINSERT INTO done VALUES (:n);\n"
        "-- then\nINSERT INTO done VALUES (-:n);\n"
    )
    prepared = prepare({"both": one_statement(text)})["both"]
    done = "SELECT n FROM done ORDER BY rowid"

    perform(sqlite, prepared, Statement("both", {"n": [1, 2]}))
    assert sqlite.execute(done).fetchall() == [(-1,), (-2,)]

    sqlite.execute("INSERT INTO wishes VALUES (1)")
    perform(sqlite, prepared, Statement("both", {"n": [3]}))
    assert sqlite.execute(done).fetchall() == [(-1,), (-2,), (3,), (-3,)]


def test_the_last_part_has_a_condition_too(sqlite):
    sqlite.executescript("CREATE TABLE wishes (n); CREATE TABLE done (n)")
    text = (
        "-- name: both(n)\nINSERT INTO done VALUES (:n);\n"
        "-- then\n-- when: SELECT 1 FROM wishes\nINSERT INTO done VALUES (-:n);\n"
    )
    prepared = prepare({"both": one_statement(text)})["both"]

    perform(sqlite, prepared, Statement("both", {"n": [1, 2]}))
    assert sqlite.execute("SELECT n FROM done ORDER BY rowid").fetchall() == [(1,), (2,)]


def test_receipts_cost_no_round_trip_where_nobody_listens():
    facts = [Fact(ReceiptKind.READ, "n", "ada", 5)]
    steps: list[str] = []

    def perform_(statement: Statement) -> tuple[()]:
        steps.append(statement.name)
        return ()

    drive(append(facts), perform_)

    assert steps == ["receipts_append"]
    assert not load("postgres")["receipts_append"].columns, "it would not go along with another"


def test_a_script_is_sent_the_rows_of_its_statements():
    def script():
        rows = yield from run("double", number=[1, 2])
        nothing = yield from run("double", number=[])
        return [*rows, *nothing]

    asked = []

    def perform(statement):
        asked.append(statement)
        return [(2 * number,) for number in statement.columns["number"]]

    assert drive(script(), perform) == [(2,), (4,)]
    assert asked == [Statement("double", {"number": [1, 2]})]


def test_columns_are_picked_from_values_by_their_attributes():
    class Inner(NamedTuple):
        id: str

    class Item(NamedTuple):
        user_id: str
        inner: Inner

    items = [Item("ann", Inner("1")), Item("ben", Inner("2"))]

    assert pick("user_id", id="inner.id")(items) == {"user_id": ("ann", "ben"), "id": ("1", "2")}
    assert pick(id="inner.id")(items) == {"id": ["1", "2"]}
    assert pick("user_id", id="inner.id")([]) == {"user_id": (), "id": ()}


def test_columns_come_in_the_order_of_the_heading():
    sql = one_statement("-- name: save(a, b)\nSELECT :a, :b;\n")

    assert sql.arguments(Statement("save", {"a": [1], "b": [2]})) == [[1], [2]]
    assert sql.arguments(Statement("save", {"b": [2], "a": [1]})) == [[1], [2]]


@pytest.mark.parametrize("columns", [{"user": [1]}, {"user_id": [1], "id": [2]}, {}])
def test_columns_that_the_heading_does_not_name_are_refused(columns):
    sql = one_statement("-- name: save(user_id)\nDELETE FROM a WHERE b = :user_id;\n")

    with pytest.raises(TypeError, match=r"save\(user_id\)"):
        sql.arguments(Statement("save", columns))


def test_rows_of_sqlite_have_the_names_of_the_heading(sqlite):
    prepared = prepare({"find": one_statement("-- name: find(id) -> id, head\nSELECT :id, 1;\n")})

    [row] = perform(sqlite, prepared["find"], Statement("find", {"id": ["ann"]}))

    assert (row.id, row.head) == ("ann", 1)
    assert row == ("ann", 1)


@pytest.fixture
def sqlite() -> Iterator[sqlite3.Connection]:
    """An empty database with all tables."""
    connection = sqlite3.connect(":memory:")
    connection.create_function("store_now_ms", 0, lambda: 0)
    for migration in migrations.known("sqlite"):
        connection.executescript(migration.sql)
    yield connection
    connection.close()


def one_statement(text: str) -> Sql:
    [(_, sql)] = statements._parse(text)
    return sql


def signatures(dialect):
    return {name: (sql.parameters, sql.columns) for name, sql in dialect.items()}


def sources() -> Iterator[str]:
    for file in Path(str(resources.files("tocsin.persistence"))).rglob("*.py"):
        yield file.read_text()


def named_in_code() -> Iterator[str]:
    """Statements are named where they run, or handed to a helper of their script that runs them."""
    for source in sources():
        yield from re.findall(r'\b(?:run|Statement|_list|_purge)\(\s*"(\w+)"', source)


def calls() -> Iterator[tuple[str, list[str]]]:
    """The statements that are run by name, with the names of what they are given."""
    for source in sources():
        tree = ast.parse(source)
        pickers = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.AnnAssign) and is_call_of(node.value, "pick"):
                pickers[ast.unparse(node.target)] = picked_by(node.value)
        for node in ast.walk(tree):
            if is_call_of(node, "run") and isinstance(node.args[0], ast.Constant):
                given = []
                for keyword in node.keywords:
                    if keyword.arg is not None:
                        given.append(keyword.arg)
                    else:
                        # `**_COLUMNS(values)`
                        given += pickers.get(ast.unparse(keyword.value).partition("(")[0], ["?"])
                yield str(node.args[0].value), given


def is_call_of(node: ast.AST | None, function: str) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    )


def picked_by(call: ast.Call) -> list[str]:
    same = [str(each.value) for each in call.args if isinstance(each, ast.Constant)]
    return [*same, *(keyword.arg or "?" for keyword in call.keywords)]
