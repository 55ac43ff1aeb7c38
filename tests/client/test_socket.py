"""The client's WebSocket beside a server that has closed it: each call ends with `SocketClosed`."""

from __future__ import annotations

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
import wsproto
from wsproto import events

from tocsin_client.socket import Socket, SocketClosed


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
