"""A user's actor: what its devices are told, and what it tells others. The store is played."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Never

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.outlet_kit import FakeOutlet
from tocsin.actors.delivery.attendance import Attendance
from tocsin.actors.delivery.messages import (
    Acknowledged,
    Arrived,
    BusChanged,
    DeviceAnswered,
    DeviceRemoved,
    Disconnect,
    HeadMoved,
    Left,
    LogChanged,
    SharedChange,
    Taken,
    UserMessage,
    UserRecounted,
)
from tocsin.actors.delivery.surroundings import Company, DeliverySettings
from tocsin.actors.delivery.user import UserActor
from tocsin.actors.delivery.users import Users
from tocsin.actors.delivery.users_keeper import UsersKeeper
from tocsin.actors.health import StoreStatus
from tocsin.actors.runtime import Actor, Ref, open_supervisor
from tocsin.actors.runtime.prompt import TURNS_MAX
from tocsin.actors.storage import ledger
from tocsin.actors.storage.ledger import Ledger
from tocsin.actors.storage.requests import StorageMessage
from tocsin.actors.world import World
from tocsin.persistence.store import (
    AcknowledgedPartly,
    Attach,
    Attached,
    Counters,
    Entry,
    Page,
    Position,
    ReadPage,
    TooMany,
)
from tocsin.protocol import frames
from tocsin.protocol.backoff import Backoff
from tocsin.protocol.closing import Closing
from tocsin.protocol.cursor import Cursor, Start
from tocsin.protocol.ledger import DeliveryRecord, SessionEnd
from tocsin.protocol.terms import Acknowledging, SessionLimits
from tocsin.protocol.values import unnamed_device

LIMITS = SessionLimits(2, 1000, Backoff(10.0, 60.0), 3, 5)


class PlayedStorage(Actor[StorageMessage]):
    """Keeps what it is asked, for the test to answer."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.ledger = Ledger(linger=0.05)

    async def receive(self, message: StorageMessage) -> None:
        self.asked.append(message)

    @property
    def lines(self) -> list[DeliveryRecord]:
        """What was noted in the ledger since the last look."""
        return [line for record in self.ledger.waiting.take(math.inf) for line in record.deliveries]

    @property
    def ended(self) -> list[str]:
        """The devices of whom a session was noted to have ended since the last look."""
        records = self.ledger.waiting.take(math.inf)
        return [end.device for record in records for end in record.ends]

    @property
    def confirmed(self) -> list[int]:
        """The sequences that were noted as acknowledged since the last look."""
        return [line.sequence for line in self.lines if line.acknowledged_at is not None]

    async def answer_attach(self, start: int = 0, **fields: Any) -> Attach:
        write = self.asked.pop(0)
        fields = {"head": start, "counters": Counters(0, 0), **fields}
        write.reply.set(Attached("ann", Start(start, None, resumed=True), **fields))
        await settle()
        command: Attach = write.command
        return command

    async def answer_page(
        self, *sequences: int, head: int | None = None, horizon: int = 0
    ) -> ReadPage:
        read = self.asked.pop(0)
        through = max(sequences, default=read.query.after)
        entries = tuple(map(an_entry, sequences))
        head = head or through
        read.reply.set(Page(entries, through, head, horizon, Counters(1, 1)))
        await settle()
        query: ReadPage = read.query
        return query


def an_entry(sequence: int) -> Entry:
    return Entry(sequence, f"n{sequence}", "created", "{}", "unseen", None, None, 0, None)


def a_change(sequence: int) -> LogChanged:
    shared = SharedChange(f"n{sequence}", "created", "{}", b"{}", None)
    return LogChanged(shared, Position("ann", sequence, 1, 1))


@dataclass
class House:
    """Ann's actor and what is around it; *heard* is what it told of her."""

    users: Users
    storage: PlayedStorage
    keeper: Ref[Never] = field(init=False)
    heard: list[tuple[str, ...]] = field(default_factory=list)
    wall_ms: int = 1_000_000
    """What the wall's clock says; it may be set."""

    async def arrive(
        self,
        device: str = "phone",
        acknowledging: Acknowledging = Acknowledging.EXPLICIT,
        expires_at: int | None = None,
    ) -> FakeOutlet:
        outlet = FakeOutlet(f"of {device}")
        outlet.last_heard = trio.current_time()
        self.users.arrive("ann", Arrived(outlet, device, None, 2, expires_at, acknowledging))
        await settle()
        return outlet

    async def tell(self, message: UserMessage) -> None:
        self.users.tell("ann", message)
        await settle()


