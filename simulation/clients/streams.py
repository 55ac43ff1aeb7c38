"""Sessions over Server-Sent Events, which acknowledge by their next cursor, or over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec

from simulation.clients.requests import Asking, Question
from simulation.clients.sessions import Session
from simulation.world.history import Frame, RequestStory
from simulation.world.network import Connection
from simulation.world.node import Response


class StreamSession(Session):
    """A stream with `ack=resume`: its next cursor acknowledges. See `sessions`."""

    transport = "stream"
    acknowledges = False

    _connection: Connection | None = None
    _rest = b""

    def open(self) -> None:
        """Ask for the stream."""
        self._connection = self.host.request(
            self._question().as_request(self.device.token),
            chance=self.device.network,
            heard=self._received,
            ended=self.lost,
        )
        if self._connection is None:
            self.end()

    def close(self) -> None:
        """Break off."""
        if self._connection is not None:
            self._connection.leave()

    def stall(self) -> None:
        """Do not read until `read_again`."""
        if self._connection is not None:
            self._connection.stall()

    def read_again(self) -> None:
        """End one `stall`."""
        if self._connection is not None:
            self._connection.resume()

    def _question(self) -> Question:
        query = {"device": self.device.name, "ack": "explicit" if self.acknowledges else "resume"}
        headers: dict[str, str] = {}
        cursor = self.story.hello
        if cursor is not None:
            # A browser's EventSource that reconnects by itself sends `Last-Event-ID`; a page that
            # is opened again sends a cursor. `0` can only be a cursor: no event has it as its id.
            if cursor == "0" or self.device.chance.happens(0.5):
                query["cursor"] = cursor
            else:
                headers["Last-Event-ID"] = cursor
        return Question(operation="stream_inbox", query=query, headers=headers)

    def _received(self, what: bytes | Response, sent_at: float) -> None:
        """Process a piece of the stream, or the answer of a request that became none."""
        if isinstance(what, Response):
            self.device.note(f"no stream: {what.status}")
            wait = what.headers.get("Retry-After")
            self.end(None if wait is None else float(wait))
            return
        self.alive()
        *events, self._rest = (self._rest + what).split(b"\n\n")
        for event in events:
            if not self.is_over:
                self._event(event, sent_at)

    def _event(self, event: bytes, sent_at: float) -> None:
        fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
        if b"data" in fields:
            place = fields[b"id"].decode() if b"id" in fields else None
            self.heard(msgspec.json.decode(fields[b"data"]), sent_at, place)


class ExplicitStreamSession(StreamSession):
    """A stream with `ack=explicit`: acknowledges over HTTP, on any node, one request at a time."""

    transport = "stream-explicit"
    acknowledges = True

    _asking: Asking | None = None

    def close(self) -> None:
        """Break off, and stop waiting for an acknowledgment under way."""
        super().close()
        if self._asking is not None:
            self._asking.abandon()

    def _acknowledge(self) -> None:
        if self._asking is not None:
            # Pushes processed meanwhile are acknowledged when this request is answered.
            self._is_acking = False
        else:
            super()._acknowledge()

    def _send_ack(self, ack: Frame) -> None:
        body: dict[str, Any] = {"device": self.device.name}
        if "ids" in ack:
            body["ids"] = ack["ids"]
        else:
            body["cursor"] = f"{self._epoch}.{ack['sequence']}"
        question = Question(operation="acknowledge", body=body)
        requester = self.device.requester
        self._asking = requester.ask(question, self._told, arrived=self.arrived(ack))

    def _told(self, request: RequestStory, after: float | None) -> None:
        self._asking = None
        if request.status == 204:
            if self._done:
                self._acknowledge_soon()
        else:
            # The server sends the pushes again, and then they are acknowledged again.
            self._says_again = True
