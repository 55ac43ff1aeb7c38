"""Sessions over a WebSocket."""

from __future__ import annotations

from simulation.clients.requests import Done
from simulation.clients.sessions import Session
from simulation.clients.sockets import Socket
from simulation.world.history import Frame, RequestStory


class WebSocketSession(Session):
    """See `sessions`."""

    transport = "websocket"

    _socket: Socket

    def open(self) -> None:
        """Connect, and say hello."""
        device = self.device
        self._socket = Socket(
            device.cluster,
            device.who,
            self.host,
            heard=self.heard,
            alive=self.alive,
            ended=self.lost,
        )
        hello: Frame = {"type": "hello", "device": device.name}
        if self.story.hello is not None:
            hello["cursor"] = self.story.hello
        if device.traits.window is not None:
            hello["window"] = device.traits.window
        self._socket.open(device.network, device.token, hello)

    def close(self) -> None:
        """Break off."""
        self._socket.close()

    def stall(self) -> None:
        """Do not read until `read_again`."""
        self._socket.stall()

    def read_again(self) -> None:
        """End one `stall`."""
        self._socket.read_again()

    def mark(self, story: RequestStory, done: Done) -> None:
        """Ask by a frame what *story* asks."""
        self._socket.ask(story, {"type": "mark", **story.body}, done)

    def _send_ack(self, ack: Frame) -> None:
        self._socket.say(ack, self.arrived(ack))

    def _send_nack(self, nack: Frame) -> None:
        self.device.cluster.history.acknowledged(self.story, nack)
        self._socket.say(nack, self.arrived(nack))
