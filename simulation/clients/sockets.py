"""A client's end of a WebSocket: frames, pongs, and questions answered by `reply` frames.

A question is reported to the history as the HTTP request that would ask the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from simulation.clients.requests import PATIENCE, Done
from simulation.world.chance import Chance
from simulation.world.cluster import Cluster
from simulation.world.history import Frame, RequestStory
from simulation.world.host import Host
from simulation.world.network import Connection

_CLOSE: Final = 0x88  # opcodes with the final bit (RFC 6455 §5.2)
_PING: Final = 0x89
"""The first bytes of close and ping frames (RFC 6455, section 5.2)."""

FrameHeard = Callable[[Frame, float], object]


class Socket:
    """A WebSocket to *host*.

    *heard* is called with each frame and the time at which it was sent, *alive* when anything
    comes, and *ended* once, after the last frame.
    """

    def __init__(
        self,
        cluster: Cluster,
        who: str,
        host: Host,
        *,
        heard: FrameHeard,
        alive: Callable[[], object],
        ended: Callable[[], object],
    ) -> None:
        self._cluster = cluster
        self._who = who
        self._host = host
        self._heard = heard
        self._alive = alive
        self._ended = ended
        self._connection: Connection | None = None
        self._questions: dict[int, tuple[RequestStory, Done]] = {}
        self._asked = 0
        self._is_closed = False

    def open(self, chance: Chance, token: str, hello: Frame) -> None:
        """Connect and say *hello*."""
        node = self._host.node
        connection = self._host.connect(chance=chance, heard=self._received, ended=self.close)
        if connection is None or node is None:
            self.close()
            return
        self._connection = connection
        node.process.enter(node.connect, connection, token)
        self.say(hello)

    def close(self) -> None:
        """Break off; also called when the node does. Open questions end without an answer."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._connection is not None:
            self._connection.leave()
        for number in list(self._questions):
            self._answer(number, None, None)
        self._ended()

    def say(self, frame: Frame, arrived: Callable[[], object] | None = None) -> None:
        """Send *frame*; *arrived* is called when the node has received it."""
        if self._connection is not None and not self._is_closed:
            self._connection.say(msgspec.json.encode(frame).decode(), arrived)

    def stall(self) -> None:
        """Do not read until `read_again`."""
        if self._connection is not None:
            self._connection.stall()

    def read_again(self) -> None:
        """End one `stall`."""
        if self._connection is not None:
            self._connection.resume()

    def ask(self, story: RequestStory, frame: Frame, done: Done) -> None:
        """Send *frame* as a question; *done* is called with its reply, or when it gets none."""
        self._asked += 1
        number = self._asked
        self._questions[number] = story, done
        self._cluster.history.asked(story)
        self.say({**frame, "request": number})
        self._cluster.timeline.after(PATIENCE, self._give_up, number)

    def _give_up(self, number: int) -> None:
        if number in self._questions:
            self._answer(number, None, None)

    def _answer(self, number: int, status: int | None, answer: Any) -> None:
        story, done = self._questions.pop(number)
        story.answered_at, story.status, story.answer = self._cluster.timeline.now, status, answer
        self._cluster.note(self._who, f"{story.operation} by a frame: {status}")
        self._cluster.history.answered(story)
        done(story, None)

    def _received(self, data: bytes, sent_at: float) -> None:
        """Process bytes, which hold one frame or several."""
        for opcode, payload in frames_in(data):
            if self._is_closed:
                return
            self._alive()
            if opcode == _PING:
                self._pong()
            elif opcode != _CLOSE:
                frame = msgspec.json.decode(payload)
                self._heard(frame, sent_at)
                if frame["type"] == "reply":
                    self._replied(frame)

    def _pong(self) -> None:
        if self._connection is not None:
            self._connection.say(None)

    def _replied(self, reply: Frame) -> None:
        number = reply["request"]
        if number not in self._questions:
            return  # too late: the question was given up
        if reply["ok"]:
            operation, result = self._questions[number][0].operation, reply.get("result")
            self._answer(number, _status(operation, result), result)
        else:
            problem = reply["problem"]
            self._answer(number, problem["status"], problem["code"])


def _status(operation: str, result: Any) -> int:
    """The status that *result* would have had over HTTP."""
    if operation != "publish":
        return 200
    return 202 if result.get("durability") == "spooled" else 201


def frames_in(data: bytes) -> list[tuple[int, bytes]]:
    """Parse *data* into frames (opcode and payload), the inverse of
    `tocsin.server.websocket.wire_frames`."""
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
