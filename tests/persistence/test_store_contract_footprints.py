"""Footprints: each transaction that writes logs leaves one, and a reader finds all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.persistence.databases_kit import AnyStore
from tests.persistence.desk_kit import Desk
from tocsin.persistence.scripts.footprints import NAMES_MAX
from tocsin.persistence.store.footprints import (
    BeginLife,
    Footprint,
    FootprintPage,
    ForgetFootprints,
    ReadFootprints,
)
from tocsin.persistence.store.upkeep_commands import Purge, Purged
from tocsin.protocol.notifications.notification import EVERYONE

START = -2
"""In front of the first part of a transaction."""


@pytest.fixture
async def treading(database) -> AsyncIterator[AnyStore]:
    """A store whose transactions leave footprints."""
    async with database.running():
        store = database.store(footprints=True)
        await store.open()
        yield store
        await store.aclose()


async def page(store: AnyStore, oldest: int = 0, limit: int = 100) -> FootprintPage:
    [found] = await store.read([ReadFootprints((oldest, START), limit)])
    assert isinstance(found, FootprintPage)
    return found


async def left(store: AnyStore, deed: Any) -> list[Footprint | None]:
    """The footprints that *deed* leaves."""
    before = await page(store, limit=0)
    await deed
    return list((await page(store, before.newest)).footprints)


async def test_a_post_leaves_the_heads_of_its_recipients(treading):
    desk = Desk(treading)
    assert await left(treading, desk.publish("ann", "bob")) == [
        Footprint(heads={"ann": 1, "bob": 1})
    ]
    assert await left(treading, desk.publish("ann")) == [Footprint(heads={"ann": 2})]


async def test_changes_of_a_notification_and_marks_leave_the_heads_that_they_move(treading):
    desk = Desk(treading)
    id_ = (await desk.publish("ann")).content.id
    assert await left(treading, desk.update(id_, title="new")) == [Footprint(heads={"ann": 2})]
    assert await left(treading, desk.mark("ann", "read", id_)) == [Footprint(heads={"ann": 3})]
    assert await left(treading, desk.withdraw(id_)) == [Footprint(heads={"ann": 4})]


async def test_an_expiry_leaves_the_users_whose_counters_it_changed(treading):
    desk = Desk(treading)
    await desk.publish("ann", expires_at=desk.now_ms + 1000)
    expiry = desk.expire(desk.now_ms + 1000)
    assert await left(treading, expiry) == [Footprint(recounted=("ann",))]


async def test_a_purge_leaves_the_users_whose_counters_it_changed(treading):
    desk = Desk(treading)
    await desk.publish("ann")
    read = await desk.publish("bob")
    await desk.mark("bob", "read", read)
    purge = desk.one(Purge(0, 0, created_before=desk.now_ms + 1), Purged)
    assert await left(treading, purge) == [Footprint(recounted=("ann",))]


async def test_a_subscription_leaves_the_user_and_a_post_to_a_topic_the_topic(treading):
    desk = Desk(treading)
    await desk.publish("ann")
    assert await left(treading, desk.subscribe("news", "ann")) == [Footprint(joined=("ann",))]
    assert await left(treading, desk.publish(topic="news")) == [Footprint(topics=("news",))]
    assert await left(treading, desk.publish(topic=EVERYONE)) == [Footprint(topics=(EVERYONE,))]
    assert await left(treading, desk.bring("ann")) == [Footprint(heads={"ann": 3})]


async def test_devices_and_ledger_lines_leave_no_footprint(treading):
    desk = Desk(treading)
    await desk.publish("ann")
    await desk.attach("ann", "phone")
    assert await left(treading, desk.attach("ann", "phone")) == []
    assert await left(treading, desk.leave("ann", "phone")) == []
    assert await left(treading, treading.probe()) == []


async def test_a_store_of_one_node_leaves_no_footprints(store):
    assert await left(store, Desk(store).publish("ann")) == []


async def test_a_large_footprint_comes_in_parts_and_pages_go_on_where_the_last_ended(treading):
    users = [f"u{number:04}" for number in range(2 * NAMES_MAX + 1)]
    before = await page(treading, limit=0)
    await Desk(treading).publish(*users)

    seen: dict[str, int] = {}
    place: tuple[int, int] | None = (before.newest, START)
    pages = 0
    while place is not None:
        [found] = await treading.read([ReadFootprints(place, 1)])
        for footprint in found.footprints:
            assert len(footprint.heads) <= NAMES_MAX
            seen |= footprint.heads
        place, pages = found.more, pages + 1
    assert sorted(seen) == users
    assert pages == 4  # the last is empty


async def test_the_first_life_stays(treading):
    assert (await page(treading)).life is None
    await treading.write([BeginLife("first")])
    await treading.write([BeginLife("second")])

    assert (await page(treading)).life == "first"


async def test_footprints_that_were_forgotten_lie_before_the_horizon(treading):
    await treading.write([BeginLife("life")])
    desk = Desk(treading)
    await desk.publish("ann")
    middle = (await page(treading, limit=0)).newest
    await desk.publish("bob")
    await treading.write([ForgetFootprints(middle)])
    await treading.write([ForgetFootprints(middle - 1)])

    found = await page(treading)
    assert found.horizon == middle
    assert found.footprints == (Footprint(heads={"bob": 1}),)
    assert found.oldest <= found.newest
    assert found.newest > middle
