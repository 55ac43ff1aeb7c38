"""The complaints of the checks of sessions, and what they allow."""

import pytest

from simulation.checks.devices.durable import Durable
from simulation.checks.devices.pushes import Pushes
from simulation.checks.devices.sessions import Sessions
from simulation.checks.devices.single import Single
from simulation.world.history import RequestStory
from simulation.world.plan import Plan
from tests.simulation.stage_kit import EPOCH, Stage


@pytest.fixture
def stage():
    stage = Stage()
    stage.watched_by(Sessions)
    return stage


def test_a_session_as_it_should_be_is_no_matter(stage):
    session = stage.session(hello=f"{EPOCH}.3", start=3, head=5)
    session.push(4, replay=True)
    session.push(5, replay=True)
    session.synced(5)
    session.push(6)
    session.ack(6)
    session.goodbye("draining")
    assert stage.complaints == []


def test_a_push_must_name_the_one_before_it(stage):
    session = stage.session()
    session.synced(0)
    session.push(1)
    session.push(2, previous=0)
    assert stage.complains("P3", "2 says that 0 came before it, not 1")


def test_a_push_must_not_come_behind_a_later_one(stage):
    session = stage.session()
    session.synced(0)
    session.push(2)
    session.push(1)
    assert stage.complains("P3", "1 came behind 2")


@pytest.mark.parametrize("is_synced", [False, True])
def test_replay_is_said_before_synced_and_not_after(stage, is_synced):
    session = stage.session()
    if is_synced:
        session.synced(0)
    session.push(1, replay=is_synced)
    assert stage.complains("P3", "1 says replay")


def test_synced_may_not_be_said_behind_the_head(stage):
    session = stage.session(head=4)
    session.synced(3)
    assert stage.complains("P4", "synced at 3")


def test_nothing_may_follow_a_goodbye(stage):
    session = stage.session()
    session.synced(0)
    session.goodbye("slow")
    session.push(1)
    assert stage.complains("P3", "push came after goodbye")


def test_entries_between_two_pushes_must_not_be_in_the_store(stage):
    stage.notify("n1", "a")
    stage.enter("u0", "n1", 1)
    session = stage.session()
    session.synced(0)
    session.push(2)
    assert stage.complains("P4", "between 0 and 2", "n1")


@pytest.mark.parametrize(("ahead", "is_right"), [(0, False), (9000, True)])
def test_the_reason_to_give_a_device_up_is_forgotten_with_it(ahead, is_right):
    stage = Stage(Plan(users=2, nodes=2, retention=8.0))
    stage.watched_by(Sessions)
    stage.hosts["b"].clock_most = ahead
    stage.notify("n1", "a")
    stage.enter("u0", "n1", 1)
    session = stage.session()
    session.synced(0)
    session.push(2)
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize("state", ["withdrawn", "unseen"])
def test_a_withdrawn_notification_may_be_left_out(stage, state):
    stage.notify("n1", "a")
    stage.enter("u0", "n1", 1, state)
    session = stage.session()
    session.synced(1)
    assert stage.complaints == [] or state == "unseen"
    assert bool(stage.complaints) == (state == "unseen")


def test_a_foreign_cursor_needs_a_reset(stage):
    session = stage.session(hello="other.3", head=3)
    session.push(1, replay=True)
    assert stage.complains("P4", "push came, and not a reset")


def test_after_a_reset_all_begins_anew(stage):
    session = stage.session(hello="other.3", head=1)
    session.hear({"type": "reset", "reason": "epoch"})
    session.push(1, replay=True)
    session.synced(1)
    assert stage.complaints == []


@pytest.mark.parametrize("is_reset_known", [False, True])
def test_an_ack_while_the_session_begins_anew_may_count_for_it(stage, is_reset_known):
    stage.put("INSERT INTO users VALUES ('u0', 4, 0, 0, 1, 0, 0)")
    session = stage.session(window=2)
    session.push(1, replay=True)
    session.push(2, replay=True)
    stage.now += 1.0
    if not is_reset_known:
        session.ack(2)
    session.hear({"type": "reset", "reason": "horizon"}, sent_at=0.5)
    if is_reset_known:
        session.ack(2)
    for sequence, previous, sent_at in ((1, 0, 0.5), (2, 1, 0.5), (3, 2, 1.0), (4, 3, 1.0)):
        session.push(sequence, previous=previous, replay=True, sent_at=sent_at)
    assert stage.complaints == []
    session.push(5, replay=True)
    assert stage.complains("P6", "3 pushes are unanswered, and the window is 2")


