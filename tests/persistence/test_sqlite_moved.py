"""A database whose file is moved, removed or replaced while it is in use."""

from __future__ import annotations

import os
import shutil
import sqlite3

import pytest

from tests.persistence.desk_kit import Desk, publish
from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.persistence.store import StoreUnavailable


@pytest.fixture(params=["threads", "inline"])
async def store(tmp_path, request):
    store = SqliteStore(tmp_path / "tocsin.db", inline=request.param == "inline")
    await store.open()
    await Desk(store).publish("ann")
    yield store
    await store.aclose()


def head(path):
    connection = sqlite3.connect(path)
    [[head]] = connection.execute("SELECT head FROM users WHERE user_id = 'ann'").fetchall()
    connection.close()
    return head


async def test_nothing_is_answered_that_would_go_into_a_file_that_was_moved(store, tmp_path):
    os.rename(tmp_path / "tocsin.db", tmp_path / "elsewhere.db")

    for attempt in (lambda: store.write([publish("ann")]), store.probe, store.open):
        with pytest.raises(StoreUnavailable, match="was moved or removed") as caught:
            await attempt()
        assert caught.value.reason == "the database's file was moved or removed while it was in use"
        assert str(tmp_path) not in caught.value.reason
        assert str(caught.value.again()) == str(caught.value)
    assert not (tmp_path / "tocsin.db").exists()


async def test_answered_commands_are_in_the_file_wherever_it_is(store, tmp_path):
    os.rename(tmp_path / "tocsin.db", tmp_path / "elsewhere.db")
    with pytest.raises(StoreUnavailable):
        await store.probe()

    shutil.copy(tmp_path / "elsewhere.db", tmp_path / "alone.db")
    assert head(tmp_path / "alone.db") == 1


async def test_it_comes_back_with_the_file(store, tmp_path):
    os.rename(tmp_path / "tocsin.db", tmp_path / "elsewhere.db")
    with pytest.raises(StoreUnavailable):
        await store.probe()

    os.rename(tmp_path / "elsewhere.db", tmp_path / "tocsin.db")
    await store.open()
    await store.probe()
    await Desk(store).publish("ann")

    await store.aclose()
    assert head(tmp_path / "tocsin.db") == 2


async def test_a_file_that_was_removed_is_not_made_anew(store, tmp_path):
    for file in list(tmp_path.iterdir()):
        file.unlink()
    for attempt in (store.probe, store.open, store.open):
        with pytest.raises(StoreUnavailable, match="was moved or removed"):
            await attempt()
    assert not (tmp_path / "tocsin.db").exists()


async def test_another_file_in_its_place_needs_a_restart(store, tmp_path):
    shutil.copy(tmp_path / "tocsin.db", tmp_path / "copy.db")
    os.replace(tmp_path / "copy.db", tmp_path / "tocsin.db")

    for attempt in (lambda: store.write([publish("ann")]), store.open):
        with pytest.raises(StoreUnavailable, match=r"was replaced.*restart the server"):
            await attempt()


async def test_a_connection_that_is_made_anew_looks_as_well(store, tmp_path):
    os.rename(tmp_path / "tocsin.db", tmp_path / "elsewhere.db")
    store._forget_connection()

    with pytest.raises(StoreUnavailable, match="was moved or removed"):
        await store.open()
    assert not (tmp_path / "tocsin.db").exists()
