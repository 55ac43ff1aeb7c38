"""A device of the load: it connects, enters in the books what it gets, and acknowledges.

Its connection may be cut at any time. Then it comes back after a moment and says nothing of where
it was, so the server has to know.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from typing import Final

from tocsin.load.books import Books
from tocsin.load.plan import LoadPlan
from tocsin.load.target import Target
from tocsin.load.wire import CLOSE, PING, PONG, TEXT, take_frames, text_frame

PUSH: Final = b'{"type":"push"'
_SEQUENCE: Final = re.compile(rb'"sequence":(\d+)')
_NUMBER: Final = re.compile(rb'"load":"([^"]+)","number":(\d+)')
_REPLAY: Final = b'"replay":true'
_BACK_AFTER: Final = (0.05, 1.0)
"""Seconds until a device whose connection has ended comes back, at least and at most: so a thousand
do not come in one moment."""
_SYNC_TIMEOUT: Final = 60.0
"""Seconds."""


class Device(asyncio.Protocol):
    """One device of *user* in the run named *run*; it lives until `stop`."""

    def __init__(
        self,
        user: str,
        run: str,
        target: Target,
        books: Books,
        plan: LoadPlan,
        chance: random.Random,
    ) -> None:
        self.user = user
        self._run = run.encode()
        self._target = target
        self._books = books
        self._plan = plan
        self._chance = chance
        self._buffer = bytearray()
        self._upgraded = False
        self._transport: asyncio.Transport | None = None
        self._stopping = self._is_cut = False
        self._returning: asyncio.Task[None] | None = None
        self.synced = asyncio.Event()

    async def start(self) -> None:
        """Connect and catch up. Raises `OSError`, or `TimeoutError` after a minute."""
        await self._target.connect(self)
        await asyncio.wait_for(self.synced.wait(), _SYNC_TIMEOUT)

    def cut(self) -> None:
        """Cut the connection without a word, as a phone in a tunnel does."""
        if self._transport is not None:
            self._is_cut = True
            self._transport.abort()

    def stop(self) -> None:
        """Leave, and do not come back."""
        self._stopping = True
        if self._returning is not None:
            self._returning.cancel()
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio's side --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer.clear()
        self._upgraded = False
        token = self._target.token(self.user)
        transport.write(
            f"GET /v1/ws HTTP/1.1\r\nHost: {self._target.authority}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded and not self._upgrade():
            return
        for opcode, payload in take_frames(self._buffer):
            if opcode == TEXT:
                self._take(payload)
            elif opcode == PING:
                self._send(PONG)
            elif opcode == CLOSE and self._transport is not None:
                self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self.synced.clear()
        if self._stopping:
            return
        if self._is_cut:
            self._books.tally.cut += 1
        else:
            self._books.tally.ended += 1
        self._is_cut = False
        self._returning = asyncio.ensure_future(self._return())

    # --- The conversation ------------------------------------------------------------------------

    def _upgrade(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self._buffer.startswith(b"HTTP/1.1 101"):
            # A balancer without a node, or a node that is full: come again.
            assert self._transport is not None
            self._transport.abort()
            return False
        del self._buffer[: end + 4]
        self._upgraded = True
        self._send(text_frame(json.dumps({"type": "hello", "device": "load"}).encode()))
        return True

    def _take(self, payload: bytes) -> None:
        if payload.startswith(PUSH):
            self._take_push(payload)
        elif payload.startswith(b'{"type":"synced"'):
            self.synced.set()
        elif payload.startswith(b'{"type":"welcome"'):
            self._books.begin_session(self.user)

    def _take_push(self, payload: bytes) -> None:
        sequence, found = _SEQUENCE.search(payload), _NUMBER.search(payload)
        if sequence is None:
            return
        if found is None or found[1] != self._run:
            self._acknowledge(sequence[1], None)  # of an earlier run
            return
        number, replay = int(found[2]), _REPLAY in payload
        now = time.perf_counter()
        self._books.see(self.user, number, int(sequence[1]), now, replay=replay)
        if self._chance.random() < self._plan.silent:
            self._books.forget()  # so the server has to send it again
            return
        self._books.receive(self.user, number)
        if self._plan.ack_delay or self._plan.silent:
            # By a sequence, the silent ones before it would be acknowledged as well.
            later = self._chance.random() * self._plan.ack_delay
            loop = asyncio.get_running_loop()
            loop.call_later(later, self._acknowledge_by_id, payload, number)
        else:
            self._acknowledge(sequence[1], number)

    def _acknowledge(self, sequence: bytes, number: int | None) -> None:
        if number is not None:
            self._books.acknowledge(self.user, number)
        self._send(text_frame(b'{"type":"ack","sequence":%b}' % sequence))

    def _acknowledge_by_id(self, payload: bytes, number: int) -> None:
        if self._transport is None:
            return
        notification = json.loads(payload)["notification"]["id"]
        self._books.acknowledge(self.user, number)
        self._send(text_frame(json.dumps({"type": "ack", "ids": [notification]}).encode()))

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def _return(self) -> None:
        while not self._stopping:
            await asyncio.sleep(self._chance.uniform(*_BACK_AFTER))
            try:
                await self._target.connect(self)
            except OSError:
                continue
            return
