"""Our stream over real loopback sockets; the client is raw, or the `websockets` library."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, wrap_server_stream
from websockets.exceptions import ConnectionClosed as ClientClosed
from websockets.sync.client import connect

from tests.server.edge import (
    CLOSES,
    MESSAGE_BYTES_MAX,
    UPGRADE,
    masked,
    open_edge,
    read_all,
    wait_until,
)
from tocsin.server.frame_stream import FrameStream, SlowConsumer
from tocsin.server.websocket_frames import close_frame, text_frame

LIMIT = 100_000
MALFORMED = b'{"type":"goodbye","code":4400}'
TOO_LARGE = b'{"type":"goodbye","code":4413}'
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
        while not self.frames.pending_bytes:
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
            frames = FrameStream(server, **{"outbound_bytes_max": LIMIT} | arguments)
            yield Pair(client, server, frames, nursery)
            await trio.aclose_forcefully(frames)
            nursery.cancel_scope.cancel()


# ------------------------------------------------------------------ sending


async def test_an_offer_is_written_at_once():
    async with open_pair() as pair:
        pair.frames.offer(b"now")

        assert pair.frames.pending_bytes == 0
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
        assert pair.frames.pending_bytes == 0


async def test_what_is_offered_soon_is_said_before_the_last_words():
    async with open_pair() as pair:
        pair.frames.offer_soon(b"soon")
        pair.frames.finish(b"bye")
        pair.frames.offer_soon(b"late")

        assert await pair.read(7) == b"soonbye"
        assert pair.frames.pending_bytes == 0


async def test_what_is_offered_soon_and_does_not_fit_makes_the_rest_go_now():
    async with open_pair(outbound_bytes_max=10) as pair:
        for _ in range(3):
            pair.frames.offer_soon(b"x" * 10)
        assert pair.frames.pending_bytes == 10

        assert await pair.read(30) == b"x" * 30


async def test_what_is_offered_soon_is_bounded():
    async with open_pair() as pair:
        expected = pair.fill()
        room = LIMIT - pair.frames.pending_bytes
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
        assert pair.frames.pending_bytes == 0


async def test_send_all_waits_for_its_turn_and_until_all_is_out():
    async with open_pair() as pair:
        before = pair.fill()
        sent = trio.Event()

        async def send():
            await pair.frames.send_all(b"control")
            sent.set()

        pair.nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        pair.frames.offer(b"after")
        assert not sent.is_set()

        assert await pair.read(len(before) + 12) == before + b"controlafter"
        await sent.wait()


async def test_a_cancelled_send_all_stays_whole():
    async with open_pair() as pair:
        before = pair.fill()
        with trio.CancelScope() as scope:
            pair.nursery.start_soon(cancel_when_blocked, scope)
            await pair.frames.send_all(b"whole")
        assert scope.cancelled_caught
        pair.frames.offer(b"next")

        assert await pair.read(len(before) + 9) == before + b"wholenext"


async def send_for_ever(frames):
    while True:
        await frames.send_all(b"x" * 1000)


async def cancel_when_blocked(scope):
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


async def test_a_slow_consumer_is_noticed_at_the_limit():
    async with open_pair() as pair:
        expected = pair.fill()
        room = LIMIT - pair.frames.pending_bytes
        pair.frames.offer(b"x" * room)
        with pytest.raises(SlowConsumer):
            pair.frames.offer(b"y")

        assert pair.frames.pending_bytes == LIMIT
        assert await pair.read(len(expected) + room) == expected + b"x" * room


async def test_one_frame_over_the_limit_is_refused_or_finished_never_cut():
    async with open_pair(outbound_bytes_max=100) as pair:
        frame = bytes(256 << 10)  # more than the kernel holds for so small a buffer
        with pytest.raises(SlowConsumer):
            pair.frames.offer(frame)
        assert pair.frames.pending_bytes > 100
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
        await pair.frames.send_all(b"latest")
        pair.nursery.start_soon(pair.frames.aclose)

        assert await read_all(pair.client) == close_frame(4000)


async def test_an_offer_to_a_peer_that_is_gone_is_dropped():
    async with open_pair() as pair:
        pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        await pair.client.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await send_for_ever(pair.frames)
        pair.frames.offer(b"x")

        assert not pair.frames.is_open
        assert pair.frames.pending_bytes == 0


async def test_a_reset_wakes_those_who_wait_to_send_and_to_receive():
    async with open_pair() as pair:
        pair.fill()
        woken = []

        async def expect_broken(action, *arguments):
            with pytest.raises(trio.BrokenResourceError):
                await action(*arguments)
            woken.append(action)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_broken, pair.frames.send_all, b"x")
            nursery.start_soon(expect_broken, pair.frames.receive_some)
            await trio.testing.wait_all_tasks_blocked()
            pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            await pair.client.aclose()
        assert len(woken) == 2


async def test_a_closed_stream_drops_offers_and_refuses_the_rest():
    async with open_pair() as pair:
        await trio.aclose_forcefully(pair.frames)
        pair.frames.offer(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await pair.frames.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await pair.frames.receive_some()
        await pair.frames.aclose()


async def test_after_its_nursery_was_cancelled_closing_still_writes_what_waits():
    async with trio.open_nursery() as outer:
        nursery: trio.Nursery = await outer.start(run_a_nursery)
        async with open_pair(nursery=nursery) as pair:
            expected = pair.fill()
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            with pytest.raises(trio.BrokenResourceError):
                await pair.frames.send_all(b"")
            pair.frames.finish(b"bye")
            pair.nursery.start_soon(pair.frames.aclose)

            assert await read_all(pair.client) == expected + b"bye"


async def run_a_nursery(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    async with trio.open_nursery() as nursery:
        task_status.started(nursery)
        await trio.sleep_forever()


# ---------------------------------------------------------------- receiving


async def test_what_follows_the_head_is_read_only_after_the_answer():
    async with open_pair(prefix=UPGRADE + b"early") as pair:
        await pair.client.send_all(b"later")
        read = b""
        while len(read) < len(UPGRADE):
            read += await pair.frames.receive_some(50)
        assert read == UPGRADE

        received = []

        async def receive():
            received.append(await pair.frames.receive_some(50))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            assert not received
            await pair.frames.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        assert received == [b"early"]
        assert await pair.frames.receive_some(50) == b"later"


async def test_the_time_of_the_last_bytes_is_kept():
    async with open_pair() as pair:
        before = pair.frames.last_received
        await trio.sleep(0.01)  # waits for: the clock itself
        await pair.client.send_all(b"x")
        await pair.frames.receive_some()

        assert before + 0.01 <= pair.frames.last_received <= trio.current_time()


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


async def test_closing_wakes_the_reader():
    async with open_pair(linger_timeout=60) as pair, trio.open_nursery() as nursery:

        async def expect_closed():
            with pytest.raises(trio.ClosedResourceError):
                await pair.frames.receive_some()

        nursery.start_soon(expect_closed)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(pair.frames.aclose)
        await pair.client.send_eof()


# --------------------------------------------- with trio-websocket on top


def with_client(action):
    """Run `action(websocket)` with the `websockets` library in a thread."""

    async def run(edge):
        def talk():
            with connect(edge.url, compression=None, max_size=None) as websocket:
                return action(websocket)

        return await trio.to_thread.run_sync(talk)

    return run


async def test_text_and_binary_pass_through():
    @with_client
    def echoed(websocket):
        for message in ("é", b"\x00\xff", "x" * MESSAGE_BYTES_MAX):
            websocket.send(message)
            assert websocket.recv(timeout=5) == message
        websocket.ping().wait(5)

    async with open_edge() as edge:
        await echoed(edge)
        await wait_until(lambda: edge.door.statistics().open == 0)
        assert edge.door.statistics().failures == 0


async def test_a_message_too_large_gets_our_goodbye_and_our_code():
    @with_client
    def outcome(websocket):
        websocket.send("x" * (MESSAGE_BYTES_MAX * 8))
        goodbye = websocket.recv(timeout=5, decode=False)
        with pytest.raises(ClientClosed) as caught:
            websocket.recv(timeout=5)
        assert caught.value.rcvd
        return goodbye, caught.value.rcvd.code

    async with open_edge() as edge:
        assert await outcome(edge) == (TOO_LARGE, 4413)


VIOLATIONS = {
    "bad UTF-8": masked(1, b"\xff\xfe"),
    "unmasked": b"\x81\x01x",
    "reserved bit": masked(1, b"x", first=0xC1),
    "unknown opcode": masked(3, b"x"),
    "fragmented ping": masked(9, b"x", first=0x09),
    "long ping": masked(9, b"x" * 126),
    "continuation of nothing": masked(0, b"x"),
    "text within text": masked(1, b"a", first=0x01) + masked(1, b"b"),
    "close without a whole code": masked(8, b"x"),
    "close with a code that must not be sent": masked(8, b"\x03\xed"),
    "close with bad UTF-8": masked(8, b"\x03\xe8\xff"),
}


@pytest.mark.parametrize("violation", VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_a_violation_gets_our_goodbye_and_our_code(violation):
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(UPGRADE)
        await read_answer(client)
        # More behind it stays unread on the server, where closing carelessly would make a reset
        # that destroys the goodbye.
        await client.send_all(violation + masked(1, b"x" * 10_000))

        assert await read_all(client) == text_frame(MALFORMED) + close_frame(4400, "malformed")


async def read_answer(client):
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += await client.receive_some()
    assert answer.startswith(b"HTTP/1.1 101 ")
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("code", [1000, 1009, 4999])
async def test_a_close_of_the_peer_is_echoed_as_it_is(code):
    payload = code.to_bytes(2, "big") + b"theirs"
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(UPGRADE)
        await read_answer(client)
        await client.send_all(masked(8, payload))

        assert await read_all(client) == close_frame(code, "theirs")


@pytest.mark.parametrize("early", [b"\x81", masked(1, b"hello")])
async def test_bytes_behind_an_upgrade_wait_for_the_answer(early):
    rest = masked(1, b"hello")[len(early) :]
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(UPGRADE + early)
        assert await read_answer(client) == b""
        await client.send_all(rest) if rest else None

        assert await client.receive_some(7) == text_frame(b"hello")


async def test_messages_that_somebody_wants_go_past_trio_websocket():
    wanted = []

    async def listen(stream, head, raw, turn):
        async with trio.open_nursery() as nursery:
            frames = FrameStream(stream, prefix=raw, nursery=nursery, translate_close=CLOSES)
            websocket = await (await wrap_server_stream(nursery, frames)).accept()
            wanted.append(await websocket.get_message())
            frames.on_message = wanted.append
            frames.offer(text_frame(b"go on"))
            with pytest.raises(ConnectionClosed):
                await websocket.get_message()
            await frames.aclose()
            nursery.cancel_scope.cancel()

    async with open_edge(websocket=listen) as edge, await edge.connect() as client:
        await client.send_all(UPGRADE)
        await read_answer(client)
        await client.send_all(masked(1, b"hello") + masked(1, b"one")[:5])
        assert await client.receive_some(7) == text_frame(b"go on")
        await client.send_all(masked(1, b"one")[5:] + masked(9, b"p") + masked(1, b"two"))
        assert await client.receive_some(3) == b"\x8a\x01p"
        await client.send_all(masked(8, b""))
        await read_all(client)

    assert wanted == ["hello", "one", "two"]


async def test_a_rejected_handshake_gets_no_frames():
    async def reject(stream, head, raw, turn):
        async with trio.open_nursery() as nursery:
            frames = FrameStream(stream, prefix=raw, nursery=nursery, translate_close=CLOSES)
            await (await wrap_server_stream(nursery, frames)).reject(401, body=b"who are you?")
            await frames.aclose()
            nursery.cancel_scope.cancel()

    async with open_edge(websocket=reject) as edge:
        answer = await edge.say(UPGRADE)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert answer.endswith(b"who are you?")


async def test_finish_closes_without_upsetting_trio_websocket_when_a_ping_comes():
    goodbye = text_frame(b"goodbye") + close_frame(4000, "draining")

    async def part(stream, head, raw, turn):
        async with trio.open_nursery() as nursery:
            frames = FrameStream(stream, prefix=raw, nursery=nursery, translate_close=CLOSES)
            websocket = await (await wrap_server_stream(nursery, frames)).accept()
            frames.finish(goodbye)
            with pytest.raises(ConnectionClosed):
                await websocket.get_message()
            await frames.aclose()
            nursery.cancel_scope.cancel()

    async with open_edge(websocket=part) as edge, await edge.connect() as client:
        await client.send_all(UPGRADE)
        early = await read_answer(client)
        await client.send_all(masked(9, b"ping") + masked(8, b"\x0f\xa0"))

        assert early + await read_all(client) == goodbye
        assert edge.door.statistics().failures == 0
