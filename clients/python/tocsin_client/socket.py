"""One WebSocket on anyio's streams; `wsproto` has the protocol (RFC 6455)."""

from __future__ import annotations

import json
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Self
from urllib.parse import urlsplit

import anyio
import wsproto
from anyio.abc import ByteStream
from wsproto import events

SUBPROTOCOL: Final = "tocsin.v1.json"
PATH: Final = "/v1/ws"
CONNECT_TIMEOUT: Final = 10.0
"""Seconds to connect and shake hands, TLS included: what hangs for longer will not come."""
CLOSE_TIMEOUT: Final = 3.0
"""Seconds for the closing handshake: a person who has pressed Ctrl-C waits for it."""
MESSAGE_CHARACTERS_MAX: Final = 2**22
"""A frame of the server: a notification with all its fields is far below."""
BODY_BYTES_MAX: Final = 2**16
"""So much is read of the body of a refusal, which says why in some lines."""
SEND_TIMEOUT: Final = 10.0
"""Seconds for a frame to be taken; beyond that the peer reads no more."""
_READ: Final = 2**16
"""Bytes that are read at once: as much as a kernel's buffer gives."""
_NORMAL: Final = 1000  # the close code (RFC 6455 §7.4.1)

FAILURES: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


class SocketClosed(Exception):
    """The connection has ended, with a close *code* and a *reason* if there was one."""

    def __init__(self, code: int | None, reason: str | None = None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code
        self.reason = reason


class SocketRefused(Exception):
    """The server answered the handshake with something else; *after* is its `Retry-After`."""

    def __init__(self, status: int, detail: str | None, after: float | None) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.detail = detail
        self.after = after


class Socket:
    """A WebSocket that is open. One task may receive while another sends."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._wire = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._sending = anyio.Lock()
        self._heard: deque[events.Event] = deque()
        self._parts: list[str] = []

    @classmethod
    async def connect(cls, server: str, context: ssl.SSLContext | None = None) -> Self:
        """Open one to *server*, an http or https URL. Raises `SocketRefused`, `OSError` and those
        of `FAILURES`, `TimeoutError` after `CONNECT_TIMEOUT` seconds. Cancelled, nothing is left.
        """
        with anyio.fail_after(CONNECT_TIMEOUT):
            socket = cls(await _connect(server, context))
            try:
                await socket._shake_hands(server)
            except BaseException:
                await anyio.aclose_forcefully(socket._stream)
                raise
        return socket

    async def receive(self) -> str | bytes:
        """The next message. Raises `SocketClosed`. Cancelled, none is lost but one half read."""
        while True:
            event = await self._next()
            match event:
                case events.TextMessage():
                    self._parts.append(event.data)
                    if sum(map(len, self._parts)) > MESSAGE_CHARACTERS_MAX:
                        raise SocketClosed(None)
                    if event.message_finished:
                        text = "".join(self._parts)
                        self._parts.clear()
                        return text
                case events.BytesMessage():
                    return b""  # no frame of Tocsin's
                case events.Ping():
                    await self._send(event.response())
                case events.CloseConnection():
                    with suppress(SocketClosed):
                        await self._send(event.response())
                    raise SocketClosed(event.code, event.reason)
                case _:
                    pass  # a pong

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send *frame*. Raises `SocketClosed`. Cancelled, half of it may be sent."""
        await self._send(events.TextMessage(json.dumps(frame, separators=(",", ":"))))

    async def close(self) -> None:
        """Close in order, within `CLOSE_TIMEOUT` seconds; cancelled, at once."""
        try:
            with anyio.move_on_after(CLOSE_TIMEOUT), suppress(SocketClosed):
                with suppress(SocketClosed):
                    await self._send(events.CloseConnection(_NORMAL))
                while True:
                    await self.receive()
        finally:
            await anyio.aclose_forcefully(self._stream)

    # --- Inside ----------------------------------------------------------------------------------

    async def _shake_hands(self, server: str) -> None:
        parts = urlsplit(server)
        host = parts.netloc.rpartition("@")[2]
        target = parts.path.rstrip("/") + PATH
        await self._send(events.Request(host=host, target=target, subprotocols=[SUBPROTOCOL]))
        event = await self._next()
        if isinstance(event, events.RejectConnection):
            raise await self._refusal(event)
        if not isinstance(event, events.AcceptConnection):
            raise SocketClosed(None)

    async def _refusal(self, event: events.RejectConnection) -> SocketRefused:
        body = b""
        while event.has_body and len(body) < BODY_BYTES_MAX:
            part = await self._next()
            if not isinstance(part, events.RejectData):
                break
            body += part.data
            if part.body_finished:
                break
        headers = {name.lower(): value for name, value in event.headers}
        try:
            detail = str(json.loads(body)["detail"])
        except (ValueError, KeyError, TypeError, RecursionError):
            detail = None
        after = headers.get(b"retry-after", b"").decode("latin-1")
        return SocketRefused(event.status_code, detail, float(after) if after.isdecimal() else None)

    async def _next(self) -> events.Event:
        while not self._heard:
            try:
                data = await self._stream.receive(_READ)
                self._wire.receive_data(data)
                self._heard.extend(self._wire.events())
            except (*FAILURES, wsproto.utilities.ProtocolError):
                raise SocketClosed(None) from None
        return self._heard.popleft()

    async def _send(self, event: events.Event) -> None:
        try:
            with anyio.fail_after(SEND_TIMEOUT):
                async with self._sending:
                    await self._stream.send(self._wire.send(event))
        # The other task may have heard the end meanwhile: nothing can be sent behind that.
        except (*FAILURES, TimeoutError, wsproto.utilities.ProtocolError):
            raise SocketClosed(None) from None


async def _connect(server: str, context: ssl.SSLContext | None) -> ByteStream:
    parts = urlsplit(server)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return await anyio.connect_tcp(host, parts.port or 80)
    # An end without TLS's own goodbye is an end: frames have their lengths.
    return await anyio.connect_tcp(
        host,
        parts.port or 443,
        ssl_context=context or ssl.create_default_context(),
        tls_standard_compatible=False,
    )
