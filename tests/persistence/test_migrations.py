"""The program brings its tables along, once, and knows when they are not its own."""

from __future__ import annotations

import re

import pytest
import structlog
import trio

from tests.persistence.desk_kit import Desk
from tocsin.persistence import migrations
from tocsin.persistence.store import StoreFailed

LAST_WITHOUT_A_WORD = 5


@pytest.fixture
def postgres_template() -> None:
    """The databases here are empty: their migrations are the matter."""


@pytest.fixture
async def running(database):
    async with database.running():
        yield


async def test_an_empty_database_lacks_every_migration_and_asking_changes_nothing(
    database, running
):
    store = database.store()

    pending = await store.pending()

    numbers = [migration.number for migration in pending]
    assert numbers[:6] == list(range(1, 7))
    assert numbers == sorted(set(numbers))
    assert await store.pending() == pending
    await store.open()
    assert await store.pending() == []
    await store.aclose()


async def test_opening_again_keeps_the_epoch_and_the_data(database, running):
    store = database.store()
    await store.open()
    epoch = store.epoch
    await Desk(store).publish("ann")
    await store.open()
    await store.aclose()

    again = database.store()
    await again.open()
    assert again.epoch == epoch
    assert re.fullmatch(r"[a-z0-9]{10}", epoch)
    assert (await Desk(again).page("ann")).head == 1
    await again.aclose()


async def test_each_database_has_an_epoch_of_its_own_from_the_entropy_it_was_given():
    assert migrations.epoch_from(bytes(range(10))) == "0123456789"
    assert migrations.epoch_from(bytes([35, 36, 255])) == "z03"


async def test_stores_that_open_at_the_same_moment_agree(database, running):
    stores = [database.store() for _ in range(4)]

    async with trio.open_nursery() as nursery:
        for store in stores:
            nursery.start_soon(store.open)

    assert len({store.epoch for store in stores}) == 1
    for store in stores:
        await store.aclose()


async def test_any_database_of_the_first_version_is_kept(database, running, monkeypatch):
    old = {dialect: migrations.known(dialect)[:1] for dialect in ("sqlite", "postgres")}
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "known", old.__getitem__)
        store = database.store()
        await store.open()
        await store.aclose()
    document = (
        r'{"id":"n","category":"c","title":"\\u0000 \"priority\":\"normal\"",'
        r'"data":{"priority":"low","x":"\u0000"},"url":null,"priority":"critical",'
        r'"revision":1,"created_at":"2023","updated_at":"2023","expires_at":null}'
    )
    await database.execute(f"""
        INSERT INTO notifications (id, revision, category, created_at, updated_at, credential,
            document_bytes, document)
        VALUES ('n', 1, 'c', 1, 2, 'x', 9, '{document}')
    """)
    await database.execute("""
        INSERT INTO inbox (notification_id, user_id, sequence, created_sequence)
        VALUES ('n', 'ann', 1, 1)
    """)

    store = database.store()
    await store.open()

    view = await Desk(store).view("n")
    assert (view.content.priority, view.recipients, view.content.document) == (
        "critical",
        1,
        document,
    )
    await store.aclose()


async def test_a_newer_schema_is_refused_in_clear_words(database, running):
    store = database.store()
    await store.open()
    await store.aclose()
    await database.execute("INSERT INTO migrations VALUES (999, 'from the future', 'x')")

    for attempt in (database.store().open, database.store().pending):
        with pytest.raises(StoreFailed, match="a newer Tocsin has used it"):
            await attempt()


async def test_a_program_goes_on_after_migrations_of_the_next_release_that_say_so(
    database, running, monkeypatch
):
    """A node that restarts in the middle of a rolling upgrade, and one that never stopped."""
    store = database.store()
    await store.open()
    await Desk(store).publish("ann")
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "known", with_next_release(works_with=newest()).__getitem__)
        upgraded = database.store()
        await upgraded.open()

    assert await store.pending() == []
    await Desk(store).publish("ann")
    with structlog.testing.capture_logs() as lines:
        restarted = database.store()
        await restarted.open()
    assert lines == [
        {"event": "the database is of a newer release", "log_level": "warning", "newest": 9998}
    ]
    await Desk(restarted).publish("ann")
    await Desk(upgraded).publish("ann")
    assert (await Desk(restarted).page("ann")).head == 4
    for each in (store, upgraded, restarted):
        await each.aclose()


