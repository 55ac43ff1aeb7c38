"""The complaints of the checks that judge the store, and what they allow."""

from types import SimpleNamespace

import pytest

from simulation.checks.devices.ledger import Ledger
from simulation.checks.nodes.convergence import Convergence
from simulation.checks.nodes.counters import Counters
from simulation.checks.notifications.acceptance import Acceptance
from simulation.checks.notifications.order import Order
from simulation.clients.screen import Screen
from simulation.world.history import RequestStory
from tests.simulation.stage_kit import Stage, a_post


@pytest.fixture
def stage():
    return Stage()


# --- Acceptance -----------------------------------------------------------------------------------


def test_an_accepted_post_that_is_stored_is_no_matter(stage):
    check = stage.watched_by(Acceptance)
    stage.told(a_post("p0-1", "u0", "u1"), 201, {"id": "n1"})
    stage.notify("n1", "p0-1")
    stage.enter("u0", "n1", 1)
    stage.enter("u1", "n1", 1)
    check.finish()
    assert stage.complaints == []


@pytest.mark.parametrize("status", [201, 202])
def test_an_accepted_post_must_be_stored(stage, status):
    check = stage.watched_by(Acceptance)
    stage.told(a_post("p0-1", "u0", key="k"), status, {"id": "n1"})
    check.finish()
    assert any("and is not stored" in complaint for complaint in stage.complaints)


@pytest.mark.parametrize("status", [503, None])
def test_a_post_that_was_not_accepted_need_not_be_there(stage, status):
    check = stage.watched_by(Acceptance)
    stage.told(a_post("p0-1", "u0"), status)
    check.finish()
    assert stage.complaints == []


def test_it_must_have_reached_each_recipient(stage):
    check = stage.watched_by(Acceptance)
    stage.told(a_post("p0-1", "u0", "u1"), 201, {"id": "n1"})
    stage.notify("n1", "p0-1")
    stage.enter("u0", "n1", 1)
    check.finish()
    assert stage.complains("P1", "u1 has it not")


def test_it_must_not_have_reached_others(stage):
    check = stage.watched_by(Acceptance)
    stage.told(a_post("p0-1", "u0"), 201, {"id": "n1"})
    stage.notify("n1", "p0-1")
    stage.enter("u0", "n1", 1)
    stage.enter("u1", "n1", 1)
    check.finish()
    assert stage.complains("P1", "is not for u1")


def test_a_user_who_has_muted_it_need_not_have_it(stage):
    check = stage.watched_by(Acceptance)
    muting = {"categories": {"news": False}, "topics": {}}
    stage.told(RequestStory("u0/d0", "a", "set_preferences", {}, muting, None, 1, 0.0), 200)
    stage.told(a_post("p0-1", "u0", category="news"), 201, {"id": "n1"})
    stage.notify("n1", "p0-1")
    check.finish()
    assert stage.complaints == []


def test_one_post_is_stored_once(stage):
    check = stage.watched_by(Acceptance)
    stage.told(a_post("p0-1", "u0", key="k"), None)
    for id_, sequence in (("n1", 1), ("n2", 2)):
        stage.notify(id_, "p0-1")
        stage.enter("u0", id_, sequence)
    check.finish()
    assert stage.complains("P1", "posted once, stored as n1, n2")


def test_repetitions_are_answered_the_same(stage):
    check = stage.watched_by(Acceptance)
    stage.notify("n1", "p0-1")
    stage.enter("u0", "n1", 1)
    for id_ in ("n1", "n2"):
        stage.told(a_post("p0-1", "u0", key="k"), 201, {"id": id_})
    check.finish()
    assert any("answered with n1, n2" in complaint for complaint in stage.complaints)


def test_nothing_is_withdrawn_by_itself(stage):
    check = stage.watched_by(Acceptance)
    stage.told(a_post("p0-1", "u0"), 201, {"id": "n1"})
    stage.notify("n1", "p0-1", standing="withdrawn")
    check.finish()
    assert stage.complains("P1", "without a request")


def changed(stage, operation, status, body=None):
    path = {"notification": "n1"}
    stage.told(RequestStory("p0", "a", operation, path, body, None, 1, 0.0), status, {})


def test_a_withdrawal_that_was_answered_shows(stage):
    check = stage.watched_by(Acceptance)
    stage.notify("n1", "p0-1")
    changed(stage, "withdraw_notification", 204)
    check.finish()
    assert stage.complains("P1", "withdraw_notification was answered 204", "is active")


@pytest.mark.parametrize(("title", "is_right"), [("p0-1.2", True), ("p0-1.1", False)])
def test_the_last_update_that_was_answered_shows(stage, title, is_right):
    check = stage.watched_by(Acceptance)
    for number in (1, 2):
        stage.now += 1.0
        changed(stage, "update_notification", 200, {"title": f"p0-1.{number}"})
    stage.notify("n1", title)
    check.finish()
    assert (stage.complaints == []) == is_right


def test_one_of_which_nobody_knows_may_show(stage):
    check = stage.watched_by(Acceptance)
    changed(stage, "update_notification", None, {"title": "p0-1.1"})
    stage.now += 1.0
    changed(stage, "update_notification", 200, {"title": "p0-1.2"})
    stage.notify("n1", "p0-1.1")
    check.finish()
    assert stage.complaints == []


# --- Order ----------------------------------------------------------------------------------------


def two_posts(stage, *, first=201, second=201):
    """The second post stands before the first in the log."""
    check = stage.watched_by(Order)
    for place, (title, status) in enumerate((("p0-1", first), ("p0-2", second))):
        stage.now += 1.0
        stage.told(a_post(title, "u0"), status, {"id": f"n{place}"})
        stage.notify(f"n{place}", title)
        stage.enter("u0", f"n{place}", 9 - place)
    check.finish()


