"""The contract of stores for the number of rows that a user may leave: devices, tickets."""

from __future__ import annotations

from typing import Any

from tests.persistence.databases_kit import Database
from tests.persistence.desk_kit import START_OF_TIME, Desk, limited, sent
from tocsin.persistence.store.commands import Changed, Done, NotFound, TooMany
from tocsin.persistence.store.key_commands import CreateTicket, StoredTicket, TakeTicket
from tocsin.persistence.store.queries import Devices, ListDevices
from tocsin.persistence.store.results import Result
from tocsin.persistence.store.upkeep_commands import Purge, Purged
from tocsin.persistence.store.user_commands import (
    Acknowledge,
    AcknowledgedPartly,
    Attach,
    Attached,
    Record,
    RemoveDevice,
)
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.ledger import DeviceCursor, SessionEnd
from tocsin.protocol.log.news import AckStored
from tocsin.protocol.values import unnamed_device

NOW = START_OF_TIME
LATER = NOW + 600_000


def attach(device: str, most: int = 2, user: str = "ann", at: int = NOW) -> Attach:
    return Attach(user, device, None, at, f"a/{device}", named_max=most)


async def known(desk: Desk, user: str = "ann") -> list[str]:
    return [each.device for each in (await desk.ask(ListDevices(user), Devices)).devices]


# --- devices -------------------------------------------------------------------------------------


async def test_a_name_too_many_is_refused_and_leaves_nothing(desk):
    for device in ("phone", "tablet"):
        assert await desk.one(attach(device), Attached)
    assert await desk.one(attach("watch"), TooMany) == TooMany(2)
    assert await known(desk) == ["phone", "tablet"]


async def test_known_devices_and_others_and_unnamed_ones_come_in_beyond_the_quota(desk):
    for device in ("phone", "tablet", "tablet", "phone"):
        assert await desk.one(attach(device), Attached)
    assert await desk.one(attach("phone", most=1), Attached)
    assert await desk.one(attach("phone", user="bob"), Attached)
    unnamed = unnamed_device(1, bytes(10))
    assert await desk.one(Attach("ann", unnamed, None, NOW, "a/9", unnamed_max=2), Attached)
    assert await known(desk) == [unnamed, "phone", "tablet"]
    # Which is none of those that are counted.
    assert await desk.one(attach("watch", most=3), Attached)


async def test_one_that_was_removed_makes_room(desk):
    await desk.write(attach("phone"))
    await desk.write(attach("tablet"))
    await desk.write(RemoveDevice("ann", "phone"))
    assert await desk.one(attach("watch"), Attached)
    assert await desk.one(attach("phone"), TooMany)


async def test_of_many_that_come_at_once_so_many_are_let_in(desk):
    results = await desk.write(*[attach(f"device-{number}") for number in range(5)])
    assert [type(result) for result in results] == [Attached, Attached, TooMany, TooMany, TooMany]
    assert await known(desk) == ["device-0", "device-1"]


async def test_the_end_of_a_session_that_was_refused_makes_no_device_known(desk):
    await desk.write(attach("phone", most=1))
    refused = attach("watch", most=1)
    await desk.write(refused)
    await desk.write(Record((), (), (SessionEnd("ann", "watch", refused.session),)))
    assert await known(desk) == ["phone"]


async def test_devices_are_listed_page_by_page_or_one_alone(desk):
    for device in ("d", "B", "a", "gone", "c"):
        await desk.write(attach(device, most=9))
    await desk.write(attach("other", user="bob"), RemoveDevice("ann", "gone"))

    async def page(
        limit: int, after: str | None = None, named: str | None = None
    ) -> tuple[list[str], bool]:
        found = await desk.ask(ListDevices("ann", limit, after, named), Devices)
        return [each.device for each in found.devices], found.more

    assert await page(2) == (["B", "a"], True)
    assert await page(2, "a") == (["c", "d"], False)
    assert await page(9, "d") == ([], False)
    assert await page(1, named="c") == (["c"], False)
    assert await page(9, named="gone") == ([], False)


