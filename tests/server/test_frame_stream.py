"""Our stream over real loopback sockets; the client is raw, or the `websockets` library."""

import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.testing
from websockets.exceptions import ConnectionClosed as ClientClosed
from websockets.sync.client import connect

from tests.server.edge import (
    MESSAGE_BYTES_MAX,
    UNBOUNDED,
    UPGRADE,
    masked,
    open_edge,
    open_frames,
    read_all,
    wait_until,
)
from tocsin.protocol.closing import Closing
from tocsin.server.lingering_close import read_to_end
from tocsin.server.turnstile import Turnstile
from tocsin.server.websocket.ended import Ended
from tocsin.server.websocket.frame_reader import FRAMES_MAX
from tocsin.server.websocket.frame_stream import FrameStream
from tocsin.server.websocket.outbound import SlowConsumer
from tocsin.server.websocket.pace import NEWCOMER, NEWCOMER_BYTES_MAX, PaceLimits
from tocsin.server.websocket.wire_frames import close_frame, pong_frame, text_frame

LIMIT = 100_000
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Pair:
    client: trio.SocketStream
    server: trio.SocketStream
    frames: FrameStream
    nursery: trio.Nursery

    def fill(self) -> bytes:
        """Offer until something waits; returns all that was offered."""
        offered = b""
        while not self.frames.statistics().pending_bytes:
            data = bytes((len(offered) % 251,)) * 20_000
            self.frames.offer(data)
            offered += data
        return offered

    async def read(self, count: int) -> bytes:
        read = b""
        while len(read) < count:
            data = await self.client.receive_some(min(65536, count - len(read)))
            if not data:
                break
            read += data
        return read


@asynccontextmanager
async def open_pair(**arguments: Any) -> AsyncIterator[Pair]:
    with trio.fail_after(10):
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        # A small window, set before connecting, so that a test need not fill megabytes.
        raw = trio.socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await raw.connect(listener.socket.getsockname())
        client = trio.SocketStream(raw)
        server = await listener.accept()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        async with listener, client, trio.open_nursery() as nursery:
            arguments.setdefault("nursery", nursery)
            arguments.setdefault("crowd", Turnstile(1))
            frames = FrameStream(server, **{"outbound_bytes_max": LIMIT} | arguments)
            yield Pair(client, server, frames, nursery)
            with trio.CancelScope() as scope:
                scope.cancel()
                await frames.aclose()
            nursery.cancel_scope.cancel()


# ------------------------------------------------------------------ sending


async def test_an_offer_is_written_at_once():
    async with open_pair() as pair:
        pair.frames.offer(b"now")

        assert pair.frames.statistics().pending_bytes == 0
        assert not pair.frames.statistics().writer_running
        assert pair.frames.statistics().bytes_written == 3
        assert await pair.read(3) == b"now"


async def test_what_is_offered_soon_goes_out_together_and_in_order():
    async with open_pair() as pair:
        pair.frames.offer_soon(b"first ")
        pair.frames.offer_soon(b"second ")
        pair.frames.offer(b"third")
        assert pair.frames.statistics().bytes_written == 0

        assert await pair.read(18) == b"first second third"
        assert not pair.frames.statistics().writer_running
        pair.frames.offer(b"now")
        assert pair.frames.statistics().pending_bytes == 0


async def test_what_is_offered_soon_is_said_before_the_last_words():
    async with open_pair() as pair:
        pair.frames.offer_soon(b"soon")
        pair.frames.finish(b"bye")
        pair.frames.offer_soon(b"late")

        assert await pair.read(7) == b"soonbye"
        assert pair.frames.statistics().pending_bytes == 0


async def test_what_is_offered_soon_and_does_not_fit_makes_the_rest_go_now():
    async with open_pair(outbound_bytes_max=10) as pair:
        for _ in range(3):
            pair.frames.offer_soon(b"x" * 10)
        assert pair.frames.statistics().pending_bytes == 10

        assert await pair.read(30) == b"x" * 30


async def test_what_is_offered_soon_is_bounded():
    async with open_pair() as pair:
        expected = pair.fill()
        room = LIMIT - pair.frames.statistics().pending_bytes
        pair.frames.offer_soon(b"x" * room)
        with pytest.raises(SlowConsumer):
            pair.frames.offer_soon(b"y" * LIMIT)

        assert await pair.read(len(expected) + room) == expected + b"x" * room


async def test_what_the_kernel_does_not_take_waits_and_comes_in_order():
    async with open_pair() as pair:
        expected = pair.fill()
        for i in range(100):
            data = b"%03d" % i * 100
            pair.frames.offer(data)
            expected += data

        assert await pair.read(len(expected)) == expected
        await wait_until(lambda: not pair.frames.statistics().writer_running)
        assert pair.frames.statistics().pending_bytes == 0


async def cancel_when_blocked(scope):
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


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


# ------------------------------------------------------------------ reading

JSON_PING = masked(1, b"ping")


