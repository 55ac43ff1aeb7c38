"""Postgres as it is offered: settings of servers and roles, schemas, and somebody else's tables."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import trio

from tests.actors.store_kit import staged
from tests.persistence.desk_kit import Desk, positions, publish
from tests.persistence.postgres_kit import ann_locked, opened, session
from tocsin.actors.storage.requests import Write
from tocsin.actors.world import real_world
from tocsin.persistence import migrations
from tocsin.persistence.postgres.connecting import Link
from tocsin.persistence.postgres.store import PostgresStore
from tocsin.persistence.store import StoreBlocked, StoreFailed
from tocsin.persistence.store.commands import Changed
from tocsin.settings import Settings
from tocsin.stores import make_store

TABLES = "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"


@pytest.fixture
async def run(loop, postgres_url):
    async with session(postgres_url) as run:
        yield run


async def schema_of(run, table):
    return [row[0] for row in await run(f"{TABLES} WHERE c.relname = '{table}'")]


async def set_in_database(run, url, settings):
    for name, value in settings.items():
        await run(f'ALTER DATABASE "{urlsplit(url).path[1:]}" SET {name} = {value}')


# --- Settings ------------------------------------------------------------------------------------

ODD = {
    "array_nulls": "off",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "DateStyle": "'SQL, DMY'",
    "IntervalStyle": "sql_standard",
    "TimeZone": "'Asia/Kathmandu'",
    "bytea_output": "escape",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "extra_float_digits": "-3",
    "lock_timeout": "1",
    "statement_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "plan_cache_mode": "force_custom_plan",
    "enable_indexscan": "off",
    "transform_null_equals": "on",
    "xmloption": "document",
}


async def test_no_setting_of_a_database_changes_what_is_stored(run, postgres_url):
    await set_in_database(run, postgres_url, ODD)
    desk = await opened(postgres_url)

    made = await desk.publish("ann", "NULL", expires_at=None, key="a\\'b")
    assert len(positions(await desk.publish("cid", "dan"))) == 2
    assert (await desk.view(made.content.id)).recipients == 2
    await desk.mark("ann", "read", made)
    page = await desk.page("ann")
    assert (page.head, page.counters.unread, len(page.entries)) == (2, 0, 1)
    assert await schema_of(run, "users") == ["public"]
    await desk.store.aclose()


# --- Addresses -----------------------------------------------------------------------------------


async def test_a_node_connects_by_an_address_as_providers_write_it(run, postgres_url):
    await run("CREATE SCHEMA bell")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{closed.getsockname()[1]}"
        parts = urlsplit(postgres_url)
        login, _, alive = parts.netloc.rpartition("@")
        address = urlunsplit(parts._replace(netloc=f"{login}@{dead},{alive}"))
        address += (
            "?sslmode=prefer&channel_binding=prefer&gssencmode=disable&connect_timeout=5"
            "&keepalives=1&keepalives_idle=33&target_session_attrs=read-write"
            "&application_name=bell&options=-c%20search_path%3Dbell"
        )
        store: Any = make_store(Settings(database=address), real_world())
        await store.open()
    await Desk(store).publish("ann")

    assert await schema_of(run, "users") == ["bell"]
    [[count]] = await run("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bell'")
    assert count >= 1
    [connection] = store._pool._idle
    found = connection._transport.get_extra_info("socket")
    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_KEEPIDLE"):
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33
    await store.aclose()


# --- Another program's lock ----------------------------------------------------------------------


async def test_a_foreign_lock_is_known_as_one_and_soon_when_in_a_hurry(loop, postgres_url):
    desk = await opened(postgres_url)
    await desk.publish("ann")
    async with ann_locked(postgres_url):
        with trio.fail_after(1.5), pytest.raises(StoreBlocked):
            await desk.store.write([publish("ann")], hurried=True)
        with trio.fail_after(8), pytest.raises(StoreBlocked):
            await desk.store.write([publish("ann"), publish("bob")])
        assert positions(await desk.publish("bob"))[0].sequence == 1
    assert positions(await desk.publish("ann"))[0].sequence == 2
    await desk.store.aclose()


async def test_a_node_goes_on_beside_somebody_elses_lock_on_one_users_row(loop, postgres_url):
    store: Any = PostgresStore(postgres_url)
    answers: dict[str, object] = {}

    async def post(stage, user):
        try:
            answers[user] = await stage.ref.ask(Write(command=publish(user)))
        except StoreBlocked as error:
            answers[user] = error

    async with staged(store, wait=False) as stage:
        await stage.status.wait_first_attempt()
        await post(stage, "ann")
        async with ann_locked(postgres_url):
            with trio.fail_after(6):
                async with trio.open_nursery() as nursery:
                    for user in ("bob", "ann", *map(str, range(50))):
                        nursery.start_soon(post, stage, user)
            assert isinstance(answers.pop("ann"), StoreBlocked)
            for number in range(100, 120):
                with trio.fail_after(1.5):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(post, stage, "ann")
                        nursery.start_soon(post, stage, str(number))
                assert isinstance(answers.pop("ann"), StoreBlocked)
        assert all(isinstance(each, Changed) for each in answers.values())
        with trio.fail_after(10):
            while not isinstance(answers.get("ann"), Changed):
                await trio.sleep(0.1)  # waits for: the time in which it is not tried
                await post(stage, "ann")
    assert stage.told == [True, False]


# --- Schemas -------------------------------------------------------------------------------------


async def test_tables_are_made_where_the_search_path_says(run, postgres_url):
    await run("CREATE SCHEMA bell")
    await set_in_database(run, postgres_url, {"search_path": "nowhere, bell, public"})
    desk = await opened(postgres_url)
    await desk.publish("ann")
    assert await schema_of(run, "users") == ["bell"]
    assert await schema_of(run, "migrations") == ["bell"]
    await desk.store.aclose()


async def test_tables_stay_where_they_are_when_an_earlier_schema_comes_to_be(
    run, postgres_url, monkeypatch
):
    """`"$user"` is in everybody's search path, and comes to be by `CREATE SCHEMA`."""
    old = migrations.known("postgres")[:-1]
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "known", lambda _: old)
        store = PostgresStore(postgres_url)
        await store.open()
        epoch = store.epoch
        await store.aclose()
    await run("CREATE SCHEMA postgres")

    store = PostgresStore(postgres_url)
    assert len(await store.pending()) == 1
    await store.open()

    assert store.epoch == epoch
    assert await schema_of(run, "users") == ["public"]
    await store.aclose()


