"""A backend that publishes as fast as it is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

from bench.measuring import notification
from bench.server import Server
from bench.swarm import Peer, Swarm

_IN_FLIGHT = 400
"""Publishes of one producer that wait for their replies at a time."""


class Producer:
    """A backend that holds one WebSocket and publishes through it; *device* is its own."""

    def __init__(self, server: Server, device: str = "backend") -> None:
        self._device = device
        self._swarm = Swarm(server, producers=True)
        self._left: Iterator[list[str]] = iter(())
        self._replies = 0
        self._wanted = 0
        self._done: asyncio.Future[None] | None = None

    async def connect(self) -> Producer:
        await self._swarm.connect([("producer", self._device)])
        self._swarm.on_frame = self._on_frame
        return self

    async def publish(self, groups: list[list[str]]) -> None:
        """Publish one notification to each group of users; return when all are durable.

        Raises `TimeoutError` after two minutes.
        """
        self._left = iter(groups)
        self._wanted = self._replies + len(groups)
        self._done = asyncio.get_running_loop().create_future()
        for _ in range(min(_IN_FLIGHT, len(groups))):
            self._send_next()
        await asyncio.wait_for(self._done, 120)

    def send(self, users: list[str]) -> None:
        """Publish one notification without waiting for its reply."""
        frame = {"type": "publish", "request": 0, "notification": notification(users)}
        self._swarm.peers[0].send(json.dumps(frame, separators=(",", ":")).encode())

    async def close(self) -> None:
        await self._swarm.close()

    def _send_next(self) -> None:
        users = next(self._left, None)
        if users is not None:
            self.send(users)

    def _on_frame(self, _: Peer, payload: bytes) -> None:
        if payload.startswith(b'{"type":"reply"'):
            assert b'"ok":true' in payload, payload
            self._replies += 1
            self._send_next()
            if self._replies == self._wanted and self._done is not None:
                self._done.set_result(None)
