"""A device on a WebSocket, by a client that is not ours: frames that it sends and expects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from servers.node import PATIENCE

Frame = dict[str, Any]


class Device:
    """One WebSocket of one device. Frames are seen in the order in which they came."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.welcome: Frame = {}
        self.seen: list[Frame] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def vanish(self) -> None:
        """Leave without a word, as a process does that is killed."""
        self.socket.socket.close()

    # --- Saying ----------------------------------------------------------------------------------

    def send(self, type_: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": type_, **fields}))

    def hello(self, device: str | None = "phone", **fields: Any) -> None:
        self.send("hello", **({} if device is None else {"device": device}), **fields)

    def ack(self, *pushes: Frame | int) -> None:
        """Acknowledge cumulatively, once for each."""
        for push in pushes:
            sequence = push if isinstance(push, int) else push["sequence"]
            self.send("ack", sequence=sequence)

    def ack_ids(self, *pushes: Frame | str) -> None:
        ids = [push if isinstance(push, str) else push["notification"]["id"] for push in pushes]
        self.send("ack", ids=ids)

    def nack(self, push: Frame, **fields: Any) -> None:
        self.send("nack", id=push["notification"]["id"], **fields)

    def publish(self, request: str | int, notification: object, **fields: Any) -> Frame:
        """Publish over the socket; the reply."""
        self.send("publish", request=request, notification=notification, **fields)
        return self.expect("reply", request=request)

    # --- Hearing ---------------------------------------------------------------------------------

    def receive(self, patience: float = PATIENCE) -> Frame:
        """The next frame."""
        frame: Frame = json.loads(self.socket.recv(patience))
        self.seen.append(frame)
        return frame

    def expect(self, type_: str, *, patience: float = PATIENCE, **fields: Any) -> Frame:
        """The next frame, which must be of this type and have these fields."""
        frame = self.receive(patience)
        assert frame["type"] == type_, f"expected {type_}, got {frame}"
        for name, value in fields.items():
            assert frame.get(name) == value, f"expected {name}={value!r} in {frame}"
        return frame

    def expect_welcome(self, **fields: Any) -> Frame:
        self.welcome = self.expect("welcome", **fields)
        return self.welcome

    def expect_push(self, title: str | None = None, **fields: Any) -> Frame:
        push = self.expect("push", **fields)
        if title is not None:
            assert push["notification"]["title"] == title, push
        return push

    def expect_pushes(self, *titles: str, **fields: Any) -> list[Frame]:
        return [self.expect_push(title, **fields) for title in titles]

    def expect_synced(self) -> Frame:
        return self.expect("synced")

    def expect_nothing_before_pong(self) -> None:
        """Nothing was sent to this device until now."""
        self.send("ping")
        self.expect("pong")

    def frames_to_the_end(self, patience: float = PATIENCE) -> Iterator[Frame]:
        """All frames until the connection closes."""
        while True:
            try:
                yield self.receive(patience)
            except ConnectionClosed:
                return

    def expect_goodbye(self, code: int, *, patience: float = PATIENCE) -> Frame:
        """The last frame is a goodbye with *code*, like the close frame; others may come before."""
        frames = list(self.frames_to_the_end(patience))
        assert frames, f"closed with {self.close_code} and no goodbye"
        goodbye = frames[-1]
        assert goodbye["type"] == "goodbye", frames[-3:]
        assert (goodbye["code"], self.close_code) == (code, code), goodbye
        assert goodbye["reconnect"] is (code < 4400 or code == 4429)
        return goodbye

    @property
    def close_code(self) -> int | None:
        return self.socket.close_code


@contextmanager
def settled(*devices: Device) -> Iterator[None]:
    """Close all *devices* afterwards."""
    try:
        yield
    finally:
        for device in devices:
            device.close()
