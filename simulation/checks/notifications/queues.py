"""P1 and P3 for brokers: each message ends as one notification or one letter, and in its order.

No message is acknowledged before it is durable: in the log, in the spool, or as a letter. While the
store is away for all nodes, nothing more is taken, and the broker is the spool. An ordered queue
keeps its order in each user's log. That a post is stored once, and reaches its users, is judged by
the checks of all posts.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from simulation.checks.check import Check
from simulation.checks.known.posts import SPOOLED, may_be_overtaken
from simulation.clients.devices import Device
from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory
from simulation.world.queue import QueueMessage, SimulatedQueue

_LETTERS: Final = "SELECT place, encoding, body FROM ingest_letters WHERE connector = ?"
_LETTER: Final = "SELECT 1 FROM ingest_letters WHERE connector = ? AND place = ?"
_ENTERED: Final = """
    SELECT k.key, i.user_id, i.created_sequence
    FROM idempotency AS k JOIN inbox AS i ON i.notification_id = k.notification_id
    WHERE k.credential = ?
"""
_KNOWN: Final = 25.0
"""Seconds until a node knows that the store is away, which may hang for two time-outs."""
_AFTERMATH: Final = 15.0
"""Seconds after a trouble in which a batch may still be stored out of its order."""


class Queues(Check):
    """See the module; without queues in the plan it has nothing to judge."""

    def __init__(self, cluster: Cluster, devices: Sequence[Device]) -> None:
        super().__init__(cluster, devices)
        self._posts: dict[str, RequestStory] = {}
        """By key, of all queues; a message that is none of them is poison."""
        for queue in cluster.queues:
            queue.acknowledged.append(partial(self._acknowledged, queue))

    def asked(self, request: RequestStory) -> None:
        if request.who.startswith("queue-") and request.key is not None:
            self._posts[request.key] = request

    def settled(self) -> str | None:
        for queue in self.cluster.queues:
            if queue.left:
                return f"{queue.left} messages wait in the queue {queue.name}"
        return None

    def finish(self) -> None:
        for queue in self.cluster.queues:
            self._judge_letters(queue)
            self._judge_taken(queue)
            if queue.ordered:
                self._judge_order(queue)

    # --- Inside ----------------------------------------------------------------------------------

    def _acknowledged(self, queue: SimulatedQueue, message: QueueMessage) -> None:
        key = _key(queue, message)
        post, told = self._posts.get(key), f"was acknowledged by {message.acked_by}"
        if post is None:
            if not self.cluster.store.rows(_LETTER, queue.name, key):
                self.violated("P1", key, f"{told}, and there is no letter")
            return
        claim = f"connector:{queue.name} {key}"
        if post.status == SPOOLED and not self.cluster.broker.has_claim(claim):
            self.violated("P1", key, f"{told}, and is neither in the store nor in the spool")

    def _judge_letters(self, queue: SimulatedQueue) -> None:
        letters = {
            place: base64.b64decode(body) if encoding == "base64" else body.encode()
            for place, encoding, body in self.cluster.store.rows(_LETTERS, queue.name)
        }
        for message in queue.messages:
            key = _key(queue, message)
            body = letters.pop(key, None)
            if key in self._posts and body is not None:
                self.violated("P1", key, "can be stored, and there is a letter of it")
            elif key not in self._posts and body is None and self.cluster.plan.retention:
                pass  # Its letter was there when it was acknowledged, and may have been purged.
            elif key not in self._posts and body != message.body:
                self.violated("P1", key, f"is poison, and its letter has {body!r}")
        for place in letters:
            self.violated("P1", place, "never was in the queue, and there is a letter of it")

    def _judge_taken(self, queue: SimulatedQueue) -> None:
        for message in queue.messages:
            taken_at = message.first_taken_at
            if self.history.troubles.suffered("store", "store_away", taken_at - _KNOWN, taken_at):
                text = f"was taken at {taken_at:.3f}, when the store had been away for long"
                self.violated("P1", _key(queue, message), text)

    def _judge_order(self, queue: SimulatedQueue) -> None:
        entered = {
            (key, user): sequence
            for key, user, sequence in self.cluster.store.rows(_ENTERED, f"connector:{queue.name}")
        }
        lines: dict[str, list[QueueMessage]] = {}
        for message in queue.messages:
            for user in self._recipients(_key(queue, message)):
                place = entered.get((_key(queue, message), user))
                if place is None:
                    continue
                line = lines.setdefault(user, [])
                for earlier in self._preceding(queue, line, message):
                    before = entered[_key(queue, earlier), user]
                    if before > place:
                        text = f"is {place} in the log of {user}, and {earlier.number} is {before}"
                        self.violated("P3", _key(queue, message), text)
                line.append(message)

    def _recipients(self, key: str) -> dict[str, None]:
        post = self._posts.get(key)
        return {} if post is None else dict.fromkeys(post.body["to"].get("users", ()))

    def _preceding(
        self, queue: SimulatedQueue, line: list[QueueMessage], message: QueueMessage
    ) -> Iterator[QueueMessage]:
        """Those of *line* that must stand before *message*, as far as they are not compared yet."""
        later = self._posts[_key(queue, message)]
        for earlier in reversed(line):
            answer = self._posts[_key(queue, earlier)]
            if may_be_overtaken(self.cluster, answer, later):
                continue
            if earlier.acked_at <= message.first_taken_at or self._was_calm(earlier, message):
                yield earlier
                if answer.status != SPOOLED:
                    return

    def _was_calm(self, earlier: QueueMessage, later: QueueMessage) -> bool:
        """Whether both came in one batch, which nothing disturbed.

        A batch that meets a failure of the store may be stored in another order, as one over HTTP.
        """
        if earlier.batch != later.batch or earlier.deliveries > 1 or later.deliveries > 1:
            return False
        since = earlier.first_taken_at - _AFTERMATH
        return not self.history.troubles.touch(since, later.acked_at)


def _key(queue: SimulatedQueue, message: QueueMessage) -> str:
    return f"{queue.name}/{message.number}"