def test_a_reset_without_need_is_one_too_many(stage):
    session = stage.session(hello=f"{EPOCH}.2", start=2, head=3)
    session.hear({"type": "reset", "reason": "epoch"})
    assert stage.complains("P4", "could be served")


def test_a_session_must_start_where_it_was_asked_to(stage):
    stage.session(hello=f"{EPOCH}.2", start=3, head=3)
    assert stage.complains("P4", "starts at 3")


# --- Repetitions ----------------------------------------------------------------------------------


def repeated(stage, *, after=10.0, attempt=2, acknowledged=False, **changes):
    session = stage.session()
    session.synced(0)
    session.push(1)
    if acknowledged:
        stage.now += 1.0
        session.ack(1)
        after -= 1.0
    stage.now += after
    session.push(1, attempt=attempt, **changes)


def test_an_unacknowledged_push_comes_again(stage):
    repeated(stage)
    assert stage.complaints == []


def test_an_acknowledged_push_does_not(stage):
    repeated(stage, acknowledged=True)
    assert stage.complains("P2", "1 was sent again at 10.000, acknowledged at 1.000")


def test_it_may_if_the_node_was_in_trouble(stage):
    with stage.trouble("a", "stopped"):
        repeated(stage, acknowledged=True)
    assert stage.complaints == []


def test_it_comes_as_the_next_attempt(stage):
    repeated(stage, attempt=3)
    assert stage.complains("P2", "as attempt 3, not 2")


def test_it_does_not_come_before_its_delay(stage):
    repeated(stage, after=5.0)
    assert stage.complains("P2", "after 5.000 s, not 8.000")


def test_it_does_not_come_too_late(stage):
    session = stage.session()
    session.synced(0)
    session.push(1)
    stage.now += 30.0
    session.push(2)
    assert stage.complains("P2", "1, sent 1 times", "was not sent again by 30.000")


def test_an_older_change_does_not_come_again_after_a_newer_one(stage):
    session = stage.session()
    session.synced(0)
    session.push(1, id="n")
    session.push(2, id="n", change="updated")
    stage.now += 10.0
    session.push(1, id="n", attempt=2)
    assert stage.complains("P3", "1 came again after a later change")


def test_more_than_the_window_is_too_much(stage):
    session = stage.session(window=2)
    session.synced(0)
    for sequence in (1, 2, 3):
        session.push(sequence)
    assert stage.complains("P6", "3 pushes are unanswered, and the window is 2")


def test_unresponsive_is_not_said_before_the_limit(stage):
    session = stage.session()
    session.synced(0)
    session.push(1)
    session.goodbye("unresponsive")
    assert stage.complains("P2", "unresponsive before the limit")


# --- Polls ----------------------------------------------------------------------------------------


def answer_of(*sequences, cursor, previous=0):
    changes = []
    for sequence in sequences:
        changes.append({"sequence": sequence, "previous": previous})
        previous = sequence
    return {"type": "changes", "changes": changes, "cursor": f"{EPOCH}.{cursor}", "reset": False}


def test_an_answer_to_a_poll_goes_on_behind_its_cursor(stage):
    session = stage.session(transport="poll", hello=f"{EPOCH}.3", start=3)
    session.hear(answer_of(4, 6, cursor=6, previous=3))
    assert stage.complaints == []


def test_it_does_not_go_back(stage):
    session = stage.session(transport="poll", hello=f"{EPOCH}.3", start=3)
    session.hear(answer_of(3, cursor=3, previous=2))
    assert stage.complains("P3", "has 3 behind 2, not 3")


# --- Across sessions ------------------------------------------------------------------------------


def come_back(*, hello=None, kept_from_writing=False):
    stage = Stage()
    stage.watched_by(Durable)
    session = stage.session()
    session.push(1)
    session.ack(1)
    if kept_from_writing:
        with stage.trouble("store", "store_away"):
            stage.now += 1.0
    stage.now += 20.0
    stage.session(hello=hello, host="b").push(1)
    return stage


