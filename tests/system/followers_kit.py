"""Devices that follow a log over any transport, and what they show.

Each follower reads in a thread of its own, as a client would, and applies what it reads to its
`Screen`. The screen survives the connection: it is what a device keeps when it changes transport.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any, Protocol

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from servers.node import PATIENCE, wait_until
from servers.tokens import bearer, token
from tests.system.device_kit import Frame
from tests.system.server_kit import Server

POLL_WAIT = 1
"""Seconds; short, because nobody can take a poll away from the thread that waits for it."""


class Screen:
    """The screen of one device: its model of the inbox, its counters, its cursor.

    A connection begins with the cursor, and from then on it alone writes here. Entries that the
    connection before it still reads are dropped: by its cursor the device does not have them.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.faults: list[str] = []
        self._lock = threading.Lock()
        self._writer: object = None
        self.forget()

    def forget(self) -> None:
        """The device loses its storage."""
        with self._lock:
            self._epoch, self._sequence = "", 0
            self._shown: dict[str, Frame] = {}
            self._changed: dict[str, int] = {}
            self._counted = -1
            self._counters: tuple[int, int] | None = None

    @property
    def cursor(self) -> str:
        with self._lock:
            return f"{self._epoch}.{self._sequence}" if self._sequence else "0"

    def begin(self, writer: object) -> str:
        """The cursor with which *writer* comes, in place of whoever wrote before."""
        with self._lock:
            self._writer = writer
        return self.cursor

    def reset(self, writer: object) -> None:
        with self._lock:
            if writer is self._writer:
                self._shown.clear()
                self._changed.clear()

    def show(self, push: Frame, writer: object) -> None:
        with self._lock:
            notification, sequence = push["notification"], push["sequence"]
            if writer is not self._writer or sequence <= self._changed.get(notification["id"], 0):
                return
            self._changed[notification["id"]] = sequence
            if push["change"] == "withdrawn":
                self._shown.pop(notification["id"], None)
            else:
                self._shown[notification["id"]] = notification

    def count(self, sequence: int, counted: Frame, writer: object) -> None:
        """The counters as they were at *sequence*."""
        with self._lock:
            if writer is self._writer and sequence >= self._counted:
                self._counted = sequence
                self._counters = counted["unread"], counted["unseen"]

    def through(self, epoch: str, sequence: int, writer: object) -> None:
        """Everything up to *sequence* has come."""
        with self._lock:
            if writer is self._writer:
                self._epoch, self._sequence = epoch, max(self._sequence, sequence)

    def picture(self) -> tuple[dict[str, Frame], tuple[int, int] | None]:
        with self._lock:
            return dict(self._shown), self._counters


class Follower(Protocol):
    """One connection of one device; `close` ends it and waits for its thread."""

    def arrive(self) -> None:
        """Return when the server knows of this connection, so that a later one replaces it."""

    def close(self) -> None: ...


class _Threaded:
    """Reads until it is closed, replaced, or finds a fault.

    It believes nothing: a push that does not follow the one before it on this connection, or comes
    again without saying so, is a fault.
    """

    def __init__(self, server: Server, user: str, screen: Screen) -> None:
        self.server, self.user, self.screen = server, user, screen
        self.closing = False
        self.epoch = ""
        self._last = 0
        self._thread = threading.Thread(target=self._guarded, daemon=True)
        self._thread.start()

    def arrive(self) -> None:
        wait_until(lambda: self.epoch or not self._thread.is_alive(), what="a welcome")

    def close(self) -> None:
        self.closing = True
        self.interrupt()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"{type(self).__name__} does not end"

    def interrupt(self) -> None:
        """Take the connection away from the reading thread."""
        raise NotImplementedError

    def follow(self) -> None:
        """Connect, and read to the end."""
        raise NotImplementedError

    def __repr__(self) -> str:
        state = "reading" if self._thread.is_alive() else "ended"
        return f"{type(self).__name__}, {state}, at {self._last}"

    def _guarded(self) -> None:
        try:
            self.follow()
        except (httpx.HTTPError, ConnectionClosed, OSError) as error:
            if not self.closing:
                self.screen.faults.append(f"{type(self).__name__} lost its connection: {error!r}")
        except Exception as error:
            self.screen.faults.append(f"{type(self).__name__}: {error!r}")

    def frame(self, frame: Frame) -> None:
        match frame["type"]:
            case "welcome":
                self.epoch = frame["epoch"]
                self._last = int(frame["cursor"].partition(".")[2])
                self.screen.count(frame["head"], frame, self)
            case "push":
                self.push(frame)
            case "synced":
                self.screen.through(self.epoch, frame["sequence"], self)
            case "reset":
                self.screen.reset(self)
            case "goodbye" if frame["reason"] == "replaced":
                self.closing = True
            case _:
                pass

    def push(self, push: Frame) -> None:
        sequence, last = push["sequence"], self._last
        if sequence <= last:
            if push["attempt"] == 1:
                self.screen.faults.append(f"{sequence} came behind {last}, and not as a resend")
            return
        if push["previous"] != last:
            fault = f"{sequence} follows {push['previous']}, but {last} was the last"
            self.screen.faults.append(fault)
        self._last = sequence
        self.screen.show(push, self)
        self.screen.count(sequence, push, self)
        self.screen.through(self.epoch, sequence, self)


