"""A user's actor reads pages of the log, and hears of acknowledgments beside the session."""

from __future__ import annotations

import trio

from tests.actors.user_kit import a_change, a_house
from tocsin.actors.delivery.messages import (
    Acknowledged,
    DeviceAnswered,
    DeviceRemoved,
    HeadMoved,
    Taken,
)
from tocsin.protocol.closing import Closing
from tocsin.protocol.delivery.terms import Acknowledging
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor

# --- The log ------------------------------------------------------------------------------------


async def test_a_head_that_has_moved_is_read_up_to(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach()
        await house.tell(HeadMoved(2))
        await house.storage.answer_page(1, 2)

        assert len(outlet.pushes) == 2


async def test_a_page_is_sent_in_one_write(autojump_clock):
    async with a_house() as house:
        outlet = await house.arrive()
        await house.storage.answer_attach()
        await house.tell(HeadMoved(2))
        outlet.writes.clear()
        await house.storage.answer_page(1, 2)

        assert (outlet.writes, outlet.holds) == ([2], 0)


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
        # Acknowledged entries come again, too: the store has to know that the device drops all.
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


async def test_the_window_of_a_stream_moves_with_what_its_socket_takes_in_the_same_turn(
    autojump_clock,
):
    async with a_house() as house:
        outlet = await house.arrive(acknowledging=Acknowledging.RESUME, transport="sse")
        outlet.takes_at_once = True
        await house.storage.answer_attach(head=3)
        await house.storage.answer_page(1, 2, head=3)
        await house.storage.answer_page(3)
        for sequence in (4, 5, 6):
            await house.tell(a_change(sequence))

        assert len(outlet.pushes) == 6
        assert house.storage.asked == []
        assert house.storage.confirmed == []


async def test_a_stream_that_acknowledges_explicitly_is_not_believed_to_have_what_was_taken(
    autojump_clock,
):
    async with a_house() as house:
        outlet = await house.arrive(transport="sse")
        outlet.takes_at_once = True
        await house.storage.answer_attach()
        for sequence in (1, 2, 3):
            await house.tell(a_change(sequence))

        assert len(outlet.pushes) == 2


async def test_a_long_poll_is_not_asked_for_signs_of_life(autojump_clock):
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


async def test_a_push_acknowledged_over_http_is_not_sent_again(autojump_clock):
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
