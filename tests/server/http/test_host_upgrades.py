"""Upgrades of a connection: to WebSocket at any request, to others at none."""

import pytest

from tests.server.edge_kit import GET, UPGRADE, UPGRADE_LINES, masked, open_edge
from tests.server.http.host_kit import ENDS, read_response

H2C_LINES = (
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
)


@pytest.mark.parametrize("behind", [b"", masked(1, b"hello")], ids=["", "frame"])
@pytest.mark.parametrize(
    "connection", [b"Upgrade", b"keep-alive, Upgrade", b"upgrade,keep-alive,"], ids=str
)
async def test_any_request_of_a_connection_may_be_an_upgrade(behind, connection):
    upgrade = UPGRADE.replace(b"Connection: Upgrade", b"Connection: " + connection)
    async with open_edge() as edge, await edge.connect() as client:
        for _ in range(2):
            await client.send_all(GET)
            await read_response(client, ENDS)
        await client.send_all(upgrade + behind)
        answer = await read_response(client, b"\x81\x05hello" if behind else b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        await client.send_all(masked(1, b"again"))
        await read_response(client, b"again")
        assert edge.door.statistics().failures == 0


async def test_an_upgrade_may_be_pipelined_behind_a_request():
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(GET + UPGRADE + masked(1, b"hello"))
        answer = await read_response(client, b"\x81\x05hello")
        assert answer.index(b'{"ok":true}') < answer.index(b"HTTP/1.1 101 ")


async def test_an_upgrade_that_is_refused_leaves_the_connection_open():
    evil = UPGRADE.replace(b"Host: h", b"Host: h\r\nOrigin: https://evil.example")
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(evil + GET)
        answer = await read_response(client, ENDS)
        assert answer.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /hello HTTP/1.1\r\nHost: h\r\n" + H2C_LINES + b"\r\n",
        b"GET /hello HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
        b"HEAD /hello HTTP/1.1\r\nHost: h\r\n" + UPGRADE_LINES + b"\r\n",
    ],
    ids=["h2c", "no connection field", "HEAD"],
)
async def test_other_upgrades_are_ignored(request_):
    async with open_edge() as edge, await edge.connect() as client:
        await client.send_all(request_)
        assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_the_preface_of_http2_as_second_request_is_refused():
    async with open_edge() as edge:
        answer = await edge.say(GET + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert b'{"ok":true}' in answer
        assert b"HTTP/1.1 505 " in answer or b"HTTP/1.1 400 " in answer
        await edge.expect_alive()


async def test_a_host_that_is_not_ascii_in_a_second_request_is_refused():
    async with open_edge() as edge:
        answer = await edge.say(GET + b"GET /hello HTTP/1.1\r\nHost: \xe9\r\n\r\n")
        assert b"HTTP/1.1 400 " in answer
        assert edge.door.statistics().failures == 0


@pytest.mark.parametrize("garbage", [b"\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\nX y\r\n\r\n"])
async def test_garbage_as_second_request_gets_a_problem(garbage):
    async with open_edge() as edge:
        answer = await edge.say(GET + garbage)
        assert b"HTTP/1.1 400 " in answer
        assert b"application/problem+json" in answer.partition(b"HTTP/1.1 400 ")[2]