class WebSocketFollower(_Threaded):
    """Acknowledges each push, cumulatively."""

    def __init__(self, server: Server, user: str, screen: Screen) -> None:
        self._socket: ClientConnection = connect(
            server.websocket_url,
            additional_headers=bearer(token(user)),
            open_timeout=PATIENCE,
            ping_interval=None,
            proxy=None,
            legacy=True,
        )
        super().__init__(server, user, screen)

    def follow(self) -> None:
        cursor = self.screen.begin(self)
        hello = {"type": "hello", "device": self.screen.device, "cursor": cursor}
        self._socket.send(json.dumps(hello))
        for text in self._socket:
            frame = json.loads(text)
            self.frame(frame)
            if frame["type"] == "push":
                self._socket.send(json.dumps({"type": "ack", "sequence": frame["sequence"]}))

    def interrupt(self) -> None:
        self._socket.close()


class StreamFollower(_Threaded):
    """Server-sent events; says nothing until it comes back."""

    def __init__(self, server: Server, user: str, screen: Screen) -> None:
        self._client = httpx.Client(base_url=server.url, timeout=60, verify=False)
        self._response: httpx.Response | None = None
        super().__init__(server, user, screen)

    def follow(self) -> None:
        headers = bearer(token(self.user))
        if (cursor := self.screen.begin(self)) != "0":
            headers["Last-Event-ID"] = cursor
        query = {"device": self.screen.device, "cursor": "0"}
        path = "/v1/inbox/stream"
        with (
            self._client,
            self._client.stream("GET", path, params=query, headers=headers) as response,
        ):
            self._response = response
            assert response.status_code == 200, response.read()
            for name, data in events(response.iter_lines()):
                frame = json.loads(data)
                assert frame["type"] == name, frame
                self.frame(frame)

    def interrupt(self) -> None:
        # A request that is still on its way would replace whoever comes next.
        self.arrive()
        if self._response is not None:
            _shut_down(self._response)


class PollFollower(_Threaded):
    """Long polls, one behind the other."""

    def __init__(self, server: Server, user: str, screen: Screen) -> None:
        self._client = httpx.Client(base_url=server.url, timeout=60, verify=False)
        super().__init__(server, user, screen)

    def follow(self) -> None:
        with self._client:
            while not self.closing:
                query: dict[str, str | int] = {
                    "device": self.screen.device,
                    "cursor": self.screen.begin(self),
                    "wait": POLL_WAIT,
                    "limit": 5,
                }
                answer = self._client.get(
                    "/v1/inbox/changes", params=query, headers=bearer(token(self.user))
                )
                if answer.status_code == 409:
                    return  # replaced by another connection of this device
                assert answer.status_code == 200, answer.text
                self._read(answer.json())

    def _read(self, answer: dict[str, Any]) -> None:
        self.epoch, _, sequence = answer["cursor"].partition(".")
        if answer.get("reset"):
            self.screen.reset(self)
        for push in answer["changes"]:
            if push is answer["changes"][0]:
                self._last = push["previous"]
            self.push(push)
        self.screen.count(int(sequence), answer, self)
        self.screen.through(self.epoch, int(sequence), self)

    def arrive(self) -> None:
        """Whether a poll has arrived, nobody can tell before it is answered."""
        self.close()

    def interrupt(self) -> None:
        """Nothing: a poll ends by itself, soon."""


def _shut_down(response: httpx.Response) -> None:
    """Closing would wait for the thread that reads; the socket can be shut under it."""
    socket = response.extensions["network_stream"].get_extra_info("socket")
    with suppress(OSError):
        socket.shutdown(SHUT_RDWR)


def events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """The events of a stream, name and data; comments and `retry:` are passed over."""
    name = data = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data = value
        elif not line and name:
            yield name, data
            name = data = ""


TRANSPORTS: dict[str, Callable[[Server, str, Screen], Follower]] = {
    "websocket": WebSocketFollower,
    "stream": StreamFollower,
    "poll": PollFollower,
}
