"""The WebSocket of `tocsin load` and of the benchmarks: handshake, frames, and coming back."""

from __future__ import annotations

import pytest

from tests.load.client_kit import connected
from tocsin.load.socket_client import SocketClient
from tocsin.load.wire import PONG, text_frame

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class Client(SocketClient):
    def __init__(self) -> None:
        super().__init__("shop.example")
        self.heard: list[bytes] = []
        self.heads: list[bytes] = []

    def credential(self) -> str:
        return "t0ken"

    def opened(self) -> None:
        self.send(b"hello")

    def refused(self, head: bytes) -> None:
        self.heads.append(head)
        self.abort()

    def received(self, payload: bytes) -> None:
        self.heard.append(payload)


def framed(payload: bytes, opcode: int = 1) -> bytes:
    return bytes((0x80 | opcode, len(payload))) + payload


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_client_says_hello_and_hears_frames_however_they_are_cut(size):
    client = Client()
    far = connected(client)
    asked = far.take()
    assert asked.startswith(b"GET /v1/ws HTTP/1.1\r\nHost: shop.example\r\n")
    assert b"Authorization: Bearer t0ken\r\n" in asked
    stream = UPGRADE + framed(b"welcome") + framed(b"", opcode=9) + framed(b"synced")
    for start in range(0, len(stream), size):
        client.data_received(stream[start : start + size])
    assert client.heard == [b"welcome", b"synced"]
    assert far.take() == text_frame(b"hello") + PONG


def test_a_close_frame_ends_the_connection_and_the_client_may_connect_again():
    client = Client()
    far = connected(client)
    client.data_received(UPGRADE + framed(b"", opcode=8) + framed(b"too late"))
    assert far.ended
    client.send(b"unheard")
    again = connected(client)
    client.data_received(UPGRADE[:10])
    client.data_received(UPGRADE[10:] + framed(b"welcome"))
    assert client.heard[-1] == b"welcome"
    assert again.take().endswith(text_frame(b"hello"))


def test_another_answer_than_the_upgrade_is_a_refusal():
    client = Client()
    far = connected(client)
    client.data_received(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    assert client.heads == [b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0"]
    assert far.ended
    assert client.heard == []
