"""How a frame stream closes: last words, lingering, and tasks that come back."""

import socket

import pytest
import trio
import trio.testing

from tests.server.edge_kit import UNBOUNDED, masked, read_all
from tests.server.frame_stream_kit import LIMIT, cancel_when_blocked, open_pair, send_for_ever
from tocsin.server.lingering_close import read_to_end
from tocsin.server.websocket.ended import Ended
from tocsin.server.websocket.frame_stream import FrameStream
from tocsin.server.websocket.wire_frames import close_frame, text_frame


async def test_a_peer_in_the_middle_of_sending_still_reads_our_last_words():
    async with open_pair(linger_timeout=5) as pair:
        await pair.client.send_all(b"unread")
        pair.frames.finish(b"bye")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.frames.aclose)
            assert await pair.client.receive_some() == b"bye"
            await pair.client.send_all(bytes(100_000))
            assert await pair.client.receive_some() == b""
            await pair.client.send_eof()


async def test_closing_ends_although_the_peer_does_not():
    async with open_pair(linger_timeout=0.05) as pair:
        pair.fill()
        await pair.frames.aclose()


async def test_cancelling_a_close_closes_at_once():
    async with open_pair(linger_timeout=60) as pair:
        with trio.CancelScope() as scope:
            pair.nursery.start_soon(cancel_when_blocked, scope)
            await pair.frames.aclose()
        assert scope.cancelled_caught
        assert pair.server.socket.fileno() == -1


async def test_the_second_to_close_waits_for_the_first():
    async with open_pair(linger_timeout=60) as pair:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.frames.aclose)
            nursery.start_soon(pair.frames.aclose)
            await trio.testing.wait_all_tasks_blocked()
            assert pair.server.socket.fileno() != -1
            await pair.client.send_eof()
        assert pair.server.socket.fileno() == -1


@pytest.mark.parametrize("attempt", range(3))
async def test_a_peer_that_goes_on_talking_reads_our_last_words(attempt):
    """The reader must not come back to the socket while the close lingers."""
    bye = text_frame(b"goodbye") + close_frame(4400, "malformed")
    async with open_pair(linger_timeout=0.2) as pair:
        pair.frames.admit(UNBOUNDED, LIMIT)

        async def serve() -> None:
            with pytest.raises(Ended):
                await pair.frames.listen(lambda message: None)
            pair.frames.finish(bye)
            await pair.frames.aclose()

        pair.nursery.start_soon(send_for_ever, pair.client, masked(3, b"") + masked(9, b"") * 500)
        pair.nursery.start_soon(serve)
        assert await read_all(pair.client) == bye


async def test_a_task_that_comes_back_to_the_socket_does_not_cut_the_lingering_short():
    async with open_pair() as pair:
        await pair.client.send_all(b"unread")

        async def come_back() -> None:
            while True:
                try:
                    await trio.lowlevel.wait_readable(pair.server.socket)
                except trio.ClosedResourceError:
                    if pair.server.socket.fileno() < 0:
                        return
                except trio.BusyResourceError:
                    pass
                await trio.lowlevel.checkpoint()

        ended = trio.Event()

        async def linger() -> None:
            await read_to_end(pair.server.socket, timeout=60)
            ended.set()

        pair.nursery.start_soon(come_back)
        pair.nursery.start_soon(linger)
        for _ in range(20):
            await pair.client.send_all(b"more")
            await trio.sleep(0.001)  # waits for: some turns of the event loop
            assert not ended.is_set()
        await pair.client.send_eof()
        await ended.wait()
        pair.nursery.cancel_scope.cancel()


async def test_lingering_is_bounded_in_bytes():
    async with open_pair() as pair:
        pair.nursery.start_soon(send_for_ever, pair.client, bytes(100_000))
        await read_to_end(pair.server.socket, timeout=60, bytes_max=1 << 20)
        pair.nursery.cancel_scope.cancel()


async def test_a_close_by_another_task_ends_the_reading():
    async with open_pair(linger_timeout=0.05) as pair:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_closed, pair.frames)
            await trio.testing.wait_all_tasks_blocked()
            await pair.frames.aclose()
        await expect_closed(pair.frames)


async def test_a_close_that_is_cancelled_ends_the_reading_too():
    async with open_pair(linger_timeout=60) as pair, trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed, pair.frames)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await pair.frames.aclose()


async def test_a_peer_that_resets_ends_the_reading():
    async with open_pair() as pair, trio.open_nursery() as nursery:
        nursery.start_soon(pair.frames.listen, print)
        await trio.testing.wait_all_tasks_blocked()
        pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await pair.client.aclose()


async def expect_closed(frames: FrameStream) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await frames.listen(print)
