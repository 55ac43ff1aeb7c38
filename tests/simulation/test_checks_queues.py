"""The complaints of the check of queues."""

from __future__ import annotations

import math

import pytest

from simulation.checks.notifications.queues import Queues
from simulation.world.chance import Chance
from simulation.world.history import RequestStory
from simulation.world.queue import SimulatedQueue
from simulation.world.timeline import Timeline
from tests.simulation.stage_kit import Stage

_LETTER = """
    INSERT INTO ingest_letters (id, connector, place, headers, encoding, body, cut, problem,
        dead_at, history)
    VALUES (?, 'line', ?, '{}', 'text', ?, 0, '{}', 0, '')
"""


class QueueStage(Stage):
    """A stage with one ordered queue, whose posts and acknowledgments the test tells."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.line = SimulatedQueue("line", Timeline(), Chance(1), lambda: 0, ordered=True)
        self.queues = [self.line]
        self.check = self.watched_by(Queues)

    def send(self, *users: str) -> RequestStory | None:
        """A post to *users*; poison without any."""
        message = self.line.put(b"body")
        message.put_at = self.now
        if not users:
            return None
        body = {"to": {"users": list(users)}, "title": f"queue-line-{message.number}"}
        key = f"line/{message.number}"
        story = RequestStory("queue-line", "", "publish", {}, body, key, 1, self.now)
        self.history.asked(story)
        return story

    def letter(self, number: int, body: str = "body") -> None:
        self.put(_LETTER, number + 1, f"line/{number}", body)

    def store_post(self, number: int, user: str, sequence: int) -> None:
        id_ = f"n{number}"
        self.notify(id_, f"queue-line-{number}")
        self.enter(user, id_, sequence)
        self.put("UPDATE inbox SET created_sequence = sequence")
        self.put(
            "INSERT INTO idempotency VALUES ('connector:line', ?, x'', '', ?, 0)",
            f"line/{number}",
            id_,
        )

    def acknowledge(self, number: int, status: int, taken_at: float, batch: int = 1) -> None:
        message = self.line.messages[number]
        message.deliveries, message.batch = 1, batch
        message.first_taken_at, message.acked_at = taken_at, self.now
        if (story := self.check._posts.get(f"line/{number}")) is not None:
            story.status, story.answered_at, story.host = status, self.now, "a"
        for tell in self.line.acknowledged:
            tell(message)


@pytest.fixture
def stage():
    return QueueStage()


def test_poison_without_a_letter_is_not_to_be_acknowledged(stage):
    stage.send()
    stage.acknowledge(0, 201, 0.0)
    assert stage.complains("P1", "there is no letter")


def test_poison_with_its_letter_is_right(stage):
    stage.send()
    stage.letter(0)
    stage.acknowledge(0, 201, 0.0)
    stage.check.finish()
    assert stage.complaints == []


def test_a_letter_has_the_body_of_its_message(stage):
    stage.send()
    stage.letter(0, "another")
    stage.check.finish()
    assert stage.complains("P1", "is poison")


def test_a_good_message_has_no_letter(stage):
    stage.send("u0")
    stage.letter(0)
    stage.check.finish()
    assert stage.complains("P1", "can be stored")


def test_a_letter_of_nothing_is_wrong(stage):
    stage.letter(7)
    stage.check.finish()
    assert stage.complains("P1", "never was in the queue")


def test_a_post_that_is_nowhere_is_not_to_be_acknowledged(stage):
    stage.send("u0")
    stage.acknowledge(0, 202, 0.0)
    assert stage.complains("P1", "neither in the store nor in the spool")


def test_a_spooled_post_may_be_acknowledged(stage):
    stage.broker.has_claim = lambda key: key == "connector:line line/0"
    stage.send("u0")
    stage.acknowledge(0, 202, 0.0)
    assert stage.complaints == []


@pytest.mark.parametrize(("second", "is_right"), [(2, True), (1, False)])
def test_successive_batches_keep_their_order(stage, second, is_right):
    for number, place in enumerate((3 - second, second)):
        stage.send("u0")
        stage.store_post(number, "u0", place)
        stage.acknowledge(number, 201, stage.now, batch=number)
        stage.now += 1.0
    stage.check.finish()
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize("is_troubled", [True, False])
def test_a_batch_keeps_its_order_unless_the_store_failed(stage, is_troubled):
    for number, place in enumerate((2, 1)):
        stage.send("u0")
        stage.store_post(number, "u0", place)
    if is_troubled:
        with stage.trouble("store", "store_away"):
            stage.now += 1.0
    for number in (0, 1):
        stage.acknowledge(number, 201, stage.now - 1.0)
    stage.check.finish()
    assert (stage.complaints == []) == is_troubled


def test_a_message_is_not_taken_while_the_store_has_been_away_for_long(stage):
    stage.send("u0")
    with stage.trouble("store", "store_away"):
        stage.now += 60.0
        stage.line.messages[0].first_taken_at = stage.now - 1.0
    stage.check.finish()
    assert stage.complains("P1", "had been away for long")


def test_a_message_that_waits_is_missing(stage):
    assert stage.check.settled() is None
    stage.send("u0")
    assert "1 messages wait" in stage.check.settled()
    assert stage.line.messages[0].acked_at == math.inf
