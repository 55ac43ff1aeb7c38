"""That what one answer says is of one moment, whoever writes meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from tests.persistence.desk_kit import ALL_BUT_ARCHIVED, START_OF_TIME, Desk, positions
from tocsin.persistence.store.asking import Query
from tocsin.persistence.store.commands import Counters
from tocsin.persistence.store.footprints import ReadFootprints
from tocsin.persistence.store.ingest_commands import FindIngest, ListIngest, ReadConnector
from tocsin.persistence.store.letter_commands import (
    FindReceiptLetter,
    FindSendLetter,
    ListReceiptLetters,
    ListSendLetters,
)
from tocsin.persistence.store.queries import (
    FindHead,
    FindInboxItem,
    FindKey,
    FindLetter,
    FindNotification,
    FindTopic,
    InboxPage,
    ListAddresses,
    ListDevices,
    ListKeys,
    ListLetters,
    ListSends,
    ListSubscribers,
    ListSubscriptions,
    ReadClock,
    ReadDeliveries,
    ReadPage,
    ReadPreferences,
)
from tocsin.persistence.store.receipt_queries import FindReceipts, ReadReceipts, ReceiptsSince
from tocsin.persistence.store.sink_commands import ListSinkLetters, ListSinks
from tocsin.protocol.receipts.receipt import Filter

LOOKS = 40
"""Each at another head."""
WRITERS = 3
FILTER = Filter(("delivered",))


def questions(notification: str) -> list[Query[Any]]:
    """Each that there is, about *notification* and its recipient, ann."""
    lists = (ALL_BUT_ARCHIVED, ("unseen", "seen"), ("archived",))
    return [
        ReadPage("ann", "phone", 0, 0, 10, 1 << 20, 0, False, 0),
        *[InboxPage("ann", states, None, 10, None, 1) for states in lists],
        FindInboxItem("ann", notification, 1),
        FindHead("ann"),
        ReadFootprints((0, 0), 10),
        FindNotification(notification),
        ReadDeliveries(notification, 10, None),
        ListDevices("ann"),
        ListSubscriptions("ann"),
        ListSubscribers("news", 10, None),
        FindTopic("news"),
        ReadClock(),
        ReadPreferences("ann"),
        ListLetters(10),
        ListLetters(10, status=None),
        FindLetter(1),
        ListSendLetters(10),
        FindSendLetter(1),
        ListReceiptLetters(10),
        FindReceiptLetter(1),
        FindKey("k"),
        ListKeys(),
        ListAddresses("ann"),
        ListSends(notification, 10, None),
        ListSinks(),
        ListSinkLetters("sink", 10, None),
        ListIngest(10),
        FindIngest(1),
        ReadConnector("orders"),
        ReadReceipts(0, FILTER, 10),
        FindReceipts((1, 2)),
        ReceiptsSince(0),
    ]


async def test_an_answer_takes_one_statement_and_so_is_of_one_moment(desk):
    """In Postgres each statement sees a moment of its own."""
    made = await desk.publish("ann")
    taken = {}
    for question in questions(made.content.id):
        before = desk.store.statements_run
        await desk.read(question)
        taken[question] = desk.store.statements_run - before

    assert {type(each) for each in taken} == set(Query.__subclasses__())
    assert {question: count for question, count in taken.items() if count != 1} == {}


# --- Under writers ------------------------------------------------------------------------------


@asynccontextmanager
async def written_by(write: Callable[[Desk], Awaitable[Any]], database) -> AsyncIterator[None]:
    """Other stores on this database do *write* all the while."""

    async def go_on(desk: Desk) -> None:
        while True:
            await write(desk)

    stores = [database.store() for _ in range(WRITERS)]
    for store in stores:
        await store.open()
    async with trio.open_nursery() as nursery:
        for store in stores:
            nursery.start_soon(go_on, Desk(store))
        yield
        nursery.cancel_scope.cancel()
    for store in stores:
        await store.aclose()


async def test_an_inbox_says_how_much_of_its_list_is_unread_and_its_cursor_covers_the_list(
    database, desk
):
    async def write(other: Desk) -> None:
        await other.publish("ann")

    heads: set[int] = set()
    async with written_by(write, database):
        while len(heads) < LOOKS:
            inbox = await desk.inbox("ann", limit=10_000)
            heads.add(inbox.head)
            assert len(inbox.items) == inbox.counters.unread == inbox.counters.unseen
            assert all(item.created_sequence <= inbox.head for item in inbox.items)
            # The cursor of that page covers the entries that are in it.
            changed, more = 0, True
            while more:  # A command marks a thousand at most, and writers may be quicker.
                marked = await desk.mark("ann", "archived", through=inbox.head, limit=10_000)
                changed, more = changed + marked.changed, marked.more
            assert changed == len(inbox.items)


async def test_a_page_of_the_log_and_its_counters_end_at_its_head(database, desk):
    async def write(other: Desk) -> None:
        await other.publish("ann")

    heads: set[int] = set()
    async with written_by(write, database):
        after = 0
        while len(heads) < LOOKS:
            page = await desk.page("ann", after=after, limit=10_000)
            heads.add(page.head)
            assert page.through == page.head == after + len(page.entries)
            assert page.counters == Counters(page.head, page.head)
            after = page.head


async def test_the_producers_view_and_its_counts_are_of_one_moment(database, desk):
    made = [await desk.publish("ann", "bob", expires_at=START_OF_TIME + 9) for _ in range(LOOKS)]
    turn = itertools.count()

    async def write(other: Desk) -> None:
        if (place := next(turn)) < len(made):
            at = positions(made[place])[0].sequence
            await other.sent("ann", "phone", made[place].content.id, at)
        # Also when all were sent: of two that choose the same one, one does nothing.
        await other.expire(START_OF_TIME + 9, limit=1)

    async with written_by(write, database):
        for each in made:
            while (view := await desk.view(each.content.id)).standing == "active":
                assert (view.recipients, view.expired) == (2, 0)
                lines = await desk.ledger(each.content.id)
                assert {line.outcome for line in lines.values()} <= {"pending", "expired"}
            assert (view.standing, view.recipients, view.expired) == ("expired", 2, 2)
