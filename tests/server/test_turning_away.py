"""A WebSocket that this node cannot take is told so inside, whatever it does meanwhile."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.server.edge_kit import UPGRADE, masked, open_edge, read_all
from tocsin.protocol.closing import Closing
from tocsin.server.websocket.turning_away import TIMEOUT, turn_away

FULL = "This node has as many connections as it may have."


async def away(stream, head, rest, turn, address):
    turn.leave()
    await turn_away(stream, head, rest, Closing.OVERLOADED, 3.0, FULL)
    assert stream.socket.fileno() < 0


@pytest.mark.parametrize("subprotocols", [None, ["other", "tocsin.v1.json"]])
async def test_a_client_hears_goodbye_and_when_to_come_back(subprotocols):
    def talk(url):
        with connect(url, subprotocols=subprotocols, compression=None) as websocket:
            with suppress(ConnectionClosed):
                websocket.send('{"type":"hello"}')
            goodbye = json.loads(websocket.recv(timeout=5))
            with pytest.raises(ConnectionClosed) as caught:
                websocket.recv(timeout=5)
            assert caught.value.rcvd
            return websocket.subprotocol, goodbye, caught.value.rcvd.code

    async with open_edge(websocket=away) as edge:
        subprotocol, goodbye, code = await trio.to_thread.run_sync(talk, edge.url)
        assert edge.door.statistics().failures == 0

    assert subprotocol == (subprotocols and "tocsin.v1.json")
    assert code == 4005
    assert goodbye == {
        "type": "goodbye",
        "code": 4005,
        "reason": "overloaded",
        "reconnect": True,
        "after": 3.0,
        "detail": FULL,
    }


async def test_a_client_that_goes_on_talking_hears_it_and_costs_a_bounded_time():
    async def flood(client):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                await client.send_all(masked(9, b"") * 1000)

    async with open_edge(websocket=away) as edge, await edge.connect() as client:
        await client.send_all(UPGRADE + masked(1, b"early"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, client)
            with trio.fail_after(TIMEOUT + 1):
                said = await read_all(client)
            nursery.cancel_scope.cancel()
        assert b'"code":4005' in said
        assert edge.door.statistics().failures == 0


async def test_a_client_that_has_gone_already_is_no_failure():
    async with open_edge(websocket=away) as edge:
        async with await edge.connect() as client:
            await client.send_all(UPGRADE)
        await edge.expect_alive()
        assert edge.door.statistics().failures == 0