@pytest.mark.parametrize("is_open", [True, False])
def test_a_session_that_the_store_has_purged_is_not_told_of_acknowledgments_over_http(is_open):
    stage = Stage(Plan(users=2, nodes=2, retention=8.0))
    stage.watched_by(Sessions)
    stage.put(
        "INSERT INTO devices (user_id, device_id, acknowledged, last_seen, session_open)"
        " VALUES ('u0', 'd0', 0, 0, ?)",
        is_open,
    )
    session = stage.session(transport="stream-explicit", host="b")
    session.synced(0)
    stage.now += 10.0
    session.push(1)
    stage.now += 1.0
    body = {"device": "d0", "ids": ["n1"]}
    stage.told(RequestStory("u0/d0", "a", "acknowledge", {}, body, None, 1, 0.0), 204)
    stage.now += 9.0
    session.push(1, attempt=2)
    assert (stage.complaints == []) == (not is_open)


def test_an_acknowledged_push_does_not_come_in_the_next_session():
    assert come_back().complains("P2", "1 came, which was acknowledged at a")


def test_it_may_where_the_store_was_away():
    assert come_back(kept_from_writing=True).complaints == []


def test_it_does_to_a_device_that_goes_back():
    assert come_back(hello="0").complaints == []


@pytest.mark.parametrize("goes_back", [True, False])
def test_a_push_acknowledged_by_id_may_come_again_after_a_reset(goes_back):
    stage = Stage()
    stage.watched_by(Durable)
    session = stage.session()
    if goes_back:
        session.hear({"type": "reset", "reason": "horizon"})
    session.push(1)
    session.push(2)
    session.ack_ids("n2")
    stage.now += 20.0
    stage.session(host="b").push(2)
    assert (stage.complaints == []) == goes_back


def connected_twice(*, trouble=None):
    stage = Stage(Plan(users=2, nodes=3))
    stage.watched_by(Single)
    stage.now = 100.0
    older = stage.session()
    stage.now += 1.0
    stage.session(host="b")
    if trouble:
        with stage.trouble(trouble, "stopped"):
            stage.now += 10.0
    stage.now += 10.0
    older.push(1)
    return stage


@pytest.mark.parametrize("trouble", [None, "c"])
def test_a_session_that_was_replaced_is_pushed_nothing(trouble):
    stage = connected_twice(trouble=trouble)
    assert stage.complains("P8", "1 was pushed on its session at a#1")


@pytest.mark.parametrize("trouble", ["a", "b", "bus", "store"])
def test_a_node_that_cannot_know_goes_on(trouble):
    assert connected_twice(trouble=trouble).complaints == []


@pytest.mark.parametrize(
    ("apart", "has_ended", "is_right"),
    [(0.0, True, True), (0.0, False, False), (1.0, True, False)],
)
def test_of_two_that_arrive_together_one_stays_whichever(apart, has_ended, is_right):
    stage = Stage(Plan(users=2, nodes=3))
    stage.watched_by(Single)
    older = stage.session()
    stage.now += apart
    newer = stage.session(host="b")
    if has_ended:
        newer.goodbye("replaced")
        newer.end()
    stage.now += 10.0
    older.push(1)
    assert (stage.complaints == []) == is_right


def test_a_session_that_ends_with_its_node_is_told():
    stage = Stage()
    check = stage.watched_by(Single)
    told, untold = stage.session(device="d0"), stage.session(device="d1")
    check.finish()
    stage.hosts["a"].node.is_stopping = True
    told.goodbye("draining")
    told.end()
    untold.end()
    assert stage.complains("P7", "ended without a goodbye")


@pytest.mark.parametrize("speaks", [True, False])
def test_a_device_that_answers_is_not_silent_about_a_change_that_it_reads_later(speaks):
    def push(sequence, attempt=1):
        notification = {"id": "n", "expires_at": None}
        facts = {"attempt": attempt, "replay": False, "notification": notification}
        return {"sequence": sequence, **facts}

    pushes = Pushes(delay=1.0, limit=2, window=64, attempts_max=20)
    complaints = list(pushes.pushed(push(1), 0.0))
    if speaks:
        pushes.answered({"type": "ack", "ids": ["n"]}, 5.0)
    complaints += pushes.pushed(push(2), 1.0)
    known = pushes.get(2)
    assert known is not None
    for attempt, sent_at in ((2, 2.5), (3, 6.0)):
        complaints += pushes.again(known, push(2, attempt), sent_at)

    assert [each.what for each in complaints] == (
        [] if speaks else ["2 was sent 3 times to a silent device"]
    )
