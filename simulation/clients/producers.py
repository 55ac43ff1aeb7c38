"""A producer: posts notifications, changes and withdraws them, and makes sure that each is
accepted.

It does one thing at a time, or a burst of posts at once. A request that failed or was not answered
is repeated, on any node, if that is safe: a post that has an idempotency key, a withdrawal, and a
change without a precondition. A post without a key may have been stored or not; it is not repeated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from simulation.clients.posts import TOPICS, change, draft
from simulation.clients.publisher import Publisher
from simulation.clients.requests import Question, Requester
from simulation.clients.worker import Worker
from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory

_TRIES: Final = 12
"""Tries of a request, the first included."""
_RETRY: Final = 0.5
"""Seconds before the first repetition; doubled with each one."""
_RETRY_MAX: Final = 10.0
"""Seconds: the longest pause before a repetition."""
_REMEMBERED: Final = 40
"""The number of its last posts that it may still change."""
_BURST: Final = 12
"""The most posts in a burst."""
_SUCCESS: Final = 300
"""Statuses below this one are successes."""


@dataclass(slots=True)
class Posted:
    """A post that was accepted; *revision* is `None` if it is not known."""

    id: str
    title: str
    revision: int | None = 1


class Producer(Worker):
    """See the module; acts every *interval* seconds on average."""

    def __init__(self, cluster: Cluster, name: str, interval: float) -> None:
        super().__init__(cluster, name, cluster.chance("producer", name), interval)
        traits = cluster.chance("traits", name)
        self._bursts = traits.happens(cluster.plan.bursts)
        self._has_socket = traits.happens(cluster.plan.sockets)
        # The holder of an API key has no inbox, so its socket only publishes.
        token = cluster.key(name) if self._has_socket else cluster.token(name, "notify admin")
        network = cluster.chance("network", name)
        self.requester = Requester(cluster, name, token, network)
        self._publisher = Publisher(self.requester)
        self._posted: deque[Posted] = deque(maxlen=_REMEMBERED)
        self._posts = self._changes = 0

    # --- Actions ---------------------------------------------------------------------------------

    def _act(self) -> None:
        plan, drawn = self.cluster.plan, self.chance.random()
        for share, work, needs_users in (
            (plan.updates, self._update, False),
            (plan.withdrawals, self._withdraw, False),
            (plan.inquiries, self._inquire, True),
            (plan.subscriptions, self._subscribe, True),
            (plan.disconnections, self._disconnect, True),
        ):
            if drawn < share and (plan.users or not needs_users):
                work()
                return
            drawn -= share
        posts = 1
        if self._bursts and self.chance.happens(0.3):
            posts = 2 + int(self.chance.random() * (_BURST - 1))
        for _ in range(posts):
            self._post(posts)

    def _post(self, together: int) -> None:
        self._posts += 1
        title = f"{self.name}-{self._posts}"
        key = title if self.chance.happens(self.cluster.plan.keys) else None
        body = draft(self.cluster, self.chance, title)

        def done(story: RequestStory) -> None:
            if story.status in (201, 202):
                self._posted.append(Posted(story.answer["id"], title))

        question = Question(operation="publish", body=body, key=key)
        self._do(question, done, together=together, repeats=key is not None)

    def _update(self) -> None:
        posted = self._one_of_the_posted()
        if posted is None:
            return
        self._changes += 1
        patch = change(self.chance, posted.title, self._changes)
        checks = posted.revision is not None and self.chance.happens(0.5)
        headers = {"If-Match": f'"{posted.revision}"'} if checks else {}

        def done(story: RequestStory) -> None:
            posted.revision = story.answer["revision"] if story.status == 200 else None

        question = Question(
            operation="update_notification",
            path={"notification": posted.id},
            headers=headers,
            body=patch,
        )
        self._do(question, done, repeats=not checks)

    def _withdraw(self) -> None:
        posted = self._one_of_the_posted()
        if posted is not None:
            path = {"notification": posted.id}
            self._do(Question(operation="withdraw_notification", path=path))

    def _inquire(self) -> None:
        if self.chance.happens(0.3):
            path = {"user": self.chance.one(self.cluster.plan.user_names)}
            self._do(Question(operation="show_presence", path=path), repeats=False)
        elif (posted := self._one_of_the_posted()) is not None:
            operation = self.chance.one(("show_notification", "list_deliveries"))
            question = Question(operation=operation, path={"notification": posted.id})
            self._do(question, repeats=False)

    def _subscribe(self) -> None:
        path = {"topic": self.chance.one(TOPICS)}
        user = self.chance.one(self.cluster.plan.user_names)
        operation = self.chance.one(("add_subscriber", "add_subscribers", "remove_subscriber"))
        if operation == "add_subscribers":
            self._do(Question(operation=operation, path=path, body={"users": [user]}))
        else:
            self._do(Question(operation=operation, path={**path, "user": user}))

    def _disconnect(self) -> None:
        path = {"user": self.chance.one(self.cluster.plan.user_names)}
        self._do(Question(operation="disconnect_user", path=path), repeats=False)

    def _one_of_the_posted(self) -> Posted | None:
        """A random post to act on; without one, pause and return `None`."""
        if self._posted:
            return self.chance.one(self._posted)
        self._pause()
        return None

    # --- Repetitions -----------------------------------------------------------------------------

    def _do(
        self,
        question: Question,
        done: Callable[[RequestStory], object] | None = None,
        *,
        together: int = 1,
        repeats: bool = True,
    ) -> None:
        self._under_way += 1
        errand = _Errand(self, question, repeats, lambda story: self._did(story, done, together))
        errand.go()

    def _did(
        self,
        story: RequestStory | None,
        done: Callable[[RequestStory], object] | None,
        together: int,
    ) -> None:
        if story is not None and done is not None:
            done(story)
        self._under_way -= 1
        if not self._under_way:
            self._pause(together)

    def ask(self, question: Question, done: Callable[..., object]) -> bool:
        """Ask *question*, over the WebSocket if the producer has one; false if no host is up."""
        if self._has_socket and question.operation == "publish":
            return self._publisher.ask(question, done)
        return self.requester.ask(question, done) is not None


class _Errand:
    """A request that a producer repeats until it is done, or `_TRIES` times."""

    def __init__(
        self,
        producer: Producer,
        question: Question,
        repeats: bool,
        over: Callable[[RequestStory | None], object],
    ) -> None:
        self._producer = producer
        self._question = question
        self._repeats = repeats
        self._over = over
        self._tries = 0

    def go(self) -> None:
        """Try once."""
        self._tries += 1
        if not self._producer.ask(self._question, self._answered):
            self._again(None, None)

    def _answered(self, story: RequestStory, after: float | None) -> None:
        if story.status is not None and story.status < _SUCCESS:
            self._over(story)
        elif self._repeats and _may_succeed(story):
            attempt = self._question.attempt + 1
            self._question = msgspec.structs.replace(self._question, attempt=attempt)
            self._again(story, after)
        else:
            self._over(story)

    def _again(self, story: RequestStory | None, after: float | None) -> None:
        if self._tries == _TRIES:
            self._over(story)
            return
        producer = self._producer
        backoff = min(_RETRY_MAX, _RETRY * 2.0**self._tries)
        delay = max(after or 0.0, backoff * (0.5 + producer.chance.random()))
        producer.cluster.timeline.after(delay, self.go)


def _may_succeed(story: RequestStory) -> bool:
    """Whether the same request may succeed next time."""
    status: Any = story.status
    return status in (None, 429, 500, 503) or story.answer == "idempotency_in_flight"