class Turns(trio.abc.Instrument):
    """Counts the turns of the event loop, and what *count* says in each."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._before = count()
        self.most = 0

    def before_io_wait(self, timeout: float) -> None:
        now = self._count()
        self.most, self._before = max(self.most, now - self._before), now


@asynccontextmanager
async def listening(frames: FrameStream, received: list[str]) -> AsyncIterator[None]:
    """Messages are noted in *received* meanwhile."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(frames.listen, received.append)
        yield
        nursery.cancel_scope.cancel()


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


async def test_who_does_not_read_the_answers_to_their_pings_is_slow():
    async with open_pair(outbound_bytes_max=20_000) as pair:
        pair.frames.admit(UNBOUNDED, LIMIT)
        pair.fill()
        pair.nursery.start_soon(send_for_ever, pair.client, masked(9, b"p" * 125) * 100)

        with pytest.raises(Ended) as caught:
            await pair.frames.listen(lambda message: None)
        assert caught.value.refusal.closing is Closing.SLOW


async def send_for_ever(client, data):
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            await client.send_all(data)


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


async def test_who_says_little_does_not_wait_behind_those_who_say_much():
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
async def test_who_is_faster_than_may_be_is_told_which_limit(limits, what):
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


async def test_what_answers_a_push_is_not_counted():
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


# ------------------------------------------------------------------ closing


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


async def test_who_closes_second_waits_for_the_first():
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


# --------------------------------------------------------- as clients see it


def with_client(action):
    """Run `action(websocket)` with the `websockets` library in a thread."""

    async def run(edge):
        def talk():
            with connect(edge.url, compression=None, max_size=None) as websocket:
                return action(websocket)

        return await trio.to_thread.run_sync(talk)

    return run


async def test_texts_of_any_size_pass_through_in_fragments_too():
    @with_client
    def echoed(websocket):
        for message in ("é", "x" * 126, "x" * MESSAGE_BYTES_MAX):
            websocket.send(message)
            assert websocket.recv(timeout=5) == message
        websocket.send(["frag", "", "ments"])
        assert websocket.recv(timeout=5) == "fragments"
        websocket.ping().wait(5)

    async with open_edge() as edge:
        await echoed(edge)
        await wait_until(lambda: edge.door.statistics().open == 0)
        assert edge.door.statistics().failures == 0


async def test_a_message_too_large_gets_our_goodbye_and_our_code():
    @with_client
    def outcome(websocket):
        websocket.send("x" * (MESSAGE_BYTES_MAX * 8))
        goodbye = json.loads(websocket.recv(timeout=5))
        with pytest.raises(ClientClosed) as caught:
            websocket.recv(timeout=5)
        assert caught.value.rcvd
        return goodbye["detail"], caught.value.rcvd.code

    async with open_edge() as edge:
        detail = f"A frame may have {MESSAGE_BYTES_MAX} bytes; {MESSAGE_BYTES_MAX * 8} declared."
        assert await outcome(edge) == (detail, 4413)


VIOLATIONS = {
    "bad UTF-8": masked(1, b"\xff\xfe"),
    "unmasked": b"\x81\x01x",
    "binary": masked(2, b"x"),
    "close with a code that must not be sent": masked(8, b"\x03\xed"),
}


@pytest.mark.parametrize("violation", VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_a_violation_gets_our_goodbye_and_our_code(violation):
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(UPGRADE)
        await read_answer(client)
        # More behind it stays unread on the server, where closing carelessly would make a reset
        # that destroys the goodbye.
        await client.send_all(violation + masked(1, b"x" * 10_000))

        said = await read_all(client)
        assert b'"code":4400' in said
        assert b'"detail":"' in said
        assert said.endswith(close_frame(4400, "malformed"))


async def read_answer(client):
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += await client.receive_some()
    assert answer.startswith(b"HTTP/1.1 101 ")
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8theirs", b"\x03\xf1", b"\x13\x87theirs"])
async def test_a_close_of_the_peer_is_echoed_as_it_is(payload):
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(UPGRADE)
        await read_answer(client)
        await client.send_all(masked(8, payload))

        assert await read_all(client) == bytes((0x88, len(payload))) + payload


@pytest.mark.parametrize("early", [b"\x81", masked(1, b"hello")])
async def test_bytes_behind_an_upgrade_are_heard_after_the_answer(early):
    rest = masked(1, b"hello")[len(early) :]
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(UPGRADE + early)
        said = await read_answer(client)
        await client.send_all(rest) if rest else None

        while len(said) < 7:
            said += await client.receive_some()
        assert said == text_frame(b"hello")


async def test_a_ping_behind_our_last_words_upsets_nobody():
    goodbye = text_frame(b"goodbye") + close_frame(4000, "draining")

    async def part(stream, head, rest, turn, address):
        async with open_frames(stream, head, rest) as frames:
            frames.finish(goodbye)
            await frames.listen(lambda message: None)
            await frames.aclose()

    async with open_edge(websocket=part) as edge, await edge.connect() as client:
        await client.send_all(UPGRADE)
        early = await read_answer(client)
        await client.send_all(masked(9, b"ping") + masked(8, b"\x0f\xa0"))

        assert early + await read_all(client) == goodbye
        assert edge.door.statistics().failures == 0
