"""Each tool for a database as a whole knows all of it, and files are there whole or not at all."""

from __future__ import annotations

import os
import stat

import pytest

from tests.persistence.desk_kit import Desk
from tocsin.persistence.postgres.connection import without_password
from tocsin.persistence.sqlite.hands import sqlite_hands
from tocsin.persistence.upkeep.copying import Account
from tocsin.persistence.upkeep.files import whole_file
from tocsin.persistence.upkeep.tables import MIGRATIONS, TABLES


async def test_every_table_is_known(database):
    async with database.running():
        store = database.store()
        await store.open()
        await store.aclose()
        where = (
            "sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            if hasattr(database, "path")
            else "(SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public') AS t"
        )
        found = {row[0] for row in await database.fetch(f"SELECT name FROM {where}")}

    assert found == {MIGRATIONS, *TABLES}


async def test_where_a_persons_id_may_stand_is_searched(tmp_path):
    """In each column of text, so that a new one is never forgotten."""
    from tests.persistence.databases_kit import SqliteFile

    store = SqliteFile(tmp_path / "a.db", inline=True).store()
    await store.open()
    await Desk(store).publish("ann")
    await store.aclose()
    with sqlite_hands(tmp_path / "a.db") as hands:
        assert await hands.texts("inbox") == ["notification_id", "user_id", "change", "state"]
        assert "users" in await hands.texts("schedule")


def test_a_digest_is_of_the_rows_whatever_their_order():
    rows = [("a", 1, None), ("b", 2, b"\x00"), ("b", 2, b"\x00")]

    def digest(rows):
        account = Account()
        account.add(rows)
        return account.of("t")

    assert digest(rows) == digest(rows[::-1])
    assert digest(rows).digest != digest([*rows[:1], ("b", 2, b"\x01"), ("b", 2, b"\x01")]).digest
    assert digest(rows).digest != digest([*rows[:1], ("b", 2, ""), rows[1]]).digest


def test_a_file_is_there_when_the_block_has_ended(tmp_path):
    with whole_file(tmp_path / "a") as partial:
        partial.write_text("new")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["a"]


def fail_half_way(path):
    with whole_file(path, replace=True) as partial:
        partial.write_text("new")
        raise ZeroDivisionError


def test_a_failed_write_leaves_nothing_and_the_old_file_stays(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail_half_way(tmp_path / "a")
    with pytest.raises(FileExistsError), whole_file(tmp_path / "a"):
        pass
    with pytest.raises(FileExistsError), whole_file(tmp_path / "b"):
        (tmp_path / "b").write_text("somebody else's")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "b").read_text() == "somebody else's"


@pytest.mark.parametrize(
    ("url", "bare", "password"),
    [
        ("postgres://u:p%40ss@h:1/d", "postgres://u@h:1/d", "p@ss"),
        ("postgres://u:p:q@h1:1,h2:2/d?sslmode=require", "postgres://u@h1:1,h2:2/d?sslmode=require",
         "p:q"),
        ("postgres://h/d?password=x%26y&user=u", "postgres://h/d?user=u", "x&y"),
        ("postgres://u@h/d", "postgres://u@h/d", None),
    ],
)  # fmt: skip
def test_no_password_is_on_a_command_line(url, bare, password):
    environment = {} if password is None else {"PGPASSWORD": password}
    assert without_password(url) == (bare, environment)
