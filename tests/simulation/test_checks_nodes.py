"""The complaints of the checks of nodes: answers, honesty, bounds, lateness."""

from types import SimpleNamespace
from typing import Any

import pytest

from simulation.checks.devices.lateness import Lateness
from simulation.checks.nodes.answers import Answers
from simulation.checks.nodes.bounds import Bounds
from simulation.checks.nodes.honesty import Honesty
from tests.simulation.stage_kit import Stage, a_post


@pytest.fixture
def stage():
    return Stage()


# --- Answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "is_right"), [(201, True), (503, False), (500, False)])
def test_without_trouble_a_refusal_is_wrong(stage, status, is_right):
    stage.watched_by(Answers)
    stage.told(a_post("p0-1", "u0"), status, "code")
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize(("status", "is_right"), [(503, True), (500, False), (422, False)])
def test_trouble_excuses_a_refusal_and_no_bug(stage, status, is_right):
    stage.watched_by(Answers)
    with stage.trouble("store", "store_away"):
        stage.told(a_post("p0-1", "u0"), status, "code")
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize(
    ("answer", "who", "what", "is_excused"),
    [
        ("store_unavailable", "bus", "bus_away", False),
        ("store_unavailable", "a", "deaf", False),
        ("store_unavailable", "a", "store_away", True),
        ("store_unavailable", "b", "store_away", False),
        ("bus_unavailable", "bus", "bus_away", True),
        ("bus_unavailable", "a", "bus_away", True),
        ("bus_unavailable", "store", "store_away", False),
    ],
)
def test_a_refusal_is_excused_by_the_trouble_that_it_speaks_of(
    stage, answer, who, what, is_excused
):
    stage.watched_by(Answers)
    with stage.trouble(who, what):
        stage.told(a_post("p0-1", "u0"), 503, answer)
    assert (stage.complaints == []) == is_excused


def silent_for(stage, seconds):
    stage.watched_by(Answers)
    request = a_post("p0-1", "u0")
    stage.history.asked(request)
    stage.now += seconds
    request.answered_at = stage.now
    stage.history.answered(request)


def test_a_client_that_waits_for_all_its_patience_should_have_been_answered(stage):
    silent_for(stage, 30.0)
    assert stage.complains("P7", "was not answered within 30.0 s")


def test_a_client_that_breaks_off_need_not_be_answered(stage):
    silent_for(stage, 3.0)
    assert stage.complaints == []


# --- Honesty --------------------------------------------------------------------------------------


def running(stage: Stage, **parts: Any) -> None:
    """Let node a run with these *parts*, and node b not at all."""
    services: dict[str, Any] = {
        "bus": SimpleNamespace(available=True),
        "status": SimpleNamespace(available=True),
    }
    stage.hosts["a"].node.services = SimpleNamespace(**services | parts)


def look_for(stage: Stage, check: Any, seconds: int) -> None:
    for _ in range(seconds):
        stage.now += 1.0
        check.look()


@pytest.mark.parametrize(("what", "is_right"), [("deaf", False), ("stalled", True)])
def test_a_node_that_is_deaf_must_know_it(stage, what, is_right):
    check = stage.watched_by(Honesty)
    running(stage)
    look_for(stage, check, 30)
    with stage.trouble("a", what):
        look_for(stage, check, 6)
    assert (stage.complaints == []) == is_right


def test_for_some_seconds_it_need_not(stage):
    check = stage.watched_by(Honesty)
    running(stage)
    look_for(stage, check, 30)
    with stage.trouble("a", "deaf"):
        look_for(stage, check, 4)
    assert stage.complaints == []


@pytest.mark.parametrize(("parts", "is_right"), [({"storage"}, True), ({"cluster"}, False)])
def test_a_node_that_stops_must_know_it_until_it_has_left_the_bus(stage, parts, is_right):
    check = stage.watched_by(Honesty)
    running(stage)
    look_for(stage, check, 30)
    node = stage.hosts["a"].node
    node.is_stopping, node.has_part = True, lambda name: name in parts
    with stage.trouble("a", "deaf"):
        look_for(stage, check, 6)
    assert (stage.complaints == []) == is_right


