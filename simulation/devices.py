"""A device: what it shows, what it has kept, and how well it behaves.

It applies what it is pushed to its screen, notes its cursor, acknowledges after a while, forgets
to, refuses, sleeps, loses its connection, comes back to any node. It believes nothing: what each
session may say is checked as it comes (`session`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from simulation.cluster import Cluster
from simulation.network import Connection

Frame = dict[str, Any]

_PING, _CLOSE = 0x89, 0x88
_RETRY: Final = 1.0
"""Seconds between two attempts to connect, on average."""


class Device:
    """See the module; *name* is unique, over all users."""

    def __init__(self, cluster: Cluster, user: str, name: str) -> None:
        self.cluster = cluster
        self.user = user
        self.name = name
        self.chance = cluster.chance("device", user, name)
        self.who = f"{user}/{name}"
        self.shown: dict[str, Frame] = {}
        self.cursor: str | None = None
        self.counters: tuple[int, int] | None = None
        self.session: Session | None = None
        self.is_wanted = False
        self._token = cluster.token(user)

    def come(self) -> None:
        """Be online from now on."""
        self.is_wanted = True
        if self.session is None:
            self._connect()

    def go(self) -> None:
        """Be offline from now on."""
        self.is_wanted = False
        if self.session is not None:
            self.session.leave()

    def ended(self, session: Session, after: float) -> None:
        """*session* is over; come back after *after* seconds, if that is wanted."""
        if self.session is session:
            self.session = None
            if self.is_wanted:
                self.cluster.timeline.after(after + self.chance.wait(_RETRY), self._again)

    def note(self, what: str) -> None:
        self.cluster.note(self.who, what)

    def _again(self) -> None:
        if self.is_wanted and self.session is None:
            self._connect()

    def _connect(self) -> None:
        host = self.cluster.balance(self.chance)
        session = self.session = Session(self)
        if host is None or host.node is None:
            self.note("finds nobody")
            self.ended(session, _RETRY)
            return
        connection = host.connect(chance=self.chance, heard=session.heard, ended=session.lost)
        assert connection is not None
        self.note(f"connects to {host.name} from {self.cursor}")
        session.connection = connection
        host.node.process.enter(host.node.connect, connection, self._token)
        hello = {"type": "hello", "device": self.name}
        if self.cursor is not None:
            hello["cursor"] = self.cursor
        session.say(hello)


class Session:
    """One WebSocket of a device, from its hello to its end."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.connection: Connection | None = None
        self._epoch = ""
        self._last = 0
        self._acknowledged = 0
        self._is_acking = False
        self._is_over = False

    def say(self, frame: Frame) -> None:
        assert self.connection is not None
        self.connection.say(msgspec.json.encode(frame).decode())

    def leave(self) -> None:
        if self.connection is not None and not self._is_over:
            self.connection.leave()
        self._end(0.0)

    def lost(self) -> None:
        """The connection has ended."""
        self._end(0.0)

    def heard(self, data: bytes, sent_at: float) -> None:
        """Bytes have come: one frame or several."""
        for opcode, payload in _frames(data):
            if self._is_over:
                return
            if opcode == _PING:
                assert self.connection is not None
                self.connection.say(None)
            elif opcode != _CLOSE:
                self._handle(msgspec.json.decode(payload), sent_at)

    def _handle(self, frame: Frame, sent_at: float) -> None:
        device = self.device
        match frame["type"]:
            case "push":
                self._pushed(frame)
            case "welcome":
                self._epoch = frame["epoch"]
                self._last = int(frame["cursor"].partition(".")[2])
                device.note(f"welcome {frame['cursor']} head {frame['head']}")
            case "synced":
                device.note(f"synced {frame['sequence']}")
                device.cursor = f"{self._epoch}.{frame['sequence']}"
            case "reset":
                device.note(f"reset {frame['reason']}")
                device.shown.clear()
            case "goodbye":
                device.note(f"goodbye {frame['reason']} {frame['after']}")
                self._end(frame["after"])
            case other:
                device.note(f"{other} {frame}")

    def _pushed(self, push: Frame) -> None:
        device, sequence = self.device, push["sequence"]
        notification = push["notification"]
        device.note(f"push {sequence} {push['change']} {notification['id'][-6:]} {push['attempt']}")
        if sequence <= self._last:
            return
        self._last = sequence
        device.shown[notification["id"]] = push
        device.counters = push["unread"], push["unseen"]
        device.cursor = f"{self._epoch}.{sequence}"
        if not self._is_acking:
            self._is_acking = True
            device.cluster.timeline.after(device.chance.wait(0.05), self._acknowledge)

    def _acknowledge(self) -> None:
        self._is_acking = False
        if not self._is_over:
            self._acknowledged = self._last
            self.say({"type": "ack", "sequence": self._last})

    def _end(self, after: float) -> None:
        if not self._is_over:
            self._is_over = True
            self.device.ended(self, after)


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    """The frames in *data*, as `tocsin.server.websocket_frames` writes them."""
    found, place = [], 0
    while place < len(data):
        opcode, length = data[place], data[place + 1]
        place += 2
        if length == 126:
            length = int.from_bytes(data[place : place + 2], "big")
            place += 2
        elif length == 127:
            length = int.from_bytes(data[place : place + 8], "big")
            place += 8
        found.append((opcode, data[place : place + length]))
        place += length
    return found
