"""A receiver on a loopback address that answers as a test says, byte by byte."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

Behaviour = Callable[[trio.abc.Stream], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def says(answer: bytes) -> Behaviour:
    """A behaviour: to send *answer* to each request."""

    async def behave(stream: trio.abc.Stream) -> None:
        await stream.send_all(answer)

    return behave


async def agrees(stream: trio.abc.Stream) -> None:
    """A behaviour: to answer 200 to each request."""
    await stream.send_all(OK)


async def hangs(stream: trio.abc.Stream) -> None:
    """A behaviour: to take the request and say nothing."""
    await trio.sleep_forever()


async def drips(stream: trio.abc.Stream) -> None:
    """A behaviour: to answer without an end, a byte at a time."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n")
    while True:
        await stream.send_all(b"x")
        await trio.sleep(0.01)  # waits for: the pace of a drip


async def floods(stream: trio.abc.Stream) -> None:
    """A behaviour: to answer without an end, as fast as it goes."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")


async def hangs_up(stream: trio.abc.Stream) -> None:
    """A behaviour: to take the request and end the connection."""
    await stream.aclose()


@dataclass
class Receiver:
    """See the module; *requests* are the heads and bodies that came, whole."""

    behave: Behaviour = agrees
    tls: ssl.SSLContext | None = None
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/hook?a=b"

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Listen until cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._converse, listeners)

    async def _converse(self, raw: trio.SocketStream) -> None:
        self.connections += 1
        stream: trio.abc.Stream = raw
        if self.tls is not None:
            stream = trio.SSLStream(raw, self.tls, server_side=True, https_compatible=True)
        try:
            while (request := await self._request(stream)) is not None:
                self.requests.append(request)
                await self.behave(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            with trio.move_on_after(0.2):
                await stream.aclose()

    async def _request(self, stream: trio.abc.Stream) -> bytes | None:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := await stream.receive_some()):
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [
            line.partition(b":")[2]
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        while len(body) < int(lengths[0]):
            body += await stream.receive_some()
        return head + b"\r\n\r\n" + body
