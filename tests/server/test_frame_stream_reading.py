"""A frame stream reads messages in order, answers pings, and takes floods in turns."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio
import trio.testing

from tests.server.edge_kit import UNBOUNDED, masked, read_all, wait_until
from tests.server.frame_stream_kit import JSON_PING, LIMIT, listening, open_pair, send_for_ever
from tocsin.protocol.closing import Closing
from tocsin.server.socket_watch import TaskWatching, watching
from tocsin.server.turnstile import Turnstile
from tocsin.server.websocket.ended import Ended
from tocsin.server.websocket.frame_reader import FRAMES_MAX
from tocsin.server.websocket.pace import NEWCOMER, NEWCOMER_BYTES_MAX, PaceLimits
from tocsin.server.websocket.wire_frames import pong_frame


class Turns(trio.abc.Instrument):
    """Counts the turns of the event loop, and what *count* says in each."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._before = count()
        self.most = 0

    def before_io_wait(self, timeout: float) -> None:
        now = self._count()
        self.most, self._before = max(self.most, now - self._before), now


async def test_messages_come_in_order_the_first_of_them_apart():
    received: list[str] = []
    async with open_pair(early=masked(1, b"early") + masked(1, b"one") + JSON_PING[:3]) as pair:
        assert await pair.frames.first_message() == "early"
        await pair.client.send_all(JSON_PING[3:] + masked(1, b"two"))
        async with listening(pair.frames, received):
            await wait_until(lambda: len(received) == 3)

    assert received == ["one", "ping", "two"]


async def test_a_peer_that_has_gone_is_noticed_although_nobody_reads():
    async with open_pair() as pair:
        await pair.client.send_all(masked(1, b"hello") + masked(1, b"unread"))
        assert await pair.frames.first_message() == "hello"
        assert not pair.frames.has_gone()
        await pair.client.send_all(b"more")
        await pair.client.send_eof()

        await wait_until(pair.frames.has_gone)


async def test_the_time_of_the_last_bytes_is_kept():
    async with open_pair() as pair, listening(pair.frames, []):
        before = pair.frames.last_received
        await trio.sleep(0.01)  # waits for: the clock itself
        await pair.client.send_all(masked(10, b"a pong that nobody asked for"))
        await wait_until(lambda: pair.frames.last_received > before)

        assert before + 0.01 <= pair.frames.last_received <= trio.current_time()
        assert pair.frames.statistics().bytes_written == 0


async def test_pings_are_answered_and_of_many_only_the_last_where_the_answers_are_not_read():
    async with open_pair() as pair, listening(pair.frames, []):
        pair.frames.admit(UNBOUNDED, LIMIT)
        await pair.client.send_all(masked(9, b"a") + masked(9, b"b"))
        assert await pair.read(6) == pong_frame(b"a") + pong_frame(b"b")

        waiting = pair.fill()
        await pair.client.send_all(masked(9, b"c") + masked(9, b"d"))
        assert await pair.read(len(waiting) + 3) == waiting + pong_frame(b"d")


async def test_a_client_that_does_not_read_its_pongs_is_slow():
    async with open_pair(outbound_bytes_max=20_000) as pair:
        pair.frames.admit(UNBOUNDED, LIMIT)
        pair.fill()
        pair.nursery.start_soon(send_for_ever, pair.client, masked(9, b"p" * 125) * 100)

        with pytest.raises(Ended) as caught:
            await pair.frames.listen(lambda message: None)
        assert caught.value.refusal.closing is Closing.SLOW


FLOODS = {
    "messages": JSON_PING,
    "pings": masked(9, b""),
    "pongs": masked(10, b""),
    "one-byte messages": masked(1, b"x"),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_of_one_that_says_much_so_many_frames_are_read_in_a_turn(flood):
    frames = 0

    async with open_pair() as pair:
        pair.frames.admit(UNBOUNDED, LIMIT)
        spend = pair.frames.pace.spend

        class Counting:
            is_strained = False

            def spend(self, count, bytes_, now):
                nonlocal frames
                frames += count
                spend(count, bytes_, now)

        pair.frames.pace = Counting()  # type: ignore[assignment]
        turns = Turns(lambda: frames)
        async with listening(pair.frames, []):
            pair.nursery.start_soon(send_for_ever, pair.client, flood * 5000)
            trio.lowlevel.add_instrument(turns)
            pair.nursery.start_soon(read_all, pair.client)
            await wait_until(lambda: frames > 10_000)
            trio.lowlevel.remove_instrument(turns)

    assert turns.most == FRAMES_MAX


async def test_of_many_that_say_much_so_many_go_on_in_a_turn():
    received: list[str] = []
    crowd = Turnstile(2)
    async with AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(open_pair(crowd=crowd)) for _ in range(8)]
        for pair in pairs:
            pair.frames.admit(UNBOUNDED, LIMIT)
            await stack.enter_async_context(listening(pair.frames, received))
            pair.nursery.start_soon(send_for_ever, pair.client, JSON_PING * 1000)
        # Each has the first frames of a turn before it is known to say much.
        await wait_until(lambda: len(received) > 1000)
        turns = Turns(lambda: len(received))
        trio.lowlevel.add_instrument(turns)
        await wait_until(lambda: len(received) > 20_000)
        trio.lowlevel.remove_instrument(turns)

    assert turns.most <= 2 * FRAMES_MAX + 8 * FRAMES_MAX // 4


