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
from tocsin.load.socket_client import SocketClient
from tocsin.load.target import Target

PUSH: Final = b'{"type":"push"'
SEQUENCE: Final = re.compile(rb'"sequence":(\d+)')
_HELLO: Final = b'{"type":"hello","device":"load"}'
_NUMBER: Final = re.compile(rb'"load":"([^"]+)","number":(\d+)')
_REPLAY: Final = b'"replay":true'
_BACK_AFTER: Final = (0.05, 1.0)
"""Seconds until a device whose connection has ended comes back, at least and at most: so a thousand
do not come in one moment."""
_SYNC_TIMEOUT: Final = 60.0
"""Seconds."""


class Device(SocketClient):
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
        super().__init__(target.authority)
        self.user = user
        self._run = run.encode()
        self._target = target
        self._books = books
        self._plan = plan
        self._chance = chance
        self._stopping = self._is_cut = False
        self._returning: asyncio.Task[None] | None = None
        self.synced = asyncio.Event()

    async def start(self) -> None:
        """Connect and catch up. Raises `OSError`, or `TimeoutError` after a minute."""
        await self._target.connect(self)
        await asyncio.wait_for(self.synced.wait(), _SYNC_TIMEOUT)

    def cut(self) -> None:
        """Cut the connection without a word, as a phone in a tunnel does."""
        if self.transport is not None:
            self._is_cut = True
            self.abort()

    def stop(self) -> None:
        """Leave, and do not come back."""
        self._stopping = True
        if self._returning is not None:
            self._returning.cancel()
        self.abort()

    # --- asyncio's side --------------------------------------------------------------------------

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
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

    def credential(self) -> str:
        return self._target.token(self.user)

    def opened(self) -> None:
        self.send(_HELLO)

    def refused(self, head: bytes) -> None:
        # A balancer without a node, or a node that is full: come again.
        self.abort()

    def received(self, payload: bytes) -> None:
        if payload.startswith(PUSH):
            self._take_push(payload)
        elif payload.startswith(b'{"type":"synced"'):
            self.synced.set()
        elif payload.startswith(b'{"type":"welcome"'):
            self._books.begin_session(self.user)

    def _take_push(self, payload: bytes) -> None:
        sequence, found = SEQUENCE.search(payload), _NUMBER.search(payload)
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
        self.send(b'{"type":"ack","sequence":%b}' % sequence)

    def _acknowledge_by_id(self, payload: bytes, number: int) -> None:
        if self.transport is None:
            return
        notification = json.loads(payload)["notification"]["id"]
        self._books.acknowledge(self.user, number)
        self.send(json.dumps({"type": "ack", "ids": [notification]}).encode())

    async def _return(self) -> None:
        while not self._stopping:
            await asyncio.sleep(self._chance.uniform(*_BACK_AFTER))
            try:
                await self._target.connect(self)
            except OSError:
                continue
            return
