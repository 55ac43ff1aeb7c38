"""A delivery that is too early or too late is complained of, unless a clock was wrong by as
much."""

import pytest

from simulation.checks.notifications.times import Times
from simulation.world.history import RequestStory
from tests.simulation.stage_kit import Stage, a_post
from tocsin.protocol.values import to_rfc3339

TIME = to_rfc3339(20_000)


class Watched(Stage):
    """A stage with the check under test."""

    def __post_init__(self):
        super().__post_init__()
        self.check = self.watched_by(Times)


@pytest.fixture
def stage():
    return Watched()


def clock_of(stage, host, seconds):
    stage.hosts[host].clock_least = min(0, 1000 * seconds)
    stage.hosts[host].clock_most = max(0, 1000 * seconds)


def a_notification(**facts):
    return {"id": "n1", "title": "p0-1", "expires_at": None} | facts


def listed(stage, notification):
    request = RequestStory("u0/d0", "a", "list_inbox", {}, {}, None, 1, 0.0)
    stage.told(request, 200, {"notifications": [notification]})


def pushed(stage, notification):
    push = {"type": "push", "sequence": 1, "notification": notification}
    stage.session().hear(push)


def polled(stage, notification):
    answer = {"changes": [{"sequence": 1, "notification": notification}]}
    stage.session(transport="poll").hear({"type": "changes", **answer})


EVERYWHERE = pytest.mark.parametrize("comes", [pushed, polled, listed])


# --- Scheduled notifications ----------------------------------------------------------------------


def scheduled(stage):
    stage.now = 5.0
    stage.told(a_post("p0-1", "u0", deliver_at=TIME), 201, {"id": "n1"})


@EVERYWHERE
@pytest.mark.parametrize(("at", "is_right"), [(19.0, False), (20.0, True)])
def test_a_scheduled_notification_is_not_seen_before_its_time(stage, comes, at, is_right):
    scheduled(stage)
    stage.now = at
    comes(stage, a_notification(title="p0-1.1"))
    assert (stage.complaints == []) == is_right
    assert all("P1 n1 was " in each for each in stage.complaints)
    assert all("1.000 s before its time" in each for each in stage.complaints)


@pytest.mark.parametrize(
    ("host", "seconds", "is_excused"),
    [("a", 2, True), ("b", 2, True), ("a", 0.5, False), ("a", -2, False)],
)
def test_a_clock_that_is_ahead_by_as_much_excuses_that(stage, host, seconds, is_excused):
    scheduled(stage)
    clock_of(stage, host, seconds)
    stage.now = 19.0
    pushed(stage, a_notification())
    assert (stage.complaints == []) == is_excused


@pytest.mark.parametrize(("at", "is_right"), [(19.0, False), (20.0, True)])
def test_nor_is_it_in_an_inbox_where_nobody_looks(stage, at, is_right):
    scheduled(stage)
    stage.check.look()
    assert stage.complaints == []
    stage.notify("n1", "p0-1")
    stage.enter("u1", "n1", 1)
    stage.now = at
    stage.check.look()
    assert (stage.complaints == []) == is_right


# --- Expired notifications ------------------------------------------------------------------------


@EVERYWHERE
def test_an_expired_notification_is_not_seen_any_more(stage, comes):
    stage.now = 19.9
    comes(stage, a_notification(expires_at=TIME))
    assert stage.complaints == []
    stage.now = 40.0
    comes(stage, a_notification(expires_at=TIME))
    assert stage.complains("P1", "20.000 s after it had expired")


@pytest.mark.parametrize(
    ("host", "seconds", "is_excused"), [("a", -30, True), ("a", -10, False), ("b", -30, False)]
)
@EVERYWHERE
def test_the_nodes_own_clock_may_say_otherwise(stage, comes, host, seconds, is_excused):
    clock_of(stage, host, seconds)
    stage.now = 40.0
    comes(stage, a_notification(expires_at=TIME))
    assert (stage.complaints == []) == is_excused