async def test_a_client_that_says_little_does_not_wait_behind_those_that_say_much():
    crowd = Turnstile(1)
    received: list[str] = []
    async with open_pair(crowd=crowd) as pair, listening(pair.frames, received):
        with await crowd.enter():
            await pair.client.send_all(JSON_PING)
            await wait_until(lambda: received == ["ping"])


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (PaceLimits(1, 1e9, 50, 1e9), "50 frames at once, or 1 a second"),
        (PaceLimits(1e9, 1, 1e9, 500), "500 bytes at once, or 1 a second"),
    ],
)
async def test_a_client_that_is_too_fast_is_told_which_limit(limits, what):
    received: list[str] = []
    async with open_pair() as pair:
        pair.frames.admit(limits, LIMIT)
        await pair.client.send_all(JSON_PING * 100)
        with pytest.raises(Ended) as caught:
            await pair.frames.listen(received.append)

    assert caught.value.refusal.closing is Closing.RATE_LIMITED
    assert caught.value.refusal.after > 0
    assert what in caught.value.refusal.detail
    assert len(received) < 60


async def test_an_answer_to_a_push_is_not_counted():
    received: list[str] = []
    async with open_pair() as pair, listening(pair.frames, received):
        pair.frames.admit(PaceLimits(0, 0, 5, 5 * 256), LIMIT)
        for count in range(1, 21):
            pair.frames.pace.entitle()
            await pair.client.send_all(JSON_PING)
            while len(received) < count:  # noqa: ASYNC110
                await trio.sleep(0.001)  # waits for: what nobody signals


async def test_a_newcomer_may_say_little():
    async with open_pair(message_bytes_max=1 << 20) as pair:
        await pair.client.send_all(masked(10, b"") * int(NEWCOMER.frames_burst + 1))
        with pytest.raises(Ended) as caught:
            await pair.frames.first_message()
        assert caught.value.refusal.closing is Closing.RATE_LIMITED

    async with open_pair(message_bytes_max=1 << 20) as pair:
        await pair.client.send_all(masked(1, b"x" * (NEWCOMER_BYTES_MAX + 1))[:8])
        with pytest.raises(Ended) as caught:
            await pair.frames.first_message()
        assert caught.value.refusal.closing is Closing.FRAME_TOO_LARGE


async def test_an_error_of_one_connection_ends_no_other():
    received: list[str] = []
    async with open_pair() as wrong, open_pair() as right, listening(right.frames, received):
        await wrong.client.send_all(b"\x83\x80")
        with pytest.raises(Ended) as ended:
            await wrong.frames.listen(print)
        assert ended.value.refusal.closing is Closing.MALFORMED

        await right.client.send_all(masked(1, b"still here"))
        await wait_until(lambda: received == ["still here"])


async def test_a_message_of_a_client_may_cancel_its_own_connection():
    received: list[str] = []
    async with open_pair() as pair:
        with trio.CancelScope() as scope:

            def take(message: str) -> None:
                received.append(message)
                scope.cancel()

            await pair.client.send_all(masked(1, b"one") + masked(1, b"two"))
            await pair.frames.listen(take)
        assert scope.cancelled_caught
        assert received == ["one", "two"]
        await pair.client.send_all(masked(1, b"three"))
        async with listening(pair.frames, received):
            await wait_until(lambda: received[2:] == ["three"])


async def test_a_stream_is_read_also_where_the_system_has_no_epoll():
    assert isinstance(watching(has_epoll=False), TaskWatching)
    received: list[str] = []
    async with open_pair() as pair:
        async with listening(pair.frames, received):
            for message in (b"1", b"2", b"3"):
                await pair.client.send_all(masked(1, message))
                await wait_until(partial(received.__contains__, message.decode()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.frames.listen, received.append)
            await pair.client.send_eof()
    assert received == ["1", "2", "3"]
