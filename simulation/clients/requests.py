"""Requests of clients, each over a connection of its own and with a time-out.

All requests are reported to the history. The caller is called back once, when the request is over:
with an answer, or without one if the connection ended or no answer came in time. Without an answer
the request may have been done or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from simulation.world.chance import Chance
from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory
from simulation.world.host import Host
from simulation.world.network import Connection
from simulation.world.node import Request, Response

PATIENCE: Final = 30.0
"""Seconds until a client gives up waiting for an answer."""

Done = Callable[[RequestStory, float | None], object]
"""Called with the request when it is over, and the server's `Retry-After` in seconds, if any."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request to be made: *operation* is the name of the API's handler, *body* is JSON."""

    operation: str
    path: dict[str, str] = {}
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: Any = None
    key: str | None = None
    attempt: int = 1

    def as_request(self, token: str) -> Request:
        """The request as the node receives it."""
        keyed = {} if self.key is None else {"Idempotency-Key": self.key}
        return Request(
            operation=self.operation,
            token=token,
            path=self.path,
            query=self.query,
            headers=self.headers | keyed,
            body=b"" if self.body is None else msgspec.json.encode(self.body),
        )


class Requester:
    """Makes requests for the client *who*, with *token* as its credential."""

    def __init__(self, cluster: Cluster, who: str, token: str, chance: Chance) -> None:
        self.cluster = cluster
        self.who = who
        self.token = token
        self.chance = chance

    def ask(
        self,
        question: Question,
        done: Done | None = None,
        *,
        host: Host | None = None,
        patience: float = PATIENCE,
        arrived: Callable[[], object] | None = None,
    ) -> Asking | None:
        """Ask *host*, or a host that the balancer chooses; `None` if it is not up.

        *done* is called when the request is over, *arrived* when the node has received it.
        """
        host = host or self.cluster.balance(self.chance)
        if host is None or not host.is_up:
            return None
        asking = Asking(self, question, host, done)
        asking.begin(patience, arrived)
        return asking


class Asking:
    """A request under way."""

    def __init__(
        self, requester: Requester, question: Question, host: Host, done: Done | None
    ) -> None:
        cluster = requester.cluster
        self._requester = requester
        self._cluster = cluster
        self._question = question
        self._host = host
        self._done = done
        self._connection: Connection | None = None
        self._is_over = False
        self.process = host.process_number
        self.answered_from = 0.0
        """The time at which the answer left the node."""
        self.story = RequestStory(
            who=requester.who,
            host=host.name,
            operation=question.operation,
            path=question.path,
            body=question.query if question.body is None else question.body,
            key=question.key,
            attempt=question.attempt,
            asked_at=requester.cluster.timeline.now,
        )

    def begin(self, patience: float, arrived: Callable[[], object] | None) -> None:
        requester, cluster = self._requester, self._cluster
        cluster.history.asked(self.story)
        self._connection = self._host.request(
            self._question.as_request(requester.token),
            chance=requester.chance,
            heard=self._heard,
            ended=self._over,
            arrived=arrived,
        )
        cluster.timeline.after(patience, self.abandon)

    def abandon(self) -> None:
        """Give up; the request ends without an answer. No effect if it is over."""
        if not self._is_over:
            if self._connection is not None:
                self._connection.leave()
            self._over()

    def _heard(self, response: Response, sent_at: float) -> None:
        if self._is_over:
            return
        story = self.story
        story.status = response.status
        story.replayed = response.headers.get("Idempotency-Replayed") == "true"
        story.answer = _read(response)
        self.answered_from = sent_at
        self._over(_wait(response.headers))

    def _over(self, after: float | None = None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.story.answered_at = self._cluster.timeline.now
        self._cluster.note(self._requester.who, f"{self.story.operation} {self.story.status}")
        self._cluster.history.answered(self.story)
        if self._done is not None:
            self._done(self.story, after)


def _read(response: Response) -> Any:
    if response.status >= 400:
        return response.body.decode()
    return msgspec.json.decode(response.body) if response.body else None


def _wait(headers: Mapping[str, str]) -> float | None:
    wait = headers.get("Retry-After")
    return None if wait is None else float(wait)
