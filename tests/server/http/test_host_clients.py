"""Clients that never read, reset, close their half, or have gone."""

import socket

import pytest
import trio
import trio.testing

from tests.server.edge_kit import GET, open_edge, read_all, wait_until
from tests.server.http.host_kit import open_strict_edge, post, stalled_reader
from tocsin.server.http.limits import HttpLimits

# ------------------------------------------------------------- hostile readers


@pytest.mark.parametrize("path", [b"/huge", b"/endless"])
async def test_a_client_that_never_reads_is_let_go(path):
    async with (
        open_strict_edge() as edge,
        await stalled_reader(edge, path),
    ):
        await wait_until(lambda: edge.host.connection_count == 1)
        await wait_until(lambda: edge.host.connection_count == 0)
        assert edge.door.statistics().failures == 0
        await edge.expect_alive()


async def test_a_client_that_resets_in_the_middle_is_no_failure():
    async with open_edge() as edge:
        for _ in range(5):
            client = await stalled_reader(edge, b"/endless")
            await client.receive_some(1000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await client.aclose()
        await wait_until(lambda: edge.host.connection_count == 0)
        assert edge.door.statistics().failures == 0


async def test_a_client_that_goes_with_a_request_pipelined_leaves_nothing_behind():
    async with open_edge() as edge:
        for _ in range(10):
            client = await edge.connect()
            await client.send_all(GET + GET + b"x")
            await client.receive_some(30)
            await client.aclose()
        await wait_until(lambda: edge.door.statistics().open == 0)
        assert edge.door.statistics().failures == 0


# ------------------------------------------------------------------ half-close


@pytest.mark.parametrize(
    "request_",
    [
        GET,
        post(b"/lean", b"Content-Length: 5") + b"hello",
        post(b"/length", b"Content-Length: 5") + b"hello",
        GET + GET,
    ],
    ids=["Quart", "lean", "body", "two"],
)
async def test_a_client_that_closes_its_half_is_answered_whole(request_):
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(request_)
        await client.send_eof()
        answer = await read_all(client)
        assert answer.count(b"HTTP/1.1 200 ") == request_.count(b"HTTP/1.1")
        await wait_until(lambda: edge.host.connection_count == 0)


async def test_a_client_that_closes_its_half_is_kept_for_a_slow_answer():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.send_eof()
        await edge.slow_entered.wait()
        await trio.testing.wait_all_tasks_blocked(0.05)
        edge.slow_may_end.set()
        assert (await read_all(client)).endswith(b"done")


async def test_a_client_that_has_gone_ends_a_lasting_answer():
    limits = HttpLimits(gone_grace=0.05)
    async with open_edge(limits=limits) as edge:
        client = await edge.connect()
        await client.send_all(b"GET /slow-lasting HTTP/1.1\r\nHost: h\r\n\r\n")
        await edge.slow_entered.wait()
        await client.aclose()
        await wait_until(lambda: edge.host.connection_count == 0)
        assert edge.door.statistics().failures == 0


# --------------------------------------------------------------- the lean lane


async def test_a_lasting_answer_ends_with_a_client_that_says_more_and_more():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(GET.replace(b"hello", b"slow-lasting"))
        await edge.slow_entered.wait()
        await client.send_all(b"x" * 20_000)
        assert await read_all(client) == b""
        await wait_until(lambda: edge.host.connection_count == 0)
