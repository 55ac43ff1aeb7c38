"""How sessions of a user's devices end, and that no session outlives its token."""

from __future__ import annotations

import math

import pytest
import trio

from tests.actors.clock_kit import pass_time, settle
from tests.actors.outlet_kit import FakeOutlet
from tests.actors.store_kit import sent
from tests.actors.user_kit import a_change, a_house
from tocsin.actors.delivery.messages import Arrived, DeviceAnswered, DeviceRemoved, Disconnect, Left
from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.log.ledger import SessionEnd

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


async def test_a_session_of_which_the_ledger_lacks_a_line_stays_open(autojump_clock):
    async with a_house(lines_max=1) as house:
        outlet = await house.arrive()
        await house.storage.answer_attach(head=1)
        assert house.storage.ledger.note((sent(),), None, trio.current_time())
        await house.storage.answer_page(1)
        assert house.storage.lines == [sent()]
        assert [closing for closing, *_ in outlet.ends] == [Closing.OVERLOADED]
        await house.tell(Left(outlet.connection))

        assert house.storage.ended == []


# --- The end of a token -------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_node_that_slept_past_the_token_s_end_sends_nothing(autojump_clock, is_stream):
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
