"""The checks of dead letters, replays and retention."""

import pytest

from simulation.checks.notifications.letters import Letters
from simulation.checks.notifications.retention import Retention
from simulation.world.history import RequestStory
from simulation.world.plan import Plan
from tests.simulation.stage_kit import EPOCH, Stage, a_post

DIED = '{"at":1000,"event":"dead","cause":"attempts","reason":"x","attempts":3}'


@pytest.fixture
def stage():
    return Stage()


def letter(stage, *, device="d0", deaths=1, status="dead"):
    """Put a dead letter of n1 for u0, with the id 1, into the store."""
    history = ",".join([DIED] * deaths)
    stage.put(
        "INSERT INTO dead_letters (id, notification_id, user_id, device_id, cause, reason,"
        " attempts, dead_at, status, history)"
        " VALUES (1, 'n1', 'u0', ?, 'attempts', 'x', 3, 1000, ?, ?)",
        *(device, status, f"[{history}]"),
    )


def listed(stage, *, device="d0", dead_at="then", status="dead"):
    line = {"id": 1, "notification": "n1", "user": "u0", "device": device, "dead_at": dead_at}
    answer = {"dead_letters": [line | {"status": status}], "next": None}
    told(stage, "list_dead_letters", 200, answer)


def told(stage, operation, status, answer=None, *, meanwhile=lambda: None, **path):
    stage.now += 1.0
    request = RequestStory("operator", "a", operation, path, {}, None, 1, stage.now)
    stage.history.asked(request)
    meanwhile()
    request.answered_at, request.status, request.answer = stage.now, status, answer
    stage.history.answered(request)


def replayed(stage, status=200, *, moves_to=2):
    def move():
        stage.put("UPDATE inbox SET sequence = ?", moves_to)

    told(stage, "replay_dead_letter", status, meanwhile=move, letter="1")


def stored(stage):
    check = stage.watched_by(Letters)
    stage.notify("n1", "p0-1")
    stage.enter("u0", "n1", 1)
    return check


# --- Replays --------------------------------------------------------------------------------------


def test_a_replay_that_moves_and_is_pushed_is_no_matter(stage):
    check = stored(stage)
    letter(stage, status="replayed")
    listed(stage)
    replayed(stage)
    stage.now += 1.0
    stage.session(start=1).push(2, id="n1")
    assert check.settled() is None
    check.finish()
    assert stage.complaints == []


def test_a_device_that_names_a_replay_as_processed_need_not_be_pushed_it(stage):
    check = stored(stage)
    letter(stage, status="replayed")
    listed(stage)
    replayed(stage)
    stage.now += 1.0
    assert check.settled() == "d0 of u0 has not been pushed n1, which was replayed"

    named = {"device": "d0", "ids": ["n1"]}
    request = RequestStory("u0/d0", "a", "acknowledge", {}, named, None, 1, stage.now)
    request.answered_at, request.status = stage.now, 204
    stage.history.answered(request)

    assert check.settled() is None


def test_one_that_stays_where_it_was_is_lost(stage):
    stored(stage)
    letter(stage, status="replayed")
    listed(stage)
    replayed(stage, moves_to=1)
    assert stage.complains("P1", "n1 was replayed, and still has its place 1")


def test_an_unread_push_of_an_old_session_does_not_hide_the_replay(stage):
    check = stored(stage)
    letter(stage, status="replayed")
    listed(stage)
    old_one, sent_at = stage.session(), stage.now
    replayed(stage)
    stage.now += 1.0
    stage.session(host="b").push(2, id="n1")
    old_one.push(1, id="n1", sent_at=sent_at)
    assert check.settled() is None


def test_one_that_its_device_is_not_pushed_is_lost(stage):
    check = stored(stage)
    letter(stage, status="replayed")
    listed(stage)
    replayed(stage)
    assert "has not been pushed n1" in check.settled()
    check.finish()
    assert stage.complains("P1", "d0 of u0 has not been pushed n1")


@pytest.mark.parametrize("status", ["dead", "discarded"])
def test_one_that_died_again_may_have_been_pushed_to_a_connection_that_carried_nothing(
    stage, status
):
    check = stored(stage)
    letter(stage, deaths=2, status=status)
    listed(stage)
    replayed(stage)
    check.finish()
    assert stage.complaints == []