@pytest.mark.parametrize("says", ["itself", "nothing"])
async def test_a_program_refuses_what_the_next_release_says_it_cannot_work_with(
    database, running, monkeypatch, says
):
    store = database.store()
    await store.open()
    await store.aclose()
    with monkeypatch.context() as patched:
        next_release = with_next_release(works_with=9998 if says == "itself" else None)
        patched.setattr(migrations, "known", next_release.__getitem__)
        upgraded = database.store()
        await upgraded.open()
        await upgraded.aclose()

    for attempt in (database.store().open, database.store().pending):
        with pytest.raises(StoreFailed, match="a newer Tocsin has used it"):
            await attempt()


async def test_a_floor_is_never_lowered(database, running, monkeypatch):
    """After a contraction comes an expansion: what the contraction took away stays away."""
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "known", with_next_release(works_with=9998).__getitem__)
        store = database.store()
        await store.open()
        await store.aclose()
        later = {
            dialect: (*known, made(9999, works_with=newest()))
            for dialect, known in with_next_release(works_with=9998).items()
        }
        patched.setattr(migrations, "known", later.__getitem__)
        store = database.store()
        await store.open()
        await store.aclose()

    with pytest.raises(StoreFailed, match="a newer Tocsin has used it"):
        await database.store().open()


def newest():
    return migrations.known("sqlite")[-1].number


def made(number, works_with):
    header = "" if works_with is None else f"-- works with {works_with:04}\n"
    sql = f"{header}ALTER TABLE users ADD COLUMN of_{number} INTEGER;\n"
    return migrations.Migration(number, "of the next release", sql, f"x{number}")


def with_next_release(works_with):
    """The tables of the next release, whose migration changes a table that everything uses."""
    return {
        dialect: (*migrations.known(dialect), made(9998, works_with))
        for dialect in ("sqlite", "postgres")
    }


async def test_a_migration_that_is_not_the_applied_one_is_refused(database, running):
    store = database.store()
    await store.open()
    await store.aclose()
    await database.execute("UPDATE migrations SET checksum = 'another' WHERE number = 1")

    with pytest.raises(StoreFailed, match="0001 user log is not the one"):
        await database.store().open()


async def test_a_migration_that_fails_leaves_nothing(database, running, monkeypatch):
    good = migrations.known("sqlite")[0], migrations.known("postgres")[0]
    broken = {
        "sqlite": (good[0], migrations.Migration(2, "broken", "CREATE TABLE half (x);\n!", "x")),
        "postgres": (good[1], migrations.Migration(2, "broken", "CREATE TABLE half (x);\n!", "x")),
    }
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "known", broken.__getitem__)
        with pytest.raises(StoreFailed):
            await database.store().open()

    store = database.store()
    assert len(await store.pending()) == len(migrations.known("sqlite"))
    await store.open()
    await store.aclose()


def test_both_dialects_are_migrated_in_the_same_steps():
    names = [
        [(each.number, each.name) for each in migrations.known(dialect)]
        for dialect in ("sqlite", "postgres")
    ]

    assert names[0] == names[1]


def test_every_migration_says_which_programs_go_on_after_it():
    """Of those since nodes have been able to read it; see docs/operations.md, rolling upgrades."""
    for dialect in ("sqlite", "postgres"):
        for each in migrations.known(dialect):
            if each.number > LAST_WITHOUT_A_WORD:
                assert re.search(r"^-- works with \d{4}$", each.sql, re.MULTILINE), each
                assert 1 <= each.works_with <= each.number
