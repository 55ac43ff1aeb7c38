"""Frame streams as clients see them: raw ones, and the `websockets` library."""

import json

import pytest
import trio
import trio.testing
from websockets.exceptions import ConnectionClosed as ClientClosed
from websockets.sync.client import connect

from tests.server.edge_kit import (
    MESSAGE_BYTES_MAX,
    UPGRADE,
    masked,
    open_edge,
    open_frames,
    read_all,
    wait_until,
)
from tocsin.server.websocket.wire_frames import close_frame, text_frame


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
