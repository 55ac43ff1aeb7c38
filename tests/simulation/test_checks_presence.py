"""The complaints of the check of presence, and of the census at the end."""

from dataclasses import replace

import pytest

from simulation.bugs.mutation import Mutation
from simulation.checks.nodes.presence import Presence
from simulation.runs.simulator import simulate
from simulation.world.history import RequestStory
from simulation.world.plan import Plan
from tests.simulation.stage_kit import Stage
from tocsin.actors.delivery.attendance import Attendance


@pytest.fixture
def stage():
    stage = Watched()
    look_for(stage, 3)
    return stage


class Watched(Stage):
    """A stage with the check under test."""

    def __post_init__(self):
        super().__post_init__()
        self.check = self.watched_by(Presence)


def look_for(stage, seconds):
    for _ in range(seconds):
        stage.now += 1.0
        stage.check.look()


def answered(stage, *places):
    """Node b answers where u0 is."""
    devices = [
        {"device": device, "node": node, "since": "2026-01-01T00:00:00.000Z"}
        for device, node in places
    ]
    answer = {"user": "u0", "online": bool(devices), "devices": devices}
    request = RequestStory("p0", "b", "show_presence", {"user": "u0"}, None, None, 1, 0.0)
    stage.told(request, 200, answer)
    look_for(stage, 3)


def killed(stage):
    """Node a died, and another process runs there now."""
    with stage.trouble("a", "killed"):
        stage.hosts["a"].process_number = 2
        look_for(stage, 1)


def test_a_present_device_is_said_to_be_there(stage):
    stage.session()
    look_for(stage, 3)
    answered(stage, ("d0", "a"))
    assert stage.complaints == []


def test_a_present_device_must_not_be_left_out(stage):
    stage.session()
    look_for(stage, 3)
    answered(stage)
    assert stage.complains("P7", "d0 is not at a, and it is")


@pytest.mark.parametrize("what", ["has just come", "has left meanwhile", "has gone elsewhere"])
def test_nor_is_that_said_too_soon(stage, what):
    session = stage.session()
    if what != "has just come":
        look_for(stage, 3)
    if what == "has left meanwhile":
        session.end()
    if what == "has gone elsewhere":
        look_for(stage, 1)
        stage.session(host="b")
    answered(stage)
    assert stage.complaints == []


@pytest.mark.parametrize(
    ("who", "what", "is_excused"),
    [("bus", "bus_away", True), ("a", "bus_away", True), ("b", "bus_away", False)],
)
def test_a_node_that_could_not_say_it_is_excused(stage, who, what, is_excused):
    stage.session()
    look_for(stage, 3)
    with stage.trouble(who, what):
        answered(stage)
    assert (stage.complaints == []) == is_excused


def test_a_device_is_not_said_to_be_where_it_never_was(stage):
    stage.session(host="b")
    look_for(stage, 3)
    answered(stage, ("d0", "a"), ("d0", "b"))
    assert stage.complains("P7", "d0 is at a, where it never was")


@pytest.mark.parametrize(("seconds", "is_right"), [(1, True), (2, False)])
def test_a_device_that_has_left_is_soon_known_to_have(stage, seconds, is_right):
    stage.session().end()
    look_for(stage, seconds)
    answered(stage, ("d0", "a"))
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize(("seconds", "is_right"), [(29, True), (33, False)])
def test_the_word_of_a_node_that_died_is_good_for_as_long_as_its_leases(stage, seconds, is_right):
    stage.session()
    killed(stage)
    look_for(stage, seconds)
    answered(stage, ("d0", "a"))
    assert (stage.complaints == []) == is_right


@pytest.mark.parametrize(("seconds", "is_right"), [(100, True), (120, False)])
def test_a_device_whose_connection_broke_unheard_is_missed_in_time(stage, seconds, is_right):
    session = stage.session()
    with stage.trouble("a", "cut"):
        look_for(stage, 1)
        session.end()
    look_for(stage, seconds)
    answered(stage, ("d0", "a"))
    assert (stage.complaints == []) == is_right


# --- The census -----------------------------------------------------------------------------------

CALM = Plan(seed=1, nodes=2, users=2, producers=1, duration=8.0, settling=8.0, looks=0.0)


@pytest.mark.parametrize("nodes", [1, 2])
def test_at_the_end_every_node_says_where_everybody_is(nodes):
    assert simulate(replace(CALM, nodes=nodes)).violations == ()


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_node_that_does_not_know_who_is_here_does_not_settle(nodes):
    blind = Mutation(
        name="", owner=Attendance, attribute="arrived", patch=lambda _: lambda *_: None
    )
    with blind.applied():
        verdict = simulate(replace(CALM, nodes=nodes), checks=())

    assert verdict.violations[0].promise == "settling"
    assert "was asked where u0 is, and does not say" in verdict.violations[0].what


def test_a_node_that_does_not_know_since_when_does_not_settle():
    def later(arrived):
        def arrive_later(self, user, device, connection):
            arrived(self, user, device, connection)
            lease = self._users[user][connection]
            self._users[user][connection] = type(lease)(user, device, lease.node, 0)

        return arrive_later

    with Mutation(name="", owner=Attendance, attribute="arrived", patch=later).applied():
        verdict = simulate(replace(CALM, nodes=1), checks=())

    assert "since" in verdict.violations[0].what
