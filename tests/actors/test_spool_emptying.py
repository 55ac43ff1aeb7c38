"""A command stores what waits, where no node runs; and whom a spooled command names."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from tests.actors.spool_kit import TroubledStore, change, post
from tests.persistence.desk_kit import START_OF_TIME, Desk
from tests.persistence.services_kit import append
from tocsin.actors.spool.emptying import store_some
from tocsin.actors.spool.entries import encode
from tocsin.actors.spool.persons import names, without
from tocsin.persistence.bus.memory_bus import MemoryBroker
from tocsin.persistence.sqlite.store import SqliteStore
from tocsin.persistence.store import StoreUnavailable
from tocsin.persistence.store.commands import Idempotency
from tocsin.persistence.store.queries import InboxItem

NODE = "a command"


@pytest.fixture
async def store():
    store = TroubledStore()
    await store.open()
    yield store
    await SqliteStore.aclose(store)  # its own stays open for the other nodes


@pytest.fixture
def spool():
    return MemoryBroker().spool(NODE)


def titled(item: InboxItem) -> str:
    title: str = json.loads(item.document)["title"]
    return title


async def store_all(spool, store) -> None:
    while await spool.size():
        assert await store_some(spool, store, NODE, START_OF_TIME)


async def test_all_that_waits_is_stored_in_order_and_once(spool, store):
    first, second = post("first"), post("second")
    for command in (first, second, change(first, "corrected", once="c")):
        await append(spool, encode(command))
    entries = await spool.take(NODE, 3, 1)

    await store_all(spool, store)

    inbox = await Desk(store).inbox("ada")
    assert [titled(each) for each in inbox.items] == ["second", "corrected"]
    assert entries is not None
    for entry in entries:  # as if it had ended before it could say that all was done
        await append(spool, entry.payload)
    await store_all(spool, store)
    assert (await Desk(store).inbox("ada")).head == inbox.head


async def test_an_entry_that_can_never_be_stored_is_set_aside_and_the_rest_is_stored(spool, store):
    poison, reused, sound = post("poison"), post("reused", key="k"), post("sound", "ada")
    await store.write([post("earlier", key="k", meaning=b"another")])
    store.refuses = lambda command: command == poison
    for payload in (encode(poison), b"unreadable", encode(reused), encode(sound)):
        await append(spool, payload)

    await store_all(spool, store)

    aside = {entry.payload: reason for entry, reason in await spool.poisoned(10)}
    assert aside.keys() == {encode(poison), b"unreadable", encode(reused)}
    assert aside[encode(reused)] == "idempotency_key_reused"
    titles = [titled(each) for each in (await Desk(store).inbox("ada")).items]
    assert titles == ["sound", "earlier"]


async def test_entries_stay_while_another_node_has_them_or_the_store_is_away(spool, store):
    await append(spool, encode(post("waits")))
    await spool.take("a node", 1, 30)
    assert not await store_some(spool, store, NODE, START_OF_TIME)
    await spool.done("a node", [])
    store.away = True
    with pytest.raises(StoreUnavailable):
        await store_some(spool, store, "a node", START_OF_TIME)
    assert await spool.size() == 1


def is_anns(credential: str) -> bool:
    return credential == "jwt::ann"


def test_a_post_names_its_recipients_and_its_producer():
    by_ann = Idempotency("jwt::ann", "k", b"")
    assert names(post("for two", "ann", "ben"), "ann", is_anns)
    assert names(replace(post("by her", "ben"), credential="jwt::ann"), "ann", is_anns)
    assert names(replace(post("by her", "ben"), idempotency=by_ann), "ann", is_anns)
    assert not names(post("ann", "ben", body="about ann"), "ann", is_anns)
    assert not names(change(post("x", "ann"), "y"), "ann", is_anns)


def test_a_post_without_a_person_is_still_for_the_others():
    shared = post("for two", "ann", "ben")
    by_her = replace(
        post("by her", "ben"),
        credential="jwt::ann",
        idempotency=Idempotency("jwt::ann", "k", b""),
    )
    assert without(shared, "ann", is_anns, "gone") == replace(shared, users=("ben",))
    assert without(post("for one", "ann"), "ann", is_anns, "gone") is None
    left = without(by_her, "ann", is_anns, "gone")
    assert left is not None
    assert (left.users, left.credential, left.idempotency) == (("ben",), "gone", None)
    topical = replace(post("for a topic", topic="news"), users=())
    assert without(topical, "ann", is_anns, "gone") == topical
