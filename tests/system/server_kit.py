"""The server as its users meet it: a process, HTTP, WebSockets. Nothing of its code is imported.

Tests speak the domain (`device.expect_push("Hello")`); what they speak it through is a WebSocket
client that is not ours. Every wait ends when the thing has happened, or fails after `PATIENCE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from websockets.sync.client import connect

from servers.node import PATIENCE, Node
from servers.tokens import PRODUCER, bearer, token
from tests.system.device_kit import Device
from tests.system.producer_kit import Producer


def fresh_user(name: str = "ada") -> str:
    """A user of one test alone: tests share servers, never users."""
    return f"{name}-{token_hex(4)}"


class Server(Node):
    """A node, with the producers and devices that talk to it."""

    def producer(self, credential: str = PRODUCER) -> Producer:
        return Producer(self.http, credential)

    def device(self, user: str, name: str | None = "phone", **hello: Any) -> Device:
        """A device that has said hello and was welcomed; use it as a context manager."""
        device = self.connect(user)
        device.hello(name, **hello)
        device.expect_welcome()
        return device

    def connect(
        self, user: str = "", *, query: str = "", headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Device:  # fmt: skip
        """A WebSocket that has said nothing yet; with *user*, its handshake carries a token."""
        credential = bearer(token(user)) if user else {}
        socket = connect(
            self.websocket_url + query,
            additional_headers={**credential, **(headers or {})},
            open_timeout=PATIENCE,
            ping_interval=None,
            proxy=None,
            max_queue=None,  # a client that stops reading is a test of its own
            legacy=True,  # the connection is ours to close
            **options,
        )
        return Device(socket)
