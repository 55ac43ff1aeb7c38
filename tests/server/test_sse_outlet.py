"""The outlet of an SSE stream writes events, and bounds those that wait."""

from __future__ import annotations

import json

import pytest
import trio

from tests.actors.clock_kit import settle
from tests.protocol.session_kit import a_session, an_entry, pushed
from tocsin.protocol.closing import Closing
from tocsin.protocol.frames import frames
from tocsin.protocol.log.cursor import Cursor
from tocsin.protocol.log.push import Push
from tocsin.server.follow.sse_events import COMMENT
from tocsin.server.follow.sse_outlet import SseOutlet


def an_outlet(bytes_max: int = 10_000, *, sequence: int = 0, horizon: int = 0) -> SseOutlet:
    outlet = SseOutlet("7.1", bytes_max, retry=1.5)
    outlet.begin(Cursor("e", sequence, horizon=horizon))
    return outlet


def a_push(sequence: int, size: int = 10) -> Push:
    entry = an_entry(sequence, size=size)
    return pushed(a_session(start=sequence - 1, window_bytes=1 << 20), entry)


def a_welcome() -> frames.Welcome:
    return frames.Welcome(
        "ann", "web", "7.1", "node", "e", "e.0", 0, 0, 0, True, 25.0, 64, frames.Resend(10.0, 5)
    )


def fields(event: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in event.decode().splitlines() if line)


async def test_each_frame_is_an_event_of_its_name():
    outlet = an_outlet()
    outlet.say(a_welcome())
    outlet.say(frames.Reset("epoch"))
    outlet.say(frames.Status("ok", "lost"))

    welcome, reset, status, rest = (await outlet.take(1)).split(b"\n\n")

    assert fields(welcome)["event"] == "welcome"
    assert fields(welcome)["retry"] == "1500"
    assert json.loads(fields(welcome)["data"])["device"] == "web"
    assert fields(reset) == {"event": "reset", "data": '{"type":"reset","reason":"epoch"}'}
    assert fields(status)["event"] == "status"
    assert rest == b""


async def test_the_id_of_a_push_is_the_cursor_behind_it():
    outlet = an_outlet()
    push = a_push(3)
    outlet.push(push)

    event = fields(await outlet.take(1))

    assert event == {"event": "push", "id": "e.3", "data": frames.encode_push(push).decode()}


async def test_a_character_that_may_end_a_line_is_escaped():
    outlet = an_outlet()
    push = a_push(1)
    push.notification = '{"title":"a\x85b\u2028c\u2029d"}'.encode()
    outlet.push(push)

    event = await outlet.take(1)

    assert len(event.decode().splitlines()) == 4
    notification = json.loads(fields(event)["data"])["notification"]
    assert notification["title"] == "a\x85b\u2028c\u2029d"


async def test_a_synced_stream_resumes_behind_the_entries_left_out():
    outlet = an_outlet()
    outlet.say(frames.Synced(9))

    assert fields(await outlet.take(1))["id"] == "e.9"


async def test_a_stream_that_resumes_in_the_middle_of_a_replay_is_not_reset_again():
    outlet = an_outlet(horizon=5)
    outlet.push(a_push(3))
    outlet.push(a_push(6))

    first, second, _ = (await outlet.take(1)).split(b"\n\n")

    assert fields(first)["id"] == "e.3~5"
    assert fields(second)["id"] == "e.6"


async def test_a_stream_in_silence_says_something_that_means_nothing(autojump_clock):
    outlet = an_outlet()

    assert await outlet.take(24) == COMMENT
    assert trio.current_time() == 24


async def test_a_stream_that_waits_hears_of_a_push_at_once(autojump_clock):
    outlet = an_outlet()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def take() -> None:
            assert b"event: push" in await outlet.take(24)

        await settle()
        outlet.push(a_push(1))
    assert trio.current_time() == 0


async def test_the_last_event_is_goodbye_and_then_nothing():
    outlet = an_outlet()
    outlet.push(a_push(1))
    outlet.end(Closing.DRAINING, 2.5)
    outlet.end(Closing.REPLACED)
    outlet.push(a_push(2))

    _, goodbye, _ = (await outlet.take(1)).split(b"\n\n")

    assert fields(goodbye)["retry"] == "2500"
    said = json.loads(fields(goodbye)["data"])
    assert said == {
        "type": "goodbye", "code": 4000, "reason": "draining", "reconnect": True, "after": 2.5
    }  # fmt: skip
    assert await outlet.take(1) == b""


async def test_a_client_that_should_not_come_back_is_asked_to_take_its_time():
    outlet = an_outlet()
    outlet.end(Closing.REPLACED, detail="Somebody else.")

    last = fields(await outlet.take(1))
    assert last["retry"] == "3600000"
    assert json.loads(last["data"])["detail"] == "Somebody else."


async def test_more_than_may_wait_ends_the_stream_as_slow():
    outlet = an_outlet(bytes_max=1000)
    outlet.push(a_push(1, size=500))
    outlet.push(a_push(2, size=500))

    [goodbye, _] = (await outlet.take(1)).split(b"\n\n")

    assert json.loads(fields(goodbye)["data"])["reason"] == "slow"


