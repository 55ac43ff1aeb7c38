"""Other nodes that change a user's log while the store waits for it or reads it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio

from tests.persistence.desk_kit import START_OF_TIME, told
from tests.persistence.postgres_kit import (
    ann_locked,
    before_statement,
    opened,
    session,
    wait_until_waiting,
)
from tocsin.persistence.store.commands import Counters
from tocsin.persistence.store.upkeep_commands import Purge, Purged


@pytest.fixture
async def desk(loop, postgres_url):
    desk = await opened(postgres_url, pool_size=3)
    yield desk
    await desk.store.aclose()


async def test_entries_that_another_node_brings_meanwhile_are_not_brought_again(desk, postgres_url):
    await desk.subscribe("news", "ann")
    made = await desk.publish(topic="news")
    brought: list[Any] = []

    async def bring() -> None:
        brought.append(await desk.bring("ann"))

    async with session(postgres_url) as run, trio.open_nursery() as nursery:
        await run("BEGIN")
        await run("UPDATE users SET head = 1, unread = 1, unseen = 1 WHERE user_id = 'ann'")
        await run("UPDATE subscriptions SET position = 1 WHERE topic = 'news'")
        await run(
            "INSERT INTO inbox (notification_id, user_id, sequence, created_sequence) "
            f"VALUES ('{made.content.id}', 'ann', 1, 1)"
        )
        nursery.start_soon(bring)
        await wait_until_waiting(postgres_url)
        await run("COMMIT")

    assert brought[0].fan_outs == ()
    page = await desk.page("ann")
    assert (page.head, page.counters.unread) == (1, 1)


async def test_a_publish_during_the_wait_is_left_for_the_next_time(desk, postgres_url):
    await desk.subscribe("news", "ann")
    first = await desk.publish(topic="news")
    brought: list[Any] = []

    async def bring() -> None:
        brought.append(await desk.bring("ann"))

    async with trio.open_nursery() as nursery, ann_locked(postgres_url):
        nursery.start_soon(bring)
        await wait_until_waiting(postgres_url)
        second = await desk.publish(topic="news")

    assert told(brought[0].fan_outs) == [(first.content.id, "created", {"ann": 1})]
    again = await desk.bring("ann")
    assert told(again.fan_outs) == [(second.content.id, "created", {"ann": 2})]


async def test_a_purge_during_the_read_of_a_page_shows_in_its_horizon(
    desk, postgres_url, monkeypatch
):
    made = await desk.publish("ann")
    await desk.publish("ann")
    await desk.mark("ann", "archived", made)
    other = await opened(postgres_url)
    purge = Purge(0, 0, archived_before=START_OF_TIME + 1)
    before_statement(monkeypatch, desk, "pages", lambda: other.one(purge, Purged))

    page = await desk.page("ann")

    assert ([entry.sequence for entry in page.entries], page.horizon) == ([2], 3)
    await other.store.aclose()


async def test_a_publish_during_the_read_of_a_page_is_counted_if_it_is_in_the_page(
    desk, postgres_url, monkeypatch
):
    await desk.publish("ann")
    other = await opened(postgres_url)
    before_statement(monkeypatch, desk, "pages", lambda: other.publish("ann"))

    page = await desk.page("ann")

    assert ([entry.sequence for entry in page.entries], page.head) == ([1, 2], 2)
    assert page.counters == Counters(2, 2)
    await other.store.aclose()


async def test_a_publish_during_the_read_of_an_inbox_is_counted_if_it_is_listed(
    desk, postgres_url, monkeypatch
):
    await desk.publish("ann")
    other = await opened(postgres_url)
    before_statement(monkeypatch, desk, "inbox_page", lambda: other.publish("ann"))

    inbox = await desk.inbox("ann")

    assert ([item.created_sequence for item in inbox.items], inbox.head) == ([2, 1], 2)
    assert inbox.counters == Counters(2, 2)
    await other.store.aclose()


async def test_a_user_who_comes_back_to_a_topic_hears_of_an_update_in_that_moment(
    desk, postgres_url, monkeypatch
):
    await desk.subscribe("news", "ann")
    made = await desk.publish(topic="news")
    await desk.unsubscribe("news", "ann")
    other = await opened(postgres_url)
    update = partial(other.update, made.content.id, title="New")
    before_statement(monkeypatch, desk, "subscriptions_known", update)

    assert (await desk.subscribe("news", "ann")).heads == {"ann": 2}
    await other.store.aclose()
