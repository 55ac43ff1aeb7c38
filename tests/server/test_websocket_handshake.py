"""The answer to a handshake, judged by wsproto in the client's role and by the RFC's example."""

from __future__ import annotations

import pytest
import trio
from wsproto import WSConnection
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, Request

from tests.server.edge_kit import UPGRADE, UPGRADE_LINES, masked, open_edge, read_all
from tests.server.test_newcomers import Played
from tocsin.server.admission.refusals import EdgeRefusal, Reason
from tocsin.server.request_head import parse_head
from tocsin.server.websocket.handshake import subprotocols, switching_protocols


def head(*lines: bytes):
    return parse_head(UPGRADE[:-2] + b"".join(line + b"\r\n" for line in lines) + b"\r\n")


def test_the_key_of_the_rfc_is_accepted_as_there():
    answer = switching_protocols(head())
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert b"Sec-WebSocket-Protocol" not in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("lines", "offered", "answered"),
    [
        ([], set(), False),
        ([b"Sec-WebSocket-Protocol: tocsin.v1.json"], {"tocsin.v1.json"}, True),
        ([b"Sec-WebSocket-Protocol: a ,tocsin.v1.json,"], {"a", "tocsin.v1.json"}, True),
        (
            [b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: tocsin.v1.json"],
            {"a", "tocsin.v1.json"},
            True,
        ),
        ([b"Sec-WebSocket-Protocol: Tocsin.V1.json"], {"Tocsin.V1.json"}, False),
        ([b"Sec-WebSocket-Protocol: , ,"], set(), False),
        ([b"Sec-WebSocket-Extensions: permessage-deflate; a=b, ,;"], set(), False),
    ],
)
def test_a_subprotocol_is_answered_if_it_was_offered(lines, offered, answered):
    assert subprotocols(head(*lines)) == offered
    assert (b"tocsin.v1.json" in switching_protocols(head(*lines))) == answered


def test_another_implementation_accepts_the_answer():
    client = WSConnection(ConnectionType.CLIENT)
    asked = client.send(Request(host="h", target="/v1/ws", subprotocols=["tocsin.v1.json"]))
    client.receive_data(switching_protocols(parse_head(asked)))
    [accepted] = client.events()
    assert accepted == AcceptConnection(subprotocol="tocsin.v1.json")


@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: Upgrade\r\n",
        b"Connection: keep-alive\r\n",
        b"Sec-WebSocket-Protocol: ,,\r\n",
        b"Sec-WebSocket-Extensions: ;;,=\r\n",
        b"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: x\r\n",
    ],
)
async def test_odd_handshakes_hold_no_places(lines):
    """A handshake that is let through is answered at once; with two places, six follow it."""
    request = b"GET /v1/ws HTTP/1.1\r\nHost: h\r\n" + UPGRADE_LINES + lines + b"\r\n"
    played = Played()
    async with (
        open_edge(websocket=played.serve, handshakes_max=2) as edge,
        trio.open_nursery() as nursery,
    ):

        async def shake_hands() -> None:
            async with await edge.connect() as client:
                await client.send_all(request)
                with trio.fail_after(5):
                    answer = await client.receive_some()
                assert answer.startswith(b"HTTP/1.1 101 ")

        for _ in range(6):
            nursery.start_soon(shake_hands)


async def test_a_stopping_node_says_so_inside():
    played = Played()
    played.readiness.stopping = True
    async with open_edge(websocket=played.serve) as edge, await edge.connect() as client:
        await client.send_all(UPGRADE)
        said = await read_all(client)
    assert said.startswith(b"HTTP/1.1 101 ")
    assert b'"code":4000,"reason":"draining","reconnect":true,"after":1.0' in said


@pytest.mark.parametrize("origin", [b"https://elsewhere.example", b"null"])
async def test_a_page_from_elsewhere_is_refused_before_it_takes_a_place(origin):
    played = Played()
    upgrade = parse_head(UPGRADE[:-2] + b"Origin: " + origin + b"\r\n\r\n")
    with pytest.raises(EdgeRefusal) as caught:
        played.edge.check(upgrade)
    assert (caught.value.reason, caught.value.problem.status) == (Reason.ORIGIN, 403)


async def test_a_connection_that_is_thrown_out_is_counted():
    played = Played()
    async with open_edge(websocket=played.serve) as edge, await edge.connect() as client:
        await client.send_all(UPGRADE + masked(1, b"no hello"))
        assert b'"code":4400' in await read_all(client)
    assert played.refusals.counts[Reason.FRAME] == 1
