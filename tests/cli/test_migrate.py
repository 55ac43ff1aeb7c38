"""`tocsin migrate`, on SQLite and on Postgres."""

import sqlite3

import pytest

from tocsin.persistence import migrations
from tocsin.persistence.migrations import Migration, known
from tocsin.persistence.sqlite.server_lock import Holder, ServerLock


@pytest.fixture(params=["sqlite", "postgres"])
def dialect(request):
    return request.param


@pytest.fixture
def migrate(request, tocsin, dialect):
    """Runs `tocsin migrate` on an empty database."""
    environ = {}
    if dialect == "postgres":
        environ["TOCSIN_DATABASE"] = request.getfixturevalue("postgres_url")
    return lambda *arguments: tocsin("migrate", *arguments, **environ)


def test_it_applies_what_is_missing_and_says_what(migrate, dialect):
    result = migrate()
    assert result.exit_code == 0
    assert result.stdout == "".join(f"applied  {each}\n" for each in known(dialect))


def test_again_there_is_nothing_to_do(migrate):
    migrate()
    result = migrate()
    assert (result.exit_code, result.stdout) == (0, "The database is up to date.\n")


def test_check_lists_what_is_missing_and_changes_nothing(migrate, dialect, tmp_path):
    for _ in range(2):
        result = migrate("--check")
        assert result.exit_code == 1
        assert result.stdout == "".join(f"missing  {each}\n" for each in known(dialect))
        assert "tocsin migrate" in result.stderr
    assert not list(tmp_path.iterdir())


def test_check_of_a_database_that_is_up_to_date_succeeds(migrate):
    migrate()
    assert migrate("--check").exit_code == 0


def test_a_database_of_a_newer_release_is_left_alone(tocsin, tmp_path):
    tocsin("migrate")
    database = sqlite3.connect(tmp_path / "tocsin-data" / "tocsin.db")
    with database:
        database.execute("INSERT INTO migrations VALUES (999, 'from the future', '')")
    database.close()

    result = tocsin("migrate")

    assert result.exit_code == 1
    assert "a newer Tocsin has used it" in result.stderr
    assert "Traceback" not in result.output


def made(number, works_with):
    sql = f"-- works with {works_with:04}\nALTER TABLE users ADD COLUMN of_{number} INTEGER;\n"
    return Migration(number, "of the next release", sql, f"x{number}")


@pytest.fixture
def next_release(migrate, dialect, monkeypatch):
    """The database is ours, and the program of the next release, with these migrations more."""

    def next_release(*more):
        assert migrate().exit_code == 0
        ours = known(dialect)
        monkeypatch.setattr(migrations, "known", lambda dialect: (*ours, *more))

    return next_release


def test_check_says_which_migrations_older_nodes_do_not_survive(migrate, dialect, next_release):
    newest = known(dialect)[-1].number
    next_release(made(9997, newest), made(9998, 9998))

    result = migrate("--check")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "missing  9997 of the next release",
        "missing  9998 of the next release (stop older nodes first)",
    ]
    assert "2 migrations are missing" in result.stderr
    assert "stop the nodes of older releases, and then" in result.stderr


def test_a_server_is_not_migrated_under_its_feet(tocsin, tmp_path, monkeypatch):
    tocsin("migrate")
    ours = known("sqlite")
    holder = Holder(program="tocsin serve", pid=7, machine="here")
    lock = ServerLock(tmp_path / "tocsin-data" / "tocsin.db", holder)
    monkeypatch.setattr(migrations, "known", lambda dialect: (*ours, made(9998, 9998)))

    refused = tocsin("migrate")
    assert refused.exit_code == 1
    assert "in use by `tocsin serve`, process 7" in refused.stderr
    assert tocsin("migrate", "--check").exit_code == 1

    monkeypatch.setattr(migrations, "known", lambda dialect: (*ours, made(9998, ours[-1].number)))
    assert tocsin("migrate").exit_code == 0
    lock.release()