# --- the ledger of devices that are no more -------------------------------------------------------


async def lines(database: Database, table: str = "deliveries") -> int:
    [[count]] = await database.fetch(f"SELECT count(*) FROM {table}")
    return int(count)


async def purge(desk: Desk, **times: Any) -> Purged:
    return await desk.one(Purge(0, 0, **times), Purged)


async def test_a_device_that_was_removed_goes_with_what_the_ledger_says_of_it(desk, database):
    made = [await desk.publish("ann") for _ in range(3)]
    for device in ("phone", "tablet"):
        await desk.attach("ann", device)
        for each in made:
            await desk.acknowledge("ann", device, each)
    await desk.write(RemoveDevice("ann", "phone"))
    assert await lines(database) == 6

    await purge(desk, removed_before=desk.now_ms)
    assert await lines(database) == 6, "it was seen a moment ago: its session may go on"
    assert await purge(desk, removed_before=LATER) == Purged(0, more=False)
    ledgers = [await desk.ledger(each.content.id) for each in made]
    assert [list(ledger) for ledger in ledgers] == [[("ann", "tablet")]] * 3
    assert await known(desk) == ["tablet"]
    assert await lines(database, "devices") == 1


async def test_it_is_forgotten_piece_by_piece(desk, database):
    made = [await desk.publish("ann") for _ in range(5)]
    await desk.attach("ann", "phone")
    for each in made:
        await desk.acknowledge("ann", "phone", each)
    await desk.write(RemoveDevice("ann", "phone"))

    left, rounds = [], 0
    more = True
    while more:
        more = (await purge(desk, removed_before=LATER, limit=2)).more
        left.append(await lines(database))
        rounds += 1
        assert rounds < 9
    assert left[:3] == [3, 1, 0]


async def test_devices_that_the_server_named_leave_no_lines(desk, database):
    made = await desk.publish("ann")
    for number in range(4):
        name = unnamed_device(number, bytes(10))
        await desk.write(Attach("ann", name, None, 10 + number, f"a/{number}", unnamed_max=1))
        await desk.acknowledge("ann", name, made)
    assert await lines(database) == 4
    await purge(desk, removed_before=LATER)
    assert await lines(database) == 1
    assert await known(desk) == [unnamed_device(3, bytes(10))]


async def test_so_do_those_that_were_not_seen_for_long(desk, database):
    made = await desk.publish("ann")
    await desk.attach("ann", "phone")
    await desk.write(sent("ann", "phone", made.content.id, 1, at=desk.now_ms))
    await purge(desk, created_before=desk.now_ms)
    assert await known(desk) == ["phone"]
    # The notification has been changed since, and stays.
    desk.now_ms = LATER
    await desk.update(made.content.id, title="New")
    await purge(desk, created_before=LATER)
    assert await lines(database) == 0
    assert await known(desk) == []
    assert len((await desk.inbox("ann")).items) == 1


async def test_devices_are_looked_at_some_at_a_time(desk):
    for user in ("ann", "bob"):
        for device in ("a", "b", "c"):
            await desk.attach(user, device)
    desk.now_ms = LATER
    await desk.attach("ann", "b")

    places = []
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        purged = await purge(desk, created_before=LATER, devices_after=after, limit=2)
        after = purged.devices_through
        places.append(after)

    assert places == [("ann", "b"), ("bob", "a"), ("bob", "c"), None]
    assert await known(desk) == ["b"]
    assert (await desk.ask(ListDevices("bob"), Devices)).devices == ()


async def test_a_device_that_returns_before_that_keeps_what_is_said_of_it_from_then_on(
    desk, database
):
    made = await desk.publish("ann")
    await desk.attach("ann", "phone")
    await desk.acknowledge("ann", "phone", made)
    await desk.write(RemoveDevice("ann", "phone"))
    await desk.attach("ann", "phone")
    await purge(desk, removed_before=LATER)
    assert await known(desk) == ["phone"]
    assert await lines(database) == 1