def test_a_node_must_know_that_all_is_well(stage):
    check = stage.watched_by(Honesty)
    running(stage, bus=SimpleNamespace(available=False))
    look_for(stage, check, 30)
    assert "P7 takes the bus to be lost, and it is there" in stage.complaints


@pytest.mark.parametrize(("seconds", "is_right"), [(11, True), (14, False)])
def test_a_node_that_started_without_the_store_knows_the_bus_some_seconds_after_it(
    stage, seconds, is_right
):
    check = stage.watched_by(Honesty)
    status = SimpleNamespace(available=False)
    running(stage, bus=SimpleNamespace(available=False), status=status)
    with stage.trouble("store", "store_away"):
        look_for(stage, check, 30)
    look_for(stage, check, 15)
    status.available = True
    look_for(stage, check, seconds)
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize("is_told", [False, True])
def test_a_device_is_told_before_it_is_told_anything_else(stage, is_told):
    check = stage.watched_by(Honesty)
    running(stage, bus=SimpleNamespace(available=False))
    check.look()
    stage.now += 30.0
    session = stage.session()
    with stage.trouble("bus", "bus_away"):
        stage.now += 6.0
        if is_told:
            session.hear({"type": "status", "bus": "lost", "store": "ok"})
        session.push(1)
    assert (stage.complaints == []) == is_told


# --- Bounds ---------------------------------------------------------------------------------------


class Attendance:
    def __init__(self, *users: str) -> None:
        self._users = users

    def is_here(self, user: str) -> bool:
        return user in self._users


class Named(list[str]):
    def names(self) -> list[str]:
        return list(self)

    def kept(self) -> dict[str, dict[str, int]]:
        return {}


def actors(stage: Stage, *, users: Named, notifications: Named, here: Attendance) -> None:
    stage.hosts["a"].node.ledger = SimpleNamespace(waiting=[])
    parts = {"users": users, "notifications": notifications, "attendance": here}
    running(stage, connections=[], **parts)


@pytest.mark.parametrize("is_here", [False, True])
def test_a_users_actor_ends_with_the_last_connection(stage, is_here):
    check = stage.watched_by(Bounds)
    here = Attendance("u0") if is_here else Attendance()
    actors(stage, users=Named(["u0"]), notifications=Named(), here=here)
    look_for(stage, check, 12)
    assert (stage.complaints == []) == is_here
    assert all("u0 has an actor, and no connection," in each for each in stage.complaints)


def test_a_notifications_actor_does_not_live_for_ever(stage):
    check = stage.watched_by(Bounds)
    actors(stage, users=Named(), notifications=Named(["n1"]), here=Attendance())
    look_for(stage, check, 70)
    assert stage.complaints == []
    look_for(stage, check, 7)
    assert stage.complains("P6", "n1 has an actor since 1.000")


# --- Lateness -------------------------------------------------------------------------------------


def waiting(stage: Stage, seconds: int, *, hindered_by: str = "") -> None:
    check = stage.watched_by(Lateness)
    stage.now = 100.0
    session = stage.session()
    session.synced(0)
    stage.notify("n1", "p0-1")
    stage.enter("u0", "n1", 1)
    stage.count("u0", 1, 1, 1)
    if hindered_by:
        with stage.trouble(hindered_by, "stopped"):
            look_for(stage, check, seconds)
    else:
        look_for(stage, check, seconds)


def test_a_committed_entry_is_pushed_within_seconds(stage):
    waiting(stage, 11)
    assert stage.complains("P7", "was pushed nothing behind 0 since 101.000", "n1")


@pytest.mark.parametrize(("seconds", "is_right"), [(5, True), (11, False)])
def test_nothing_is_late_before_the_device_has_made_room(stage, seconds, is_right):
    check = stage.watched_by(Lateness)
    stage.now = 100.0
    session = stage.session(window=1)
    session.push(1)
    stage.notify("n2", "p0-2")
    stage.enter("u0", "n2", 2)
    stage.count("u0", 2, 2, 2)
    look_for(stage, check, 9)
    session.ack(1)
    look_for(stage, check, seconds)
    assert (stage.complaints == []) == is_right


def test_not_at_once(stage):
    waiting(stage, 8)
    assert stage.complaints == []


def test_not_where_the_node_cannot(stage):
    waiting(stage, 30, hindered_by="a")
    assert stage.complaints == []
