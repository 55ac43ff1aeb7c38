"""Publishing over a WebSocket, and over HTTP while there is none."""

from __future__ import annotations

from typing import Any

from simulation.clients.requests import Done, Question, Requester
from simulation.clients.sockets import Socket
from simulation.world.history import Frame, RequestStory


class Publisher:
    """A WebSocket for publishing. It is opened at the first post, and again after it has ended."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._socket: Socket | None = None
        self._host = ""
        self._is_welcome = False

    def ask(self, question: Question, done: Done) -> bool:
        """Ask *question*, a publish; false if no host is up."""
        if self._socket is None:
            self._open()
        if self._socket is None or not self._is_welcome:
            return self._requester.ask(question, done) is not None
        story = RequestStory(
            who=self._requester.who,
            host=self._host,
            operation=question.operation,
            path={},
            body=question.body,
            key=question.key,
            attempt=question.attempt,
            asked_at=self._requester.cluster.timeline.now,
        )
        self._socket.ask(story, _frame(question), self._watched(done))
        return True

    def _open(self) -> None:
        requester = self._requester
        host = requester.cluster.balance(requester.chance)
        if host is None:
            return
        self._host, self._is_welcome = host.name, False
        self._socket = Socket(
            requester.cluster,
            requester.who,
            host,
            heard=self._heard,
            alive=lambda: None,
            ended=self._ended,
        )
        self._socket.open(requester.chance, requester.token, {"type": "hello"})

    def _watched(self, done: Done) -> Done:
        """*done*, but the socket is closed first if the request got no answer."""

        def answered(story: RequestStory, after: float | None) -> Any:
            if story.status is None and self._socket is not None:
                self._socket.close()
            return done(story, after)

        return answered

    def _heard(self, frame: Frame, _: float) -> None:
        if frame["type"] == "welcome":
            self._is_welcome = True
        elif frame["type"] == "goodbye" and self._socket is not None:
            self._socket.close()

    def _ended(self) -> None:
        self._socket = None


def _frame(question: Question) -> Frame:
    frame: Frame = {"type": "publish", "notification": question.body}
    if question.key is not None:
        frame["idempotency_key"] = question.key
    return frame