@pytest.mark.parametrize(("first", "second"), [(201, 201), (202, 202), (201, 202), (202, 201)])
def test_the_first_post_stands_first(stage, first, second):
    two_posts(stage, first=first, second=second)
    assert stage.complains("P3", "p0-1", "is 9 in the log of u0", "p0-2", "is 8")


@pytest.mark.parametrize(("first", "is_right"), [(202, True), (201, False)])
def test_a_spooled_post_may_stand_behind_one_committed_without_the_bus(stage, first, is_right):
    with stage.trouble("b", "bus_away"):
        two_posts(stage, first=first)
    assert (stage.complaints == []) == is_right


# --- Counters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unread", "unseen"), [(2, 1), (2, 2), (1, 1)])
def test_counters_count_the_states(stage, unread, unseen):
    check = stage.watched_by(Counters)
    stage.enter("u0", "n1", 1)
    stage.enter("u0", "n2", 2, "seen")
    stage.enter("u0", "n3", 3, "read")
    stage.count("u0", 3, unread, unseen)
    check.look()
    assert (stage.complaints == []) == ((unread, unseen) == (2, 1))


def test_the_head_is_not_behind_the_last_entry(stage):
    check = stage.watched_by(Counters)
    stage.enter("u0", "n1", 5)
    stage.count("u0", 4, 1, 1)
    check.look()
    assert stage.complains("P3", "the log's head is 4, its last entry 5")


# --- Convergence ----------------------------------------------------------------------------------


def device_showing(stage, *shown, since=0, counters=(1, 1)):
    screen = Screen()
    screen.since, screen.counters = since, counters
    for id_, sequence, state in shown:
        notification = {"id": id_, "title": "p0-1", "state": state, "revision": 1}
        screen.shown[id_] = {"sequence": sequence, "notification": notification}
    stage.devices = [
        SimpleNamespace(user="u0", name="d0", who="u0/d0", screen=screen, session=object())
    ]
    stage.notify("n1", "p0-1")
    stage.enter("u0", "n1", 1)
    stage.count("u0", 1, 1, 1)
    check = stage.watched_by(Convergence)
    stage.told(a_post("p0-1", "u0"), 201, {"id": "n1"})
    check.finish()


def test_a_device_that_shows_what_there_is_is_no_matter(stage):
    device_showing(stage, ("n1", 1, "unseen"))
    assert stage.complaints == []


def test_one_that_misses_something_has_been_failed(stage):
    device_showing(stage)
    assert stage.complains("P5", "does not show", "n1")


def test_unless_it_began_behind_it(stage):
    device_showing(stage, since=1)
    assert stage.complaints == []


def test_one_that_shows_another_state_has_been_failed(stage):
    device_showing(stage, ("n1", 1, "read"))
    assert any("shows n1 as ('read', 1)" in complaint for complaint in stage.complaints)


def test_one_that_was_told_other_numbers_has_been_failed(stage):
    device_showing(stage, ("n1", 1, "unseen"), counters=(2, 1))
    assert stage.complains("P5", "was told (2, 1)")


# --- The ledger -----------------------------------------------------------------------------------


def ledger_line(stage, sequence=1, *, acknowledged, attempts=1, dead_reason=None):
    stage.notify("n1", "p0-1")
    stage.enter("u0", "n1", 1)
    stage.put(
        "INSERT INTO deliveries VALUES ('n1', 'u0', 'd0', ?, ?, 0, ?, ?, ?, 0)",
        *(sequence, attempts, 1 if acknowledged else None, sequence if acknowledged else 0),
        dead_reason,
    )


def acknowledging(stage, *, acks=True, attempt=1):
    check = stage.watched_by(Ledger)
    session = stage.session()
    session.push(1, attempt=attempt)
    if acks:
        session.ack(1)
    stage.now += 10.0
    return check


def test_a_ledger_that_says_what_was_done_is_no_matter(stage):
    check = acknowledging(stage)
    ledger_line(stage, acknowledged=True)
    check.finish()
    assert stage.complaints == []


def test_it_must_not_say_more(stage):
    check = acknowledging(stage, acks=False)
    ledger_line(stage, acknowledged=True)
    check.finish()
    assert stage.complains("P2", "n1 is acknowledged up to 1; the device said None")


def test_it_must_not_say_less(stage):
    check = acknowledging(stage)
    ledger_line(stage, acknowledged=False)
    check.finish()
    assert stage.complains("P2", "1 was acknowledged at 0.000, the ledger says 0")


def test_it_counts_the_attempts(stage):
    check = acknowledging(stage, attempt=3)
    ledger_line(stage, acknowledged=True, attempts=2)
    check.finish()
    assert stage.complains("P2", "3 attempts were seen, the ledger says 2")


def test_a_dead_letter_has_a_reason(stage):
    check = acknowledging(stage, acks=False)
    ledger_line(stage, acknowledged=False, dead_reason="attempts exhausted")
    check.finish()
    assert stage.complains("P1", "n1 is dead, without a reason")


def test_a_cursor_stands_before_what_was_not_acknowledged(stage):
    check = acknowledging(stage, acks=False)
    ledger_line(stage, acknowledged=False)
    stage.put(
        "INSERT INTO devices (user_id, device_id, acknowledged, last_seen)"
        " VALUES ('u0', 'd0', 1, 0)"
    )
    check.finish()
    assert stage.complains("P2", "stands at 1; of n1, 1 in the log, it said None")
