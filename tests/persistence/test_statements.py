"""Both dialects speak of the same things, and every statement that stands there is used."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from tocsin.persistence.scripts import statements
from tocsin.persistence.scripts.statements import Part, Sql, Statement, drive, load, run


def test_both_dialects_have_the_same_statements():
    sqlite, postgres = load("sqlite"), load("postgres")

    assert signatures(sqlite) == signatures(postgres)


def test_every_statement_is_used_and_every_used_one_is_there():
    code = "".join(
        file.read_text() for file in Path(str(resources.files("tocsin.persistence"))).rglob("*.py")
    )
    used = re.findall(r'\b(?:run|run_for|Statement)\(\s*"(\w+)"', code)

    assert set(used) == set(load("sqlite"))


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_every_parameter_is_used(dialect):
    for name, sql in load(dialect).items():
        numbers = {int(number) for number in re.findall(r"[?$](\d+)", sql.text)}
        assert numbers == set(range(1, sql.parameters + 1)), name


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_statements_that_say_so_return_rows(dialect):
    for name, sql in load(dialect).items():
        last = sql.parts[-1].text if sql.parts else sql.text
        returns = last.startswith(("SELECT", "WITH")) or "RETURNING" in last
        assert sql.returns_rows is returns, name


def test_a_file_of_statements_is_read_without_its_comments():
    text = (
        "-- About this file: ?9\n\n-- name: one\n-- Why $7.\nDELETE FROM a;\n\n"
        "-- name: two -> rows\nSELECT $1,\n    -- inside $8\n    $2;\n"
    )

    assert statements._parse(text) == [
        ("one", Sql("DELETE FROM a", 0, False)),
        ("two", Sql("SELECT $1,\n    $2", 2, True)),
    ]


def test_the_parts_of_a_statement_each_take_their_own_columns():
    text = (
        "-- name: both -> rows\nUPDATE a SET b = ?3;\n-- then\nSELECT c WHERE d = ?2 AND e = ?3;\n"
    )

    [(_, sql)] = statements._parse(text)

    assert (sql.parameters, sql.returns_rows) == (3, True)
    assert sql.parts == (
        Part("UPDATE a SET b = ?1", (2,)),
        Part("SELECT c WHERE d = ?1 AND e = ?2", (1, 2)),
    )


def test_a_script_is_sent_the_rows_of_its_statements():
    def script():
        rows = yield from run("double", [1, 2])
        nothing = yield from run("double", [])
        return [*rows, *nothing]

    asked = []

    def perform(statement):
        asked.append(statement)
        return [(2 * number,) for number in statement.columns[0]]

    assert drive(script(), perform) == [(2,), (4,)]
    assert asked == [Statement("double", ([1, 2],))]


def signatures(dialect):
    return {name: (sql.parameters, sql.returns_rows) for name, sql in dialect.items()}
