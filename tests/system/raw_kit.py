"""The server at the level of bytes: for what no well-behaved client says."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable
from typing import Any, Self

from servers.node import PATIENCE
from servers.tokens import token
from tests.system.server_kit import Server

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 0x1, 0x2, 0x8, 0x9, 0xA, 0x0


class Wire:
    """A TCP connection; as a WebSocket, after `upgrade`."""

    def __init__(self, server: Server, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", server.port))
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send; a peer that has hung up is no error here."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def read(self) -> bytes:
        """Some bytes; empty at the end, however it came."""
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def read_to_end(self) -> bytes:
        """Everything until the server closes."""
        everything, self._buffer = self._buffer, b""
        while data := self.read():
            everything += data
        return everything

    def read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self.read()
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def reset(self) -> None:
        """End the connection as a crashed machine does that came back: with a reset."""
        linger = struct.pack("ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()

    # --- HTTP ------------------------------------------------------------------------------------

    def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send *data* and read one whole answer: status, headers, body."""
        self.send(data)
        return self.read_answer()

    def read_answer(self) -> tuple[int, dict[str, str], bytes]:
        while b"\r\n\r\n" not in self._buffer:
            data = self.read()
            assert data, f"the connection ended with {self._buffer!r}"
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        body = self.read_exactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    # --- WebSocket -------------------------------------------------------------------------------

    def upgrade(self, user: str = "", *, headers: Iterable[str] = (), behind: bytes = b"") -> Self:
        """Shake hands, with *behind* in the same segment."""
        self.send(upgrade_request(user, headers) + behind)
        status, _, body = self.read_answer()
        assert status == 101, body
        return self

    def say(self, type_: str, **fields: Any) -> None:
        self.send(frame(TEXT, json.dumps({"type": type_, **fields}).encode()))

    def read_frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        first, length = self.read_exactly(2)
        assert not length & 0x80, "a server's frames are not masked"
        if length == 126:
            (length,) = struct.unpack(">H", self.read_exactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.read_exactly(8))
        return first & 0x0F, self.read_exactly(length)

    def read_text(self) -> dict[str, Any]:
        """The next text frame, decoded; others are passed over."""
        while True:
            opcode, payload = self.read_frame()
            assert opcode != CLOSE, payload
            if opcode == TEXT:
                read: dict[str, Any] = json.loads(payload)
                return read

    def expect_goodbye(self, code: int) -> None:
        """The last text frame is a goodbye with *code*, and a close frame with it follows."""
        last: dict[str, Any] = {}
        while True:
            try:
                opcode, payload = self.read_frame()
            except EOFError as error:
                raise AssertionError(f"ended without a close frame, after {last}") from error
            if opcode == TEXT:
                last = json.loads(payload)
            if opcode == CLOSE:
                break
        assert int.from_bytes(payload[:2], "big") == code, payload
        assert (last.get("type"), last.get("code")) == ("goodbye", code)
        assert self.read_to_end() == b""


def upgrade_request(user: str = "", headers: Iterable[str] = (), target: str = "/v1/ws") -> bytes:
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *([f"Authorization: Bearer {token(user)}"] if user else []),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True) -> bytes:
    """A client's frame."""
    first = opcode | (0x80 if final else 0)
    mask_bit = 0x80 if masked else 0
    if len(payload) <= 125:
        head = bytes((first, mask_bit | len(payload)))
    elif len(payload) <= 0xFFFF:
        head = bytes((first, mask_bit | 126)) + struct.pack(">H", len(payload))
    else:
        head = bytes((first, mask_bit | 127)) + struct.pack(">Q", len(payload))
    if not masked:
        return head + payload
    # A mask of zeros is legal, and leaves the payload as it is.
    return head + bytes(4) + payload


def expect_stays_open(wire: Wire, seconds: float) -> None:
    """The server neither speaks nor hangs up for *seconds*."""
    wire.socket.settimeout(seconds)
    try:
        data = wire.socket.recv(1)
    except TimeoutError:
        return
    finally:
        wire.socket.settimeout(PATIENCE)
    raise AssertionError(f"it said {data!r}")