async def test_a_search_path_that_leads_nowhere_is_refused_with_what_to_do(run, postgres_url):
    await set_in_database(run, postgres_url, {"search_path": "nowhere"})
    with pytest.raises(StoreFailed, match=r"search_path names no schema.*CREATE SCHEMA"):
        await PostgresStore(postgres_url).open()


async def test_the_operators_search_path_goes_before_the_roles(run, postgres_url):
    await run("CREATE SCHEMA bell")
    store = PostgresStore(postgres_url, link=Link({"search_path": "bell, public"}))
    await store.open()
    assert await schema_of(run, "users") == ["bell"]
    await store.aclose()


# --- Another program's tables --------------------------------------------------------------------

ANOTHERS = "CREATE TABLE public.migrations (id serial PRIMARY KEY, migration text, batch int)"


async def test_anothers_migrations_are_not_taken_for_ours(run, postgres_url):
    await run(ANOTHERS)
    await run("INSERT INTO migrations (migration, batch) VALUES ('2014_create_users', 1)")
    store = PostgresStore(postgres_url)
    assert len(await store.pending()) == len(migrations.known("postgres"))

    for _ in range(2):
        await store.open()
    assert await store.pending() == []

    assert len(await run("SELECT * FROM tocsin_migrations")) == len(migrations.known("postgres"))
    assert len(await run("SELECT * FROM migrations")) == 1
    await store.aclose()


async def test_anothers_migrations_further_down_the_path_are_nothing_to_us(run, postgres_url):
    await run(ANOTHERS)
    await run("CREATE TABLE public.users (id serial)")
    await run("CREATE SCHEMA bell")
    await set_in_database(run, postgres_url, {"search_path": "bell, public"})

    desk = await opened(postgres_url)
    await desk.publish("ann")

    assert sorted(await schema_of(run, "migrations")) == ["bell", "public"]
    assert await run("SELECT * FROM public.users") == []
    await desk.store.aclose()


async def test_anothers_tables_in_our_place_are_refused_with_what_to_do(run, postgres_url):
    await run("CREATE TABLE users (id serial)")
    with pytest.raises(StoreFailed, match=r'schema public holds.*"users".*a schema of its own'):
        await PostgresStore(postgres_url).open()
    assert await schema_of(run, "meta") == []


async def test_a_role_that_may_make_no_tables_is_told_so(run, postgres_url):
    parts = urlsplit(postgres_url)
    name = f"poor_{parts.path[1:]}"
    await run(f"CREATE ROLE {name} LOGIN PASSWORD 'poor'")
    try:
        await run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        netloc = f"{name}:poor@{parts.netloc.rpartition('@')[2]}"
        with pytest.raises(StoreFailed, match="may not make or change tables in the schema public"):
            await PostgresStore(urlunsplit(parts._replace(netloc=netloc))).open()
    finally:
        await run(f"DROP OWNED BY {name}")
        await run(f"DROP ROLE {name}")


async def test_two_nodes_beside_anothers_migrations_agree(run, postgres_url):
    await run(ANOTHERS)
    stores = [PostgresStore(postgres_url) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for store in stores:
            nursery.start_soon(store.open)
    assert len({store.epoch for store in stores}) == 1
    for store in stores:
        await Desk(store).publish("ann")
        await store.aclose()
