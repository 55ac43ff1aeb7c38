"""A frame stream sends at once, soon, or bounded behind a slow peer."""

import socket
import struct

import pytest
import trio
import trio.testing

from tests.server.edge_kit import read_all, wait_until
from tests.server.frame_stream_kit import LIMIT, open_pair
from tocsin.server.websocket.outbound import SlowConsumer
from tocsin.server.websocket.wire_frames import close_frame

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def test_an_offer_is_written_at_once():
    async with open_pair() as pair:
        pair.frames.offer(b"now")

        assert pair.frames.statistics().pending_bytes == 0
        assert not pair.frames.statistics().writer_running
        assert pair.frames.statistics().bytes_written == 3
        assert await pair.read(3) == b"now"


async def test_offers_for_soon_go_out_together_and_in_order():
    async with open_pair() as pair:
        pair.frames.offer_soon(b"first ")
        pair.frames.offer_soon(b"second ")
        pair.frames.offer(b"third")
        assert pair.frames.statistics().bytes_written == 0

        assert await pair.read(18) == b"first second third"
        assert not pair.frames.statistics().writer_running
        pair.frames.offer(b"now")
        assert pair.frames.statistics().pending_bytes == 0


async def test_held_bytes_go_out_when_the_outermost_hold_ends():
    async with open_pair() as pair:
        pair.frames.hold()
        pair.frames.offer(b"first ")
        pair.frames.hold()
        pair.frames.offer(b"second")
        pair.frames.let_go()
        assert pair.frames.statistics().bytes_written == 0

        pair.frames.let_go()
        assert pair.frames.statistics().bytes_written == 12
        assert not pair.frames.statistics().writer_running
        assert await pair.read(12) == b"first second"


async def test_last_words_that_are_held_come_behind_what_is_held():
    async with open_pair() as pair:
        pair.frames.hold()
        pair.frames.offer(b"first ")
        pair.frames.finish(b"bye")
        pair.frames.let_go()

        assert await pair.read(9) == b"first bye"


async def test_an_offer_for_soon_goes_out_before_the_last_words():
    async with open_pair() as pair:
        pair.frames.offer_soon(b"soon")
        pair.frames.finish(b"bye")
        pair.frames.offer_soon(b"late")

        assert await pair.read(7) == b"soonbye"
        assert pair.frames.statistics().pending_bytes == 0


async def test_an_offer_for_soon_that_does_not_fit_sends_the_rest_now():
    async with open_pair(outbound_bytes_max=10) as pair:
        for _ in range(3):
            pair.frames.offer_soon(b"x" * 10)
        assert pair.frames.statistics().pending_bytes == 10

        assert await pair.read(30) == b"x" * 30


async def test_offers_for_soon_are_bounded():
    async with open_pair() as pair:
        expected = pair.fill()
        room = LIMIT - pair.frames.statistics().pending_bytes
        pair.frames.offer_soon(b"x" * room)
        with pytest.raises(SlowConsumer):
            pair.frames.offer_soon(b"y" * LIMIT)

        assert await pair.read(len(expected) + room) == expected + b"x" * room


async def test_bytes_that_the_kernel_does_not_take_wait_and_come_in_order():
    async with open_pair() as pair:
        expected = pair.fill()
        for i in range(100):
            data = b"%03d" % i * 100
            pair.frames.offer(data)
            expected += data

        assert await pair.read(len(expected)) == expected
        await wait_until(lambda: not pair.frames.statistics().writer_running)
        assert pair.frames.statistics().pending_bytes == 0


async def test_a_slow_consumer_is_noticed_at_the_limit():
    async with open_pair() as pair:
        expected = pair.fill()
        room = LIMIT - pair.frames.statistics().pending_bytes
        pair.frames.offer(b"x" * room)
        with pytest.raises(SlowConsumer):
            pair.frames.offer(b"y")

        assert pair.frames.statistics().pending_bytes == LIMIT
        assert await pair.read(len(expected) + room) == expected + b"x" * room


async def test_one_frame_over_the_limit_is_refused_or_finished_never_cut():
    async with open_pair(outbound_bytes_max=100) as pair:
        frame = bytes(256 << 10)  # more than the kernel holds for so small a buffer
        with pytest.raises(SlowConsumer):
            pair.frames.offer(frame)
        assert pair.frames.statistics().pending_bytes > 100
        pair.frames.finish(b"bye")

        assert await pair.read(len(frame) + 3) == frame + b"bye"


async def test_last_words_may_overtake_what_was_not_begun():
    async with open_pair() as pair:
        begun = pair.fill()
        for _ in range(3):
            pair.frames.offer(b"waits")
        pair.frames.finish(b"bye", skip_waiting=True)

        assert await pair.read(len(begun) + 3) == begun + b"bye"


async def test_nothing_follows_a_close_frame():
    async with open_pair() as pair:
        pair.frames.finish(close_frame(4000))
        assert not pair.frames.is_open
        pair.frames.offer(b"late")
        pair.frames.finish(b"later")
        pair.frames.offer_soon(b"latest")
        pair.nursery.start_soon(pair.frames.aclose)

        assert await read_all(pair.client) == close_frame(4000)


async def test_an_offer_to_a_peer_that_is_gone_is_dropped():
    async with open_pair() as pair:
        pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        await pair.client.aclose()
        assert await pair.frames.first_message() is None
        pair.frames.offer(b"x")

        assert not pair.frames.is_open
        assert pair.frames.statistics().pending_bytes == 0


async def test_after_its_nursery_was_cancelled_closing_still_writes_what_waits():
    async with trio.open_nursery() as outer:
        nursery: trio.Nursery = await outer.start(run_a_nursery)
        async with open_pair(nursery=nursery) as pair:
            expected = pair.fill()
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            pair.frames.finish(b"bye")
            pair.nursery.start_soon(pair.frames.aclose)

            assert await read_all(pair.client) == expected + b"bye"


async def run_a_nursery(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    async with trio.open_nursery() as nursery:
        task_status.started(nursery)
        await trio.sleep_forever()