@asynccontextmanager
async def a_house() -> AsyncIterator[House]:
    world = World(lambda: house.wall_ms, lambda: 0.5, bytes)
    users, storage = Users(Attendance("node", world), capacity=100), PlayedStorage()
    house = House(users, storage)

    async with open_supervisor("", lambda: 0.0) as tree:
        ref: Ref[StorageMessage] = tree.spawn("storage", lambda: storage)
        company = Company(
            users=users,
            storage=ref,
            ledger=storage.ledger,
            status=StoreStatus(available=True, epoch="e"),
            settings=DeliverySettings("node", LIMITS, 25.0, 10, 20),
            world=world,
            acknowledged=lambda notification: None,
            absent=lambda user: house.heard.append(("absent", user)),
            behind=lambda user: house.heard.append(("behind", user)),
        )
        house.keeper = tree.spawn("users", lambda: UsersKeeper(company, lambda: 0.0, grace=1.0))
        await settle()
        yield house
        await tree.stop(5)


# --- Arriving and leaving -----------------------------------------------------------------------


async def test_who_leaves_is_absent_from_their_topics(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(topics=("news", "sport"))
        assert house.heard == []

        await house.tell(Left(outlet.connection))
        assert house.heard == [("absent", "ann")]


async def test_a_device_whose_arrival_fails_is_told_so(autojump_clock, monkeypatch):
    async with a_house() as house:
        with monkeypatch.context() as patched:
            patched.setattr(UserActor, "_arrived", lambda actor, message: 1 / 0)
            outlet = await house.arrive()
        assert [closing for closing, *_ in outlet.ends] == [Closing.INTERNAL_ERROR]

        again = await house.arrive()
        await house.storage.answer_attach()
        assert again.ends == []


async def test_when_the_keeper_has_failed_devices_are_told_and_may_come_again(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach()
        assert house.users.head_of("ann") is not None

        house.keeper.tell("anything")  # type: ignore[arg-type]
        await settle()
        assert [closing for closing, *_ in outlet.ends] == [Closing.INTERNAL_ERROR]
        assert house.heard == [("absent", "ann")]
        assert house.users.kept() == {"heads": {}, "missed changes": {}}

        await pass_time(1)
        again = await house.arrive()
        await house.storage.answer_attach()
        assert again.ends == []
        assert house.users.names() == ["ann"]


async def test_of_devices_without_a_name_the_store_is_to_remember_so_many(autojump_clock):
    async with a_house() as house:
        await house.arrive("phone")
        named = await house.storage.answer_attach()
        await house.arrive(unnamed_device(1, bytes(10)))
        unnamed = await house.storage.answer_attach()

        assert (named.unnamed_max, unnamed.unnamed_max) == (None, 10)
        assert (named.named_max, unnamed.named_max) == (20, None)


async def test_one_device_too_many_is_told_so_and_the_others_stay(autojump_clock):
    async with a_house() as house:
        phone = await house.arrive("phone")
        await house.storage.answer_attach()
        tablet = await house.arrive("tablet")
        house.storage.asked.pop(0).reply.set(TooMany(1))
        await settle()
        assert [closing for closing, *_ in tablet.ends] == [Closing.TOO_MANY_DEVICES]
        assert phone.ends == []


async def test_a_device_before_whose_cursor_there_is_much_is_asked_for_until_it_is_in(
    autojump_clock,
):
    async with a_house() as house:
        phone = await house.arrive("phone")
        asked = []
        for _ in range(2):
            write = house.storage.asked.pop(0)
            asked.append(write.command)
            write.reply.set(AcknowledgedPartly())
            await settle()
        assert phone.said == []
        asked.append(await house.storage.answer_attach(3))
        assert asked == [asked[0]] * 3
        assert phone.ends == []


async def test_who_has_more_in_their_topics_than_was_brought_is_behind(autojump_clock):
    async with a_house() as house:
        await house.arrive()
        await house.storage.answer_attach(behind=True)

        assert ("behind", "ann") in house.heard


async def test_what_one_device_brings_by_arriving_the_others_hear_of(autojump_clock):
    async with a_house() as house:
        first = await house.arrive("phone")
        await house.storage.answer_attach(3)
        await house.arrive("web")
        await house.storage.answer_attach(4)

        assert (await house.storage.answer_page(4)).device == "phone"
        assert len(first.pushes) == 1


async def test_what_a_device_brings_by_arriving_the_others_hear_of_though_it_has_gone(
    autojump_clock,
):
    async with a_house() as house:
        first = await house.arrive("phone")
        await house.storage.answer_attach(3)
        gone = await house.arrive("web")
        await house.tell(Left(gone.connection))
        await house.storage.answer_attach(4, behind=True)

        assert (await house.storage.answer_page(4)).device == "phone"
        assert len(first.pushes) == 1
        assert ("behind", "ann") in house.heard


async def test_who_has_missed_two_changes_is_told_of_the_later_one(autojump_clock):
    async with a_house() as house:
        house.users._capacity = 1
        await house.arrive()
        await house.storage.answer_attach(0)
        # So much was handled in the turns of others that the next has to wait.
        children = house.users._children
        assert children is not None
        assert children._attendant is not None
        children._attendant._turns = TURNS_MAX
        house.users.head_moved("ann", 1)
        house.users.head_moved("ann", 7)
        house.users.head_moved("ann", 6)

        assert house.users.kept()["missed changes"] == {"ann": 7}
        await settle()
        assert house.users.kept()["missed changes"] == {}


async def test_a_session_knows_where_it_begins_and_what_was_gone_by_then(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(2, head=9, horizon=5)

        assert outlet.began == [Cursor("e", 2, horizon=5)]


# --- The end of a session -----------------------------------------------------------------------


async def test_the_store_is_told_that_the_session_of_who_leaves_has_ended(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        attach = await house.storage.answer_attach()
        await house.tell(Left(outlet.connection))

        [record] = house.storage.ledger.waiting.take(math.inf)
        assert record.ends == (SessionEnd("ann", "phone", attach.session),)


async def test_no_two_sessions_of_a_device_have_one_name(autojump_clock):
    async with a_house() as house:
        first, second = FakeOutlet("1"), FakeOutlet("2")
        for outlet in (first, second):
            house.users.arrive("ann", Arrived(outlet, "phone", None, 2, None))
            await settle()
        names = [write.command.session for write in house.storage.asked]

        assert len(set(names)) == 2
        assert all(name.startswith("node/") for name in names)


async def test_so_it_is_of_who_is_told_to_go(autojump_clock):
    async with a_house() as house:
        for device in ("replaced", "removed", "wrong", "disconnected"):
            await house.arrive(device)
            await house.storage.answer_attach()
        await house.arrive("replaced")
        assert house.storage.ended == ["replaced"]

        await house.tell(DeviceRemoved("removed"))
        assert house.storage.ended == ["removed"]
        await house.tell(DeviceAnswered("of wrong", frames.Ack(sequence=7)))
        assert house.storage.ended == ["wrong"]
        await house.tell(Disconnect(Closing.DISCONNECTED))
        assert house.storage.ended == ["disconnected", "replaced"]


async def test_a_session_ends_behind_its_lines_and_once(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(head=2)
        await house.storage.answer_page(1, 2)
        await house.tell(DeviceAnswered(outlet.connection, frames.Ack(sequence=7)))
        await house.tell(Left(outlet.connection))

        sent, over = house.storage.ledger.waiting.take(math.inf)
        assert [len(sent.deliveries), len(over.ends)] == [2, 1]


async def test_the_session_of_who_leaves_before_the_store_has_answered_has_ended(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.tell(Left(outlet.connection))

        assert house.storage.ended == ["phone"]


async def test_a_session_of_which_the_ledger_lacks_a_line_stays_open(autojump_clock, monkeypatch):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(head=1)
        with monkeypatch.context() as patched:
            patched.setattr(ledger, "LINES_MAX", 0)
            await house.storage.answer_page(1)
        assert [closing for closing, *_ in outlet.ends] == [Closing.OVERLOADED]
        await house.tell(Left(outlet.connection))

        assert house.storage.ended == []


# --- The end of a token -------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream", [False, True])
async def test_who_sleeps_past_the_end_of_the_token_is_sent_nothing(autojump_clock, is_stream):
    async with a_house() as house:
        outlet = await house.arrive(expires_at=house.wall_ms + 3_600_000)
        outlet.last_heard = math.inf if is_stream else trio.current_time()
        await house.storage.answer_attach()
        # A machine that sleeps: the wall's clock goes on, Trio's does not.
        house.wall_ms += 3_600_000
        await house.tell(a_change(1))

        assert outlet.pushes == []
        assert [closing for closing, *_ in outlet.ends] == [Closing.UNAUTHENTICATED]
        assert house.storage.lines == []


async def test_a_page_that_was_read_meanwhile_is_not_sent_either(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive(expires_at=house.wall_ms + 3_600_000)
        await house.storage.answer_attach(head=2)
        house.wall_ms += 3_600_000
        await house.storage.answer_page(1, 2)

        assert outlet.pushes == []
        assert [closing for closing, *_ in outlet.ends] == [Closing.UNAUTHENTICATED]
        assert house.storage.lines == []


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_silent_session_is_looked_at_once_a_heartbeat(autojump_clock, is_stream):
    async with a_house() as house:
        outlet = await house.arrive(expires_at=house.wall_ms + 3_600_000)
        outlet.last_heard = math.inf if is_stream else trio.current_time()
        await house.storage.answer_attach()
        await pass_time(60)
        outlet.last_heard = max(outlet.last_heard, trio.current_time())
        assert outlet.ends == []
        house.wall_ms += 3_600_000
        await pass_time(25)

        assert [closing for closing, *_ in outlet.ends] == [Closing.UNAUTHENTICATED]


async def test_a_clock_that_is_set_back_ends_no_session_early(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive(expires_at=house.wall_ms + 60_000)
        outlet.last_heard = math.inf
        await house.storage.answer_attach()
        house.wall_ms -= 60_000
        await pass_time(90)
        await house.tell(a_change(1))

        assert len(outlet.pushes) == 1
        assert outlet.ends == []


# --- The log ------------------------------------------------------------------------------------


async def test_a_head_that_has_moved_is_read_up_to(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach()
        await house.tell(HeadMoved(2))
        await house.storage.answer_page(1, 2)

        assert len(outlet.pushes) == 2


async def test_a_purge_that_was_known_at_the_start_is_no_reset(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(0, head=9, horizon=8)
        await house.storage.answer_page(3, head=9, horizon=8)

        assert len(outlet.pushes) == 1
        assert frames.Reset("horizon") not in outlet.said


async def test_a_purge_under_the_reader_begins_the_session_anew(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(2, head=9)
        await house.storage.answer_page(head=9, horizon=8)
        # What it has acknowledged comes again, too: the store has to know that it drops all.
        attach = await house.storage.answer_attach(0, head=9, horizon=8)
        assert attach.requested == Cursor("e", 0, everything=True)

        assert outlet.said[-1] == frames.Reset("horizon")
        assert [type(each) for each in outlet.said].count(frames.Welcome) == 1
        assert outlet.began == [Cursor("e", 2), Cursor("e", 0, horizon=8)]
        query = await house.storage.answer_page(3, 9, head=9, horizon=8)
        assert (query.start, query.after, query.resumed) == (0, 0, False)
        assert len(outlet.pushes) == 2


async def test_a_purge_behind_the_reader_is_no_reset(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(8, head=9)
        await house.storage.answer_page(9, horizon=5)

        assert frames.Reset("horizon") not in outlet.said


# --- Resuming -----------------------------------------------------------------------------------


async def test_the_window_of_a_stream_moves_with_what_the_socket_takes(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive(acknowledging=Acknowledging.RESUME)
        await house.storage.answer_attach(head=3)
        await house.storage.answer_page(1, 2, head=3)
        assert not house.storage.asked

        await house.tell(Taken(outlet.connection, 2))
        await house.storage.answer_page(3)

        assert len(outlet.pushes) == 3
        assert house.storage.confirmed == []


async def test_who_waits_for_an_answer_is_not_asked_for_signs_of_life(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive(acknowledging=Acknowledging.RESUME)
        outlet.last_heard = float("inf")
        await house.storage.answer_attach()
        before = trio.current_time()
        with trio.move_on_after(1000):
            await outlet.ended.wait()

        assert trio.current_time() == before + 1000
        assert outlet.pings == 0


# --- Told past the session ----------------------------------------------------------------------


async def test_what_a_device_acknowledges_over_http_is_not_sent_again(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive("phone")
        await house.storage.answer_attach(head=1)
        await house.storage.answer_page(1)
        await house.tell(Acknowledged("web", 1, (), None))
        assert house.storage.confirmed == []

        await house.tell(Acknowledged("phone", 1, (), None))

        assert house.storage.confirmed == [1]
        with trio.move_on_after(20):
            await outlet.ended.wait()
        assert len(outlet.pushes) == 1


async def test_an_id_acknowledged_before_the_session_began_is_not_of_what_it_has_sent(
    autojump_clock,
):
    async with a_house() as house:
        await house.arrive("phone")
        attach = await house.storage.answer_attach(head=2)
        await house.storage.answer_page(1, 2)

        await house.tell(Acknowledged("phone", 1, ("n1", "n2"), "node/of phone/1"))
        assert house.storage.confirmed == [1]
        await house.tell(Acknowledged("phone", None, ("n2",), attach.session))
        assert house.storage.confirmed == [2]


async def test_an_acknowledgment_before_the_session_has_begun_is_no_error(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive("phone")
        await house.tell(Acknowledged("phone", 1, (), None))
        await house.tell(Taken(outlet.connection, 1))

        assert outlet.ends == []
        await house.tell(DeviceAnswered(outlet.connection, frames.Ack(sequence=1)))
        assert outlet.ends[0][0] is Closing.MALFORMED


async def test_a_device_that_is_removed_is_disconnected_and_no_other(autojump_clock):
    async with a_house() as house:
        phone, web = await house.arrive("phone"), await house.arrive("web")
        await house.tell(DeviceRemoved("phone"))

        assert phone.ends[0][0] is Closing.DISCONNECTED
        assert web.ends == []


# --- Counters -------------------------------------------------------------------------------------


async def test_that_something_has_expired_is_told_to_every_device(autojump_clock):
    async with a_house() as house:
        outlets = [await house.arrive("phone"), await house.arrive("tablet")]
        for _ in outlets:
            await house.storage.answer_attach(counters=Counters(2, 2))

        await house.tell(UserRecounted())
        for _ in outlets:
            await house.storage.answer_page()

        assert [outlet.said[-1] for outlet in outlets] == [frames.Counters(1, 1)] * 2


async def test_what_expires_while_a_device_arrives_is_looked_for_when_it_has(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.tell(UserRecounted())
        await house.storage.answer_attach(counters=Counters(2, 2))
        await house.storage.answer_page()

        assert outlet.said[-1] == frames.Counters(1, 1)


async def test_what_an_arrival_shows_to_have_expired_the_others_are_told(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive("phone")
        await house.storage.answer_attach(counters=Counters(2, 2))
        await house.arrive("tablet")
        await house.storage.answer_attach(counters=Counters(1, 1))
        await house.storage.answer_page()

        assert outlet.said[-1] == frames.Counters(1, 1)
        assert house.storage.asked == []


async def test_a_user_who_had_no_room_to_hear_it_finds_out_later(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(counters=Counters(2, 2))
        house.users._miss("ann", 0)

        await house.tell(HeadMoved(0))
        await house.storage.answer_page()

        assert outlet.said[-1] == frames.Counters(1, 1)


async def test_what_expired_while_the_bus_was_deaf_is_told_when_it_is_back(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(counters=Counters(2, 2))

        await house.tell(BusChanged(available=True))
        await house.storage.answer_page()

        assert outlet.said[-1] == frames.Counters(1, 1)
