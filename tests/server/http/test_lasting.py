"""Answers that last: written as they come, while their client is watched."""

import socket
from collections.abc import Callable

import pytest
import trio
import trio.testing

from tests.server.edge_kit import GET, open_edge, read_all, wait_until
from tests.server.http.host_kit import read_response
from tocsin.server.http.application import Incoming, RequestPlan
from tocsin.server.http.client_watch import KEPT_MAX
from tocsin.server.http.lasting import LastingAnswer
from tocsin.server.http.limits import HttpLimits
from tocsin.server.http.response import Lasting, chunk
from tocsin.server.http.wire import PeerGone, Wire
from tocsin.server.request_head import parse_head

LAST = b"0\r\n\r\n"


def get(path: bytes, version: bytes = b"1.1") -> bytes:
    return b"GET %s HTTP/%s\r\nHost: h\r\n\r\n" % (path, version)


async def test_an_answer_that_lasts_comes_in_chunks_and_the_connection_goes_on():
    async with open_edge() as edge, await edge.connect() as client:
        for _ in range(2):
            await client.send_all(get(b"/three"))
            answer = await read_response(client, LAST)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            for line in (b"Transfer-Encoding: chunked", b"Content-Type: text/plain", b"X-Ours: a"):
                assert b"\r\n%b\r\n" % line in head + b"\r\n"
            assert b"Connection: close" not in head
            assert body == b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n" + LAST
        await client.send_all(GET)
        assert (await read_response(client, b"}\n")).startswith(b"HTTP/1.1 200 ")
        # Noted when each is over.
        await wait_until(lambda: [status for _, status, _ in edge.application.answers] == [200] * 3)


async def test_to_a_client_of_http_1_0_it_ends_with_the_connection():
    async with open_edge() as edge:
        answer = await edge.say(get(b"/three", b"1.0"))
        assert answer.endswith(b"\r\n\r\nonetwothree")
        assert b"Connection: close" in answer
        assert b"chunked" not in answer


async def test_an_answer_without_a_chunk_is_whole_all_the_same():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(get(b"/none"))
        answer = await read_response(client, LAST)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\n" + LAST)


async def test_an_answer_that_breaks_before_it_has_begun_is_a_problem():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(get(b"/breaks-at-once"))
        assert (await read_response(client, b"}\n")).startswith(b"HTTP/1.1 500 ")
        await client.send_all(GET)
        assert (await read_response(client, b"}\n")).startswith(b"HTTP/1.1 200 ")


async def test_an_answer_that_breaks_in_the_middle_ends_without_the_last_chunk():
    async with open_edge() as edge:
        answer = await edge.say(get(b"/breaks"))
        assert answer.endswith(b"3\r\none\r\n")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert [about.head.path for about in edge.application.refused if about.head] == ["/breaks"]
        assert edge.door.statistics().failures == 0


async def test_a_client_that_closes_its_half_is_answered_if_it_is_soon():
    async with open_edge(limits=HttpLimits(gone_grace=5)) as edge, await edge.connect() as client:
        await client.send_all(get(b"/slow-lasting"))
        await edge.slow_entered.wait()
        await client.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.02)
        edge.slow_may_end.set()
        assert (await read_all(client)).endswith(b"done")


async def test_bytes_behind_a_lasting_request_are_the_next_request():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(get(b"/slow-lasting"))
        await edge.slow_entered.wait()
        await client.send_all(GET[:10])
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.send_all(GET[10:])
        await trio.testing.wait_all_tasks_blocked(0.02)
        edge.slow_may_end.set()
        assert (await read_response(client, b"}\n")).count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("early", [0, 1])
async def test_a_client_that_says_too_much_is_let_go_whenever_it_says_it(early):
    async with open_edge() as edge, await edge.connect() as client:
        too_much = b"x" * KEPT_MAX
        await client.send_all(get(b"/slow-lasting") + too_much * early)
        if not early:
            await edge.slow_entered.wait()
            await client.send_all(too_much)
        assert await read_all(client) == b""
        await wait_until(lambda: edge.host.connection_count == 0)
        assert edge.door.statistics().failures == 0


async def test_a_host_that_ends_kills_what_lasts():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(get(b"/slow-lasting"))
        await edge.slow_entered.wait()
        await edge.host.stop(0.05)
        assert await read_all(client) == b""
        assert edge.host.connection_count == 0


# --- Past the task --------------------------------------------------------------------------------


async def test_chunks_that_are_written_past_the_task_stand_in_their_order():
    here, there = socket.socketpair()
    here.setblocking(False)
    large = b"x" * (4 << 20)
    heads = parse_head(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    incoming = Incoming(RequestPlan(0), heads, None, b"", "r", "a")
    ways: list[Callable[[bytes], bool]] = []
    send, receive = trio.open_memory_channel[bytes](0)
    client = trio.SocketStream(trio.socket.from_stdlib_socket(there))
    server = trio.SocketStream(trio.socket.from_stdlib_socket(here))
    answering = LastingAnswer(Wire(server, write_timeout=60.0), incoming, "")
    answer = Lasting(receive, "text/plain", (), ways.append)
    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(answering.write, answer, lambda: False)
        await send.send(b"one")
        got = await read_until(client, b"one\r\n")
        [write] = ways
        assert write(b"two")
        got += await read_until(client, b"two\r\n")
        assert not write(large)
        nursery.start_soon(send_last, send, b"four")
        got += await read_until(client, LAST)
    _, _, body = got.partition(b"\r\n\r\n")
    assert body == b"".join(map(chunk, (b"one", b"two", large, b"four", b"")))


async def test_to_a_client_that_has_gone_nothing_is_written_past_the_task():
    here, there = socket.socketpair()
    server = trio.SocketStream(trio.socket.from_stdlib_socket(here))
    wire = Wire(server, write_timeout=60.0)
    there.close()

    assert wire.write_now(b"one") == 0
    with pytest.raises(PeerGone):
        await wire.write(b"one")
    wire.close()


async def read_until(client: trio.SocketStream, end: bytes) -> bytes:
    """All bytes up to *end*, read in small pieces of a large chunk."""
    read = bytearray()
    while not read.endswith(end):
        read += await client.receive_some(65536)
    return bytes(read)


async def send_last(channel: trio.MemorySendChannel[bytes], data: bytes) -> None:
    async with channel:
        await channel.send(data)