async def test_the_entries_handed_over_are_known_by_the_last_sequence():
    outlet = an_outlet()
    outlet.push(a_push(1))
    outlet.push(a_push(2))
    await outlet.take(1)
    assert outlet.handed == 2

    outlet.begin(Cursor("e", 0, horizon=9))
    outlet.push(a_push(1))
    await outlet.take(1)
    assert outlet.handed == 1

    outlet.say(frames.Synced(9))
    await outlet.take(1)
    assert outlet.handed == 0


@pytest.mark.parametrize("taken", [True, False])
async def test_bytes_that_the_socket_has_not_taken_count_as_waiting(taken):
    outlet = an_outlet(bytes_max=1000)
    outlet.push(a_push(1, size=500))
    await outlet.take(1)
    if taken:
        with trio.move_on_after(0):
            await outlet.take(1)
    outlet.push(a_push(2, size=500))

    assert (b'"slow"' in await outlet.take(1)) is not taken


# --- Written in the actor's turn ------------------------------------------------------------------


class Socket:
    """What is written past the task; *has_room* says whether the socket takes all of it."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.has_room = True

    def write(self, data: bytes) -> bool:
        self.chunks.append(data)
        return self.has_room


class Stream:
    """The task of a stream that writes directly, and the chunks that it was given."""

    def __init__(self, bytes_max: int = 10_000) -> None:
        self.outlet = an_outlet(bytes_max)
        self.socket = Socket()
        self.taken: list[tuple[float, bytes]] = []
        self.outlet.write_directly(self.socket.write)

    async def run(self, patience: float = 20.0) -> None:
        while chunk := await self.outlet.take(patience):
            self.taken.append((trio.current_time(), chunk))


@pytest.fixture
async def stream(autojump_clock):
    stream = Stream()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.run)
        await settle()
        yield stream
        nursery.cancel_scope.cancel()


async def test_an_event_is_written_while_the_task_waits_and_does_not_wake_it(
    autojump_clock, stream
):
    stream.outlet.push(a_push(1))
    await settle()

    [chunk] = stream.socket.chunks
    assert fields(chunk)["id"] == "e.1"
    assert stream.taken == []


async def test_the_session_is_told_once_what_the_socket_took_in_its_turn(autojump_clock, stream):
    stream.outlet.push(a_push(1))
    stream.outlet.push(a_push(2))
    stream.outlet.say(frames.Counters(1, 1))

    assert (stream.outlet.take_handed(), stream.outlet.take_handed()) == (2, 0)


async def test_events_that_are_held_are_one_write(autojump_clock, stream):
    stream.outlet.hold()
    stream.outlet.push(a_push(1))
    stream.outlet.push(a_push(2))
    assert stream.socket.chunks == []
    stream.outlet.let_go()

    [chunk] = stream.socket.chunks
    assert chunk.count(b"event: push") == 2
    assert stream.outlet.take_handed() == 2


async def test_nothing_overtakes_what_the_socket_has_not_taken(autojump_clock, stream):
    stream.socket.has_room = False
    stream.outlet.push(a_push(1))
    stream.outlet.push(a_push(2))
    assert len(stream.socket.chunks) == 1
    assert stream.outlet.take_handed() == 0

    await settle()
    [(_, second)] = stream.taken
    assert fields(second)["id"] == "e.2"
    stream.socket.has_room = True
    stream.outlet.push(a_push(3))
    assert len(stream.socket.chunks) == 2


async def test_a_rest_with_nothing_behind_it_goes_out_with_a_comment(autojump_clock, stream):
    stream.socket.has_room = False
    stream.outlet.push(a_push(1))
    await settle()

    assert [chunk for _, chunk in stream.taken] == [COMMENT]


async def test_the_socket_is_said_to_have_taken_a_rest_when_the_next_chunk_is_asked_for(
    autojump_clock,
):
    outlet, socket = an_outlet(), Socket()
    outlet.write_directly(socket.write)
    socket.has_room = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outlet.take, 20.0)
        await settle()
        outlet.push(a_push(1))

    assert outlet.handed == 1


async def test_a_comment_comes_so_long_after_the_last_write(autojump_clock, stream):
    await trio.sleep(15)  # waits for: virtual time
    stream.outlet.push(a_push(1))
    await trio.sleep(41)  # waits for: virtual time

    assert stream.taken == [(35.0, COMMENT), (55.0, COMMENT)]


async def test_a_goodbye_wakes_the_task_of_a_stream_that_writes_directly(autojump_clock, stream):
    stream.outlet.end(Closing.DISCONNECTED)
    await settle()

    [(_, goodbye)] = stream.taken
    assert b"event: goodbye" in goodbye


async def test_a_rest_that_the_socket_has_not_taken_counts_as_waiting(autojump_clock):
    stream = Stream(bytes_max=500)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.run)
        await settle()
        stream.socket.has_room = False
        stream.outlet.push(a_push(1, size=100))
        stream.outlet.push(a_push(2, size=100))
        assert stream.outlet.closing is Closing.SLOW