async def test_a_late_line_does_not_make_a_removed_device_known(desk):
    made = await desk.publish("ann")
    await desk.attach("ann", "phone")
    await desk.write(RemoveDevice("ann", "phone"))
    late = sent("ann", "phone", made.content.id, 1, at=desk.now_ms)
    await desk.write(late, Record((), (DeviceCursor("ann", "phone", 1, desk.now_ms),)))
    assert await known(desk) == []


# --- the acknowledgments of a cursor -------------------------------------------------------------


async def acknowledged(desk: Desk, *made: Changed) -> int:
    ledgers = [await desk.ledger(each.content.id) for each in made]
    return sum(line.outcome == "acknowledged" for ledger in ledgers for line in ledger.values())


@limited(acknowledged_max=2, acknowledged_of_device_min=1)
async def test_a_cursor_far_ahead_lets_a_device_in_when_all_before_it_is_acknowledged(desk):
    await desk.attach("ann", "phone", 0)
    made = [await desk.publish("ann") for _ in range(5)]
    came = Attach("ann", "phone", Cursor(desk.store.epoch, 5), NOW, "a/2")

    steps = []
    for _ in range(2):
        assert await desk.write(came) == [AcknowledgedPartly()]
        steps.append(await acknowledged(desk, *made))
    attached = await desk.one(came, Attached)

    assert steps == [2, 4]
    assert await acknowledged(desk, *made) == 5
    assert (attached.start.sequence, attached.start.resumed) == (5, True)
    assert await desk.entries("ann") == ()


@limited(acknowledged_max=2, acknowledged_of_device_min=1)
async def test_so_it_is_without_a_session_and_the_cursor_stays_until_then(desk):
    await desk.attach("ann", "phone", 0)
    made = [await desk.publish("ann") for _ in range(3)]
    command = Acknowledge("ann", "phone", 3, (), NOW)

    async def cursor() -> int:
        [phone] = (await desk.ask(ListDevices("ann"), Devices)).devices
        return int(phone.acknowledged)

    assert await desk.write(command) == [AcknowledgedPartly()]
    assert (await acknowledged(desk, *made), await cursor()) == (2, 0)
    assert await desk.write(command) == [AckStored("ann", "phone", 3, (), "a/1")]
    assert (await acknowledged(desk, *made), await cursor()) == (3, 3)


# --- tickets -------------------------------------------------------------------------------------


def ticket(number: int, user: str = "ann", expires_at: int = NOW + 30_000) -> StoredTicket:
    return StoredTicket(f"{user}-{number}".encode(), user, expires_at, None)


async def create(desk: Desk, *tickets: StoredTicket, at: int = NOW) -> list[Result]:
    return await desk.write(*[CreateTicket(each, at, 2) for each in tickets])


async def test_a_ticket_too_many_is_refused(desk):
    assert await create(desk, ticket(1)) == [Done()]
    assert await create(desk, ticket(2), ticket(3)) == [Done(), TooMany(2)]
    assert await create(desk, ticket(1, "bob")) == [Done()]
    assert await desk.write(TakeTicket(ticket(3).hash)) == [NotFound()]


async def test_one_that_was_used_makes_room_and_so_does_one_that_expired(desk):
    await create(desk, ticket(1), ticket(2, expires_at=NOW + 60_000))
    await desk.write(TakeTicket(ticket(1).hash))
    assert await create(desk, ticket(3)) == [Done()]
    assert await create(desk, ticket(4)) == [TooMany(2)]
    assert await create(desk, ticket(5), at=NOW + 30_000) == [Done()]
    assert await desk.write(TakeTicket(ticket(3).hash)) == [NotFound()]


async def test_tickets_that_nobody_used_are_purged_so_many_at_a_time(desk):
    for number in range(5):
        await desk.write(CreateTicket(ticket(number), NOW, 9))
    expired = Purge(0, tickets_before=NOW + 60_000, limit=2)
    assert [(await desk.one(expired, Purged)).more for _ in range(3)] == [True, True, False]
    assert await desk.write(TakeTicket(ticket(4).hash)) == [NotFound()]
