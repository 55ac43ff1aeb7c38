"""The store's inbox and the devices' screens are compared with the requests, not with each
other."""

from types import SimpleNamespace

import pytest

from simulation.checks.nodes.convergence import Convergence
from simulation.clients.screen import Screen
from simulation.world.history import RequestStory
from simulation.world.plan import Plan
from tests.simulation.stage_kit import Stage, a_post

KEPT = Plan(users=2, nodes=2, retention=10.0)


@pytest.fixture
def stage():
    return Stage()


def judged(stage, *, state="unseen", shown=None, users=("u0",)):
    """Judge n1 in *state* in the store, and in *shown* on the device if it is given."""
    screen = Screen()
    screen.since = 0
    notification = {"id": "n1", "title": "p0-1", "state": shown or state, "revision": 1}
    screen.shown["n1"] = {"sequence": 1, "notification": notification}
    stage.devices = [
        SimpleNamespace(user="u0", name="d0", who="u0/d0", screen=screen, session=object())
    ]
    if state is not None:
        stage.notify("n1", "p0-1")
        for user in users:
            stage.enter(user, "n1", 1, state)
    return stage.watched_by(Convergence)


def asked(stage, who, operation, status, body=None, **path):
    stage.now += 1.0
    return stage.told(RequestStory(who, "a", operation, path, body, None, 1, 0.0), status, {})


def posted(stage, **facts):
    return stage.told(a_post("p0-1", "u0", **facts), 201, {"id": "n1"})


def marked(stage, state, status=200, **what):
    asked(stage, "u0/d0", "mark", status, {"state": state} | (what or {"ids": ["n1"]}))


def test_a_mark_that_was_asked_and_is_so_is_no_matter(stage):
    check = judged(stage, state="read")
    posted(stage)
    marked(stage, "read")
    check.finish()
    assert stage.complaints == []


def test_a_mark_that_was_answered_shows(stage):
    check = judged(stage)
    posted(stage)
    marked(stage, "read")
    check.finish()
    assert len(stage.complaints) == 2
    assert "has n1" in stage.complaints[0]
    assert "it must be read" in stage.complaints[0]
    assert "d0 shows n1 as unseen" in stage.complaints[1]


@pytest.mark.parametrize(("status", "is_right"), [(503, True), (None, True), (422, False)])
def test_one_of_which_nobody_knows_may_show(stage, status, is_right):
    check = judged(stage, state="read")
    posted(stage)
    marked(stage, "read", status)
    check.finish()
    assert (stage.complaints == []) == is_right


def test_no_user_has_a_notification_for_another(stage):
    check = judged(stage, users=("u0", "u1"))
    posted(stage)
    check.finish()
    assert stage.complains("P5", "has n1", "it must be absent")


def test_a_withdrawal_that_was_answered_is_told_to_all(stage):
    check = judged(stage)
    posted(stage)
    asked(stage, "p0", "withdraw_notification", 204, notification="n1")
    check.finish()
    assert any("must be withdrawn" in complaint for complaint in stage.complaints)


@pytest.mark.parametrize(("answered", "is_right"), [(204, False), (503, True)])
def test_a_user_who_has_muted_a_category_does_not_get_it(stage, answered, is_right):
    check = judged(stage)
    asked(stage, "u0/d0", "set_preferences", answered, {"categories": {"news": False}})
    stage.now += 1.0
    posted(stage, category="news")
    check.finish()
    assert (stage.complaints == []) == is_right


def test_a_user_who_wants_it_again_gets_it_again(stage):
    check = judged(stage, state=None, shown="unseen")
    stage.devices.clear()
    stage.notify("n1", "p0-1")
    asked(stage, "u0/d0", "set_preferences", 204, {"categories": {"news": False}})
    asked(stage, "u0/d0", "set_preferences", 204, {"categories": {}})
    stage.now += 1.0
    posted(stage, category="news")
    check.finish()
    assert stage.complains("P5", "has n1 nowhere", "it must be unseen")


def test_a_user_who_left_a_topic_gets_nothing_of_it_any_more(stage):
    check = judged(stage)
    asked(stage, "u0/d0", "subscribe", 204, topic="t0")
    asked(stage, "u0/d0", "unsubscribe", 204, topic="t0")
    stage.now += 1.0
    post = a_post("p0-1")
    post.body["to"] = {"topic": "t0"}
    stage.told(post, 201, {"id": "n1"})
    check.finish()
    assert any("it must be absent" in complaint for complaint in stage.complaints)


@pytest.mark.parametrize(("then", "is_right"), [("n1", True), ("n2", False)])
def test_a_key_is_of_one_notification_at_a_time(stage, then, is_right):
    check = judged(stage, state=None, shown="unseen")
    stage.devices.clear()
    for number, id_ in ((1, "n1"), (2, then)):
        stage.now += 1.0
        stage.told(a_post(f"p0-{number}", "u0", collapse_key="k"), 201, {"id": id_})
    for place, id_ in enumerate(dict.fromkeys(("n1", then))):
        stage.notify(id_, "p0-2", collapse_key="k")
        stage.enter("u0", id_, place + 1)
    check.finish()
    assert any("has the key of p0-1" in each for each in stage.complaints) == (not is_right)


# --- Retention ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "is_right"), [(5.0, False), (15.0, True)])
def test_only_what_is_old_is_forgotten(seconds, is_right):
    stage = Stage(KEPT)
    check = judged(stage, state=None, shown="unseen")
    posted(stage)
    stage.now += seconds
    check.finish()
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize(("clock", "is_right"), [(0, False), (-300_000, True)])
def test_a_node_whose_clock_is_behind_lets_a_post_expire_early(clock, is_right):
    stage = Stage(Plan(users=2, nodes=2, retention_expired=2.0))
    stage.hosts["b"].clock_least = clock
    check = judged(stage, state=None)
    posted(stage, ttl=60)
    stage.now += 10.0
    check.finish()
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize(("mark", "is_right"), [("archived", True), ("read", False)])
def test_one_that_was_withdrawn_is_purged_by_the_time_at_which_it_was_archived(mark, is_right):
    stage = Stage(Plan(users=2, nodes=2, retention_archived=5.0))
    check = judged(stage, state=None, shown="withdrawn")
    posted(stage)
    marked(stage, mark)
    asked(stage, "p0", "withdraw_notification", 204, notification="n1")
    stage.now += 10.0
    check.finish()
    assert (stage.complaints == []) == is_right


def test_a_purged_notification_is_shown_as_it_was_in_the_end():
    stage = Stage(KEPT)
    check = judged(stage, state=None, shown="unseen")
    posted(stage)
    marked(stage, "read")
    stage.now += 15.0
    check.finish()
    assert stage.complains("P5", "d0 shows n1 as unseen", "it must be read or read purged")
