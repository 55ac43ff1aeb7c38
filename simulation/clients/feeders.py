"""A feeder: puts posts into a queue, from which the nodes' connectors take them.

A post in a queue is a request like any other: it is asked when it is put in, and answered when a
connector acknowledges it. So all checks judge it as they judge posts over HTTP. The answer has the
id under which the store keeps the post by then; without one, it has been spooled, as with `202`.

Some messages are poison: no node can ever store them.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from simulation.clients.posts import plain_draft
from simulation.clients.worker import Worker
from simulation.world.cluster import Cluster
from simulation.world.history import RequestStory
from simulation.world.queue import QueueMessage, SimulatedQueue

_STORED: Final = "SELECT id FROM notifications WHERE json_extract(document, '$.title') = ?"
_WAS_STORED: Final = "SELECT notification_id FROM idempotency WHERE credential = ? AND key = ?"
"""For a message that was delivered again after its notification was purged."""
_BURST: Final = 30
"""The most messages that are put in at once: more than a batch."""
_BURSTS: Final = 0.1
"""The share of feeds that are bursts: rare, for each fills several batches."""
_POISON: Final = (
    b"",
    b"no JSON",
    b'{"to":{"users":["u0"]}}',
    b'{"to":{"users":["u0"]},"title":"poison","unknown":1}',
    b'{"to":{"users":["u0"]},"title":7}',
    b"\xff\xfe",
    b"[" * 5000,
)


class Feeder(Worker):
    """See the module; feeds *queue* every *interval* seconds on average."""

    def __init__(self, cluster: Cluster, queue: SimulatedQueue, interval: float) -> None:
        name = f"queue-{queue.name}"
        super().__init__(cluster, name, cluster.chance(name), interval)
        self._queue = queue
        self._stories: dict[int, RequestStory] = {}
        self._posts = 0
        queue.acknowledged.append(self._acknowledged)

    def _act(self) -> None:
        times = 1
        if self.chance.happens(_BURSTS):
            times = 2 + int(self.chance.random() * _BURST)
        for _ in range(times):
            self._put()
        self._pause(times)

    def _put(self) -> None:
        if self.chance.happens(self.cluster.plan.poison):
            self._queue.put(self.chance.one(_POISON))
            return
        self._posts += 1
        body = plain_draft(self.cluster, self.chance, f"{self.name}-{self._posts}")
        message = self._queue.put(msgspec.json.encode(body))
        story = RequestStory(
            who=self.name,
            host="",
            operation="publish",
            path={},
            body=body,
            key=f"{self._queue.name}/{message.number}",
            attempt=1,
            asked_at=self.cluster.timeline.now,
        )
        self._stories[message.number] = story
        self._under_way += 1
        self.cluster.history.asked(story)

    def _acknowledged(self, message: QueueMessage) -> None:
        story = self._stories.get(message.number)
        if story is None:
            return
        self._under_way -= 1
        rows, credential = self.cluster.store.rows, f"connector:{self._queue.name}"
        stored = rows(_STORED, story.body["title"]) or rows(_WAS_STORED, credential, story.key)
        story.host, story.attempt = message.acked_by, message.deliveries
        story.answered_at = self.cluster.timeline.now
        story.status = 201 if stored else 202
        story.answer = {"id": stored[0][0] if stored else str(story.key)}
        self.cluster.note(self.name, f"{message.number} acknowledged {story.status}")
        self.cluster.history.answered(story)


def feeders_of(cluster: Cluster) -> list[Feeder]:
    """The feeders of all queues of *cluster*."""
    rate = cluster.plan.queue / max(1, len(cluster.queues))
    interval = 1 / rate if rate else math.inf
    return [Feeder(cluster, queue, interval) for queue in cluster.queues]
