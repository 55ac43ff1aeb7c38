"""`tocsin migrate`, on SQLite and on Postgres."""

import sqlite3

import pytest

from tocsin.persistence.migrations import known


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
