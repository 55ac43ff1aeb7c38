"""The client's WebSocket beside a server that has closed it: each call ends with `SocketClosed`."""

from __future__ import annotations

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
import trio
import wsproto
from wsproto import events

from tocsin_client.socket import (
    CLOSE_TIMEOUT,
    SEND_TIMEOUT,
    Socket,
    SocketClosed,
    SocketRefused,
)


class Peer(anyio.abc.ByteStream):
    """The stream to a server that agrees to the handshake, says *behind*, and is silent."""

    def __init__(self, *, behind: bytes = b"", goodbye: int | None = None) -> None:
        self._wire = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self._said: list[bytes] = []
        self._behind = behind
        self._goodbye = goodbye

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        self._wire.receive_data(item)
        for event in self._wire.events():
            if isinstance(event, events.Request):
                self._said.append(self._wire.send(events.AcceptConnection()))
                if self._goodbye is not None:
                    self._said.append(self._wire.send(events.CloseConnection(self._goodbye)))
                if self._behind:
                    self._said.append(self._behind)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.lowlevel.checkpoint()
        if not self._said:
            raise anyio.EndOfStream
        return self._said.pop(0)

    async def send_eof(self) -> None:
        raise AssertionError("a WebSocket has no half end")

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()


async def _open(peer: Peer) -> Socket:
    socket = Socket(peer)
    await socket._shake_hands("http://node")
    return socket


@pytest.mark.parametrize("behind", [b"", b"\x81\x02{}"], ids=["silent", "talks on"])
def test_a_frame_behind_the_servers_goodbye_is_not_sent(behind: bytes):
    async def work():
        socket = await _open(Peer(behind=behind, goodbye=4002))
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        assert closed.value.code == 4002
        with pytest.raises(SocketClosed):
            await socket.send({"type": "ack", "sequence": 1})
        with pytest.raises(SocketClosed):
            await socket.receive()
        await socket.close()

    anyio.run(work)


def test_a_server_that_breaks_the_protocol_is_left():
    async def work():
        socket = await _open(Peer(behind=b"\xff\xff\xff\xff"))
        with pytest.raises(SocketClosed):
            await socket.receive()
        await socket.close()

    anyio.run(work)


class Stuck(Peer):
    """A server that reads no more once the handshake is over."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = True

    async def send(self, item: bytes) -> None:
        if self.reads:
            await super().send(item)
        else:
            await anyio.sleep_forever()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self._said:
            return await super().receive(max_bytes)
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_server_that_reads_no_more_is_not_waited_for_without_end(autojump_clock):
    peer = Stuck()
    socket = await _open(peer)
    peer.reads = False
    with trio.fail_after(2 * SEND_TIMEOUT), pytest.raises(SocketClosed):
        await socket.send({"type": "ping"})
    with trio.fail_after(2 * CLOSE_TIMEOUT):
        await socket.close()


ANSWERS = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 101 Switching Pro",
    "no HTTP": b"\x00\xff\x16\x03\x01\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
    "a wrong accept": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: AAAA\r\n\r\n",
    "an extension unasked": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    "a hint": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "a body that is cut": b"HTTP/1.1 503 X\r\nContent-Length: 999\r\n\r\n{",
    "a chunk that is none": b"HTTP/1.1 502 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a huge head": b"HTTP/1.1 200 X\r\n" + b"X: " + b"y" * 200_000,
    "deep JSON": b"HTTP/1.1 503 X\r\nContent-Length: 30000\r\n\r\n" + b"[" * 30_000,
}


class Answering(Peer):
    """A server that answers the handshake with bytes of its own, and hangs up."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self._answer = answer

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        self._said, self._answer = [self._answer] if self._answer else [], b""


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_a_handshake_that_goes_wrong_ends_as_one_of_two_errors(answer: bytes):
    peer = Answering(answer)
    with pytest.raises((SocketClosed, SocketRefused)):
        await _open(peer)


FRAMES = {
    "a frame that is cut": b"\x81\x7e\xff\xff{",
    "a masked frame": b"\x81\x82abcd{}",
    "text that is no UTF-8": b"\x81\x02\xff\xff",
    "a continuation of nothing": b"\x80\x02{}",
    "an unknown opcode": b"\x83\x00",
    "a reserved bit": b"\xc1\x02{}",
    "a ping that is too long": b"\x89\x7e\x00\x80" + b"x" * 128,
    "a ping in pieces": b"\x09\x00",
    "a close without a code": b"\x88\x00",
    "a close of half a code": b"\x88\x01\x03",
    "a close with a code that is none": b"\x88\x02\x00\x01",
    "a close with a reason that is no text": b"\x88\x04\x0f\xa0\xff\xff",
    "two closes": b"\x88\x02\x0f\xa0" * 2,
    "a close, and more": b"\x88\x02\x0f\xa0\x81\x02{}",
    "a length beyond all bounds": b"\x81\x7f" + b"\xff" * 8,
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
async def test_each_call_ends_as_closed_on_garbage_of_a_server(frame: bytes):
    socket = await _open(Peer(behind=frame))
    with pytest.raises(SocketClosed):
        await _receive_all(socket)
    with pytest.raises(SocketClosed):
        await _receive_all(socket, says={"type": "ack", "sequence": 1})
    await socket.close()
    with pytest.raises(SocketClosed):
        await socket.receive()


async def _receive_all(socket: Socket, says: dict[str, object] | None = None) -> None:
    """Hear all that comes, and say something before each: what a socket that is half closed still
    takes is lost, and no error."""
    while True:
        if says is not None:
            await socket.send(says)
        await socket.receive()
