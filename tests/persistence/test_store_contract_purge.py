"""The contract of stores for purges: the rows that go in time, and those that stay."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.persistence.desk_kit import (
    ALL_BUT_ARCHIVED,
    START_OF_TIME,
    Desk,
    positions,
    publish,
    sent,
)
from tocsin.persistence.store.commands import Changed, Counters, NotFound, Publish, Replayed
from tocsin.persistence.store.key_commands import CreateTicket, StoredTicket, TakeTicket
from tocsin.persistence.store.queries import (
    Deliveries,
    Devices,
    FindNotification,
    Letters,
    ListDevices,
    ListLetters,
    ProducerView,
    ReadDeliveries,
)
from tocsin.persistence.store.upkeep_commands import Purge, Purged, Release, Released
from tocsin.persistence.store.user_commands import MarkInbox, Materialise, Record, Subscribe
from tocsin.protocol.log.cursor import ResetReason, Start
from tocsin.protocol.log.ledger import DeviceCursor

TICKET = StoredTicket(b"\x00\xff", "ann", 1000, None)
LATER = START_OF_TIME + 1000


async def purge(desk: Desk, *, limit: int = 1000, **before: Any) -> Purged:
    return await desk.one(Purge(0, 0, **before, limit=limit), Purged)


async def is_known(desk: Desk, notification: str) -> bool:
    [answer] = await desk.read(FindNotification(notification))
    return isinstance(answer, ProducerView)


async def test_a_purge_with_nothing_to_forget_forgets_nothing(desk):
    made = await desk.publish("ann")

    assert await purge(desk, created_before=START_OF_TIME) == Purged(0, more=False)
    assert await desk.one(Purge(0, 0), Purged) == Purged(0, more=False)

    assert await is_known(desk, made.content.id)
    assert (await desk.page("ann")).horizon == 0


async def test_expired_tickets_are_forgotten(desk):
    await desk.write(CreateTicket(TICKET))

    await desk.one(Purge(0, tickets_before=1000), Purged)
    assert await desk.one(TakeTicket(TICKET.hash), StoredTicket) == TICKET

    await desk.write(CreateTicket(TICKET))
    await desk.one(Purge(0, tickets_before=1001), Purged)
    assert await desk.one(TakeTicket(TICKET.hash), NotFound)


async def test_old_idempotency_keys_are_forgotten(desk):
    await desk.publish("ann", key="k")
    again = publish("ann", key="k")
    assert isinstance((await desk.write(again))[0], Replayed)

    await desk.one(Purge(START_OF_TIME + 1, 0), Purged)

    assert not isinstance((await desk.write(again))[0], Replayed)


async def test_old_archived_notifications_go_and_older_open_ones_stay(desk):
    old, archived, recent = [await desk.publish("ann") for _ in range(3)]
    desk.now_ms = START_OF_TIME + 5
    await desk.mark("ann", "archived", archived)
    desk.now_ms = START_OF_TIME + 6
    await desk.mark("ann", "archived", recent)

    assert await purge(desk, archived_before=START_OF_TIME + 6) == Purged(1, more=False)

    inbox = await desk.inbox("ann", states=(*ALL_BUT_ARCHIVED, "archived"))
    assert [item.created_sequence for item in inbox.items] == [3, 1]
    assert not await is_known(desk, archived.content.id)
    assert await is_known(desk, old.content.id)
    page = await desk.page("ann")
    assert (page.horizon, page.counters) == (4, Counters(1, 1))


async def test_a_notification_brought_back_from_the_archive_stays(desk):
    made = await desk.publish("ann")
    await desk.mark("ann", "archived", made)
    await desk.mark("ann", "unread", made)

    assert (await purge(desk, archived_before=LATER)).rows == 0


async def test_a_device_below_the_horizon_starts_anew_with_what_is_left(desk):
    left, gone = await desk.publish("ann"), await desk.publish("ann")
    await desk.attach("ann", "phone", 2)
    await desk.mark("ann", "archived", gone)
    await desk.attach("ann", "tablet", 3)
    await purge(desk, archived_before=LATER)

    lost = Start(0, ResetReason.HORIZON, resumed=False)
    assert (await desk.attach("ann", "phone")).start == lost
    assert (await desk.attach("ann", "tablet")).start == Start(3, None, resumed=True)
    assert [each.notification for each in await desk.entries("ann")] == [left.content.id]


async def test_expired_notifications_go_without_moving_the_horizon(desk):
    made = await desk.publish("ann", "bob", expires_at=START_OF_TIME + 5)
    await desk.expire(START_OF_TIME + 5)

    assert (await purge(desk, expired_before=START_OF_TIME + 5)).rows == 0
    assert (await purge(desk, expired_before=START_OF_TIME + 6)).rows == 2

    assert not await is_known(desk, made.content.id)
    page = await desk.page("ann")
    assert (page.horizon, page.counters) == (0, Counters(0, 0))


async def test_old_notifications_go_in_any_state_and_the_counters_with_them(desk):
    for state in ("read", "seen", "archived", None):
        made = await desk.publish("ann")
        if state is not None:
            await desk.mark("ann", state, made)
    await desk.withdraw((await desk.publish("ann")).content.id)
    desk.now_ms = LATER
    young = await desk.publish("ann")
    assert (await desk.page("ann")).counters == Counters(3, 2)

    assert (await purge(desk, created_before=LATER)).rows == 5

    page = await desk.page("ann")
    assert (page.horizon, page.head, page.counters) == (9, 10, Counters(1, 1))
    assert [each.notification for each in page.entries] == [young.content.id]


async def test_a_notification_goes_with_its_last_row_and_its_ledger_with_it(desk):
    made = await desk.publish("ann", "bob")
    id_ = made.content.id
    for user in ("ann", "bob"):
        await desk.sent(user, "phone", id_, 1, acknowledged_at=5)
    ledger = ReadDeliveries(id_, 10, None)

    await desk.mark("ann", "archived", made)
    assert (await purge(desk, archived_before=LATER)).rows == 1
    assert len((await desk.ask(ledger, Deliveries)).lines) == 2
    assert (await desk.view(id_)).recipients == 2

    await desk.mark("bob", "archived", made)
    assert (await purge(desk, archived_before=LATER)).rows == 1
    assert await desk.ask(ledger, NotFound)
    # The same id again is another notification, and finds nothing of the first.
    await desk.write(Publish(made.content, ("ann",), "producer"))
    assert await desk.ledger(id_) == {}


async def test_a_purge_takes_no_more_idempotency_answers_than_it_may(desk):
    await desk.write(*[publish("ann", key=str(number)) for number in range(25)])
    purge = Purge(START_OF_TIME + 1, 0, limit=1)

    purges = [await desk.one(purge, Purged) for _ in range(3)]

    assert [each.more for each in purges] == [True, True, False]
    again = await desk.write(*[publish("ann", key=str(number)) for number in range(25)])
    assert {type(each) for each in again} == {Changed}


async def test_a_purge_takes_no_more_rows_than_it_may(desk):
    for _ in range(3):
        await desk.publish("ann", "bob")

    purges = [await purge(desk, created_before=LATER, limit=4) for _ in range(3)]

    assert purges == [Purged(4, more=True), Purged(2, more=False), Purged(0, more=False)]
    assert (await desk.page("ann")).counters == Counters(0, 0)


async def test_a_row_with_two_reasons_to_go_goes_once(desk):
    made = await desk.publish("ann", expires_at=START_OF_TIME + 5)
    await desk.mark("ann", "archived", made)
    await desk.expire(START_OF_TIME + 5)

    everything = {"archived_before": LATER, "expired_before": LATER, "created_before": LATER}
    assert await purge(desk, **everything) == Purged(1, more=False)


async def test_a_topic_s_notification_stays_for_users_who_have_not_got_it_yet(desk):
    await desk.write(Subscribe("news", ("ann", "bob", "eve"), 5))
    made = publish(topic="news")
    id_ = made.content.id
    await desk.write(made)
    await desk.mark("ann", "archived", id_)

    assert (await purge(desk, archived_before=LATER)).rows == 1
    await desk.write(Materialise(("bob",), 6))
    assert [each.notification for each in await desk.entries("bob")] == [id_]
    assert (await purge(desk, created_before=LATER)).rows == 1
    # A user may just be getting it; the next purge will not find it in the topic's log any more.
    assert await is_known(desk, id_)
    await purge(desk, created_before=LATER)
    assert not await is_known(desk, id_)
    await desk.write(Materialise(("ann", "bob", "eve"), 7))
    for user, head in (("ann", 2), ("bob", 1), ("eve", 0)):
        page = await desk.page(user)
        assert (page.entries, page.head, page.counters) == ((), head, Counters(0, 0))
        assert not (await desk.inbox(user)).behind


async def test_a_scheduled_notification_stays_however_old(desk):
    made = publish("ann", deliver_at=LATER + 5)
    await desk.write(made)

    await purge(desk, created_before=LATER)

    [change] = (await desk.one(Release(LATER + 5, 10), Released)).changes
    assert change.content.id == made.content.id


async def test_an_old_notification_that_no_user_got_goes(desk, database):
    made = await desk.publish("ann")
    await database.execute("DELETE FROM inbox")

    assert await purge(desk, created_before=LATER) == Purged(0, more=False)

    assert not await is_known(desk, made.content.id)


async def test_old_letters_and_devices_are_forgotten(desk):
    made = await desk.publish("ann")
    await desk.write(sent("ann", "phone", made.content.id, 1, at=5, dead="unresponsive"))
    desk.now_ms = 5
    await desk.attach("ann", "phone")
    desk.now_ms = 7
    await desk.attach("ann", "tablet")

    await purge(desk, created_before=5)
    assert len((await desk.ask(ListLetters(9), Letters)).letters) == 1
    assert len((await desk.ask(ListDevices("ann"), Devices)).devices) == 2

    assert await purge(desk, created_before=6) == Purged(0, more=False)
    assert (await desk.ask(ListLetters(9), Letters)).letters == ()
    [left] = (await desk.ask(ListDevices("ann"), Devices)).devices
    assert left.device == "tablet"


async def test_a_device_that_was_seen_where_it_was_before_stays(desk):
    await desk.attach("ann", "phone")
    await desk.attach("ann", "tablet")
    await desk.write(Record((), (DeviceCursor("ann", "phone", 0, LATER),)))

    await purge(desk, created_before=LATER)

    [left] = (await desk.ask(ListDevices("ann"), Devices)).devices
    assert (left.device, left.acknowledged, left.last_seen) == ("phone", 0, LATER)


@pytest.mark.parametrize("count", [1, 200])
async def test_however_much_a_purge_forgets_it_takes_the_same_statements(desk, count):
    users = [f"user-{number}" for number in range(count)]
    await desk.write(*[publish(user) for user in users], publish(*users))
    await desk.write(*[MarkInbox(user, "archived", 5) for user in users])

    before: int = desk.store.statements_run
    assert (await purge(desk, archived_before=6)).rows == 2 * count
    after: int = desk.store.statements_run

    assert after - before == 20


async def test_a_purge_corrects_what_marks_and_publishes_go_on_with(desk):
    for _ in range(2):
        await desk.publish("ann")
    await purge(desk, created_before=LATER)

    desk.now_ms = LATER
    made = await desk.publish("ann")
    [position] = positions(made)
    assert (position.sequence, position.unread, position.unseen) == (3, 1, 1)
    assert (await desk.mark("ann", "read")).counters == Counters(0, 0)


async def test_purges_and_marks_at_the_same_time_count_right(desk):
    made = [await desk.publish("ann", "bob") for _ in range(20)]
    for each in made[:10]:
        await desk.mark("ann", "archived", each)
    purges: list[Purged] = []

    async def forget() -> None:
        purges.append(await purge(desk, archived_before=LATER, limit=7))

    async with trio.open_nursery() as nursery:
        for each in made:
            nursery.start_soon(forget)
            nursery.start_soon(desk.write, MarkInbox("ann", "unread", 5, (each.content.id,)))
            nursery.start_soon(desk.write, MarkInbox("bob", "seen", 5, (each.content.id,)))

    left = (await desk.inbox("ann")).items
    assert len(left) == 20 - sum(each.rows for each in purges)
    unseen = [item.state for item in left].count("unseen")
    assert (await desk.page("ann")).counters == Counters(len(left), unseen)
    assert (await desk.page("bob")).counters == Counters(20, 0)