@pytest.mark.parametrize(("deaths", "is_right"), [(1, False), (2, True)])
def test_a_letter_is_replayed_once_for_each_death(stage, deaths, is_right):
    check = stored(stage)
    letter(stage, deaths=deaths, status="replayed")
    listed(stage)
    replayed(stage)
    replayed(stage, moves_to=3)
    stage.now += 1.0
    stage.session(start=2).push(3, id="n1")
    check.finish()
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize(("dead_at", "is_right"), [("then", False), ("later", True)])
def test_a_settled_letter_is_dead_again_only_after_another_death(stage, dead_at, is_right):
    stored(stage)
    letter(stage)
    listed(stage)
    replayed(stage)
    listed(stage, dead_at=dead_at)
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize(("acks", "is_right"), [(True, False), (False, True)])
def test_a_replay_is_no_news_to_another_device_that_was_done_with_it(stage, acks, is_right):
    stored(stage)
    letter(stage)
    other = stage.session(device="d1")
    other.push(1, id="n1")
    if acks:
        other.ack(1)
    stage.now += 10.0
    listed(stage)
    replayed(stage)
    stage.now += 1.0
    other.push(2, id="n1")
    assert (stage.complaints == []) == is_right


# --- Expired letters ------------------------------------------------------------------------------


def expired(stage, **facts):
    check = stored(stage)
    stage.told(a_post("p0-1", "u0", ttl=5.0, **facts), 201, {"id": "n1"})
    return check


def test_a_notification_that_expired_unheard_leaves_a_letter(stage):
    check = expired(stage)
    stage.now += 4.0
    assert check.settled() is None
    stage.now += 10.0
    assert "has no letter" in check.settled()
    check.finish()
    assert stage.complains("P1", "p0-1 expired and was never pushed")


def test_or_it_may_have_been_marked_or_withdrawn_or_muted(stage):
    check = expired(stage)
    mark = {"state": "seen", "all": True}
    stage.told(RequestStory("u0/d0", "a", "mark", {}, mark, None, 1, 0.0), 200)
    stage.now += 14.0
    assert check.settled() is None


@pytest.mark.parametrize(("acks", "is_right"), [(True, False), (False, True)])
def test_a_notification_acknowledged_in_time_leaves_none(stage, acks, is_right):
    check = expired(stage)
    session = stage.session()
    session.push(1, id="n1")
    if acks:
        session.ack(1)
    letter(stage, device="")
    stage.now += 14.0
    check.finish()
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize("behind", [0, -17_000])
def test_a_node_whose_clock_is_behind_lets_it_end_sooner(stage, behind):
    check = expired(stage)
    stage.hosts["a"].clock_least = behind
    session = stage.session()
    session.push(1, id="n1")
    session.ack(1)
    letter(stage, device="")
    stage.now += 14.0
    check.finish()
    assert (stage.complaints == []) == (behind < 0)


# --- Retention ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "is_right"), [(20.0, True), (60.0, False)])
def test_an_old_notification_is_purged(seconds, is_right):
    stage = Stage(Plan(users=2, nodes=2, retention=10.0))
    check = stage.watched_by(Retention)
    stage.notify("n1", "p0-1")
    stage.now += seconds
    assert (check.settled() is None) == is_right


@pytest.mark.parametrize(
    ("hello", "is_right"), [("4", False), ("5", True), ("4~5", True), ("0~3", False)]
)
def test_a_session_below_the_horizon_is_begun_anew(stage, hello, is_right):
    stage.watched_by(Retention)
    stage.put("INSERT INTO users VALUES ('u0', 9, 0, 0, 5, 0, 0)")
    session = stage.session(hello=f"{EPOCH}.{hello}", start=4)
    session.push(6)
    assert (stage.complaints == []) == is_right


def test_or_it_is_told_so(stage):
    stage.watched_by(Retention)
    stage.put("INSERT INTO users VALUES ('u0', 9, 0, 0, 5, 0, 0)")
    session = stage.session(hello=f"{EPOCH}.4")
    session.hear({"type": "reset", "reason": "horizon"})
    session.push(6)
    assert stage.complaints == []


@pytest.mark.parametrize(
    ("seconds", "is_known", "is_right"),
    [(20.0, True, True), (20.0, False, False), (10.0, False, True)],
)
def test_a_device_that_stays_connected_is_not_forgotten(seconds, is_known, is_right):
    stage = Stage(Plan(users=2, nodes=2, retention=10.0))
    check = stage.watched_by(Retention)
    stage.session()
    if is_known:
        stage.put(
            "INSERT INTO devices (user_id, device_id, acknowledged, last_seen)"
            " VALUES ('u0', 'd0', 0, 0)"
        )
    stage.now += seconds
    check.finish()
    assert (stage.complaints == []) == is_right
