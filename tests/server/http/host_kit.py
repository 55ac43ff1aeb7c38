"""Requests and clients for an HTTP host with strict limits."""

import socket
from functools import partial

import trio
import trio.testing

from tests.server.edge_kit import open_edge
from tocsin.server.http.limits import HttpLimits

open_strict_edge = partial(
    open_edge, limits=HttpLimits(write_timeout=0.2, linger_timeout=0.3), body_bytes_max=100_000
)


ENDS = b'{"ok":true}\n'


def post(path: bytes, *lines: bytes) -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: h\r\n" % path
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


async def read_response(client: trio.SocketStream, ending: bytes) -> bytes:
    read = b""
    while not read.endswith(ending):
        data = await client.receive_some()
        assert data, read
        read += data
    return read


async def stalled_reader(edge, path=b"/huge") -> trio.SocketStream:
    """A client that asks for much and reads nothing."""
    raw = trio.socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await raw.connect(("127.0.0.1", edge.port))
    client = trio.SocketStream(raw)
    await client.send_all(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path)
    return client
