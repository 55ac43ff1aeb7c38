"""Simulated clients behave like real ones, good and bad, and report all of it to the history."""

import dataclasses

import pytest

from simulation.checks import ALL
from simulation.clients.sockets import frames_in
from simulation.faults.schedule import Fault
from simulation.runs.simulator import simulate
from simulation.world.history import Watcher
from simulation.world.plan import Plan
from tocsin.server.websocket.wire_frames import ping_frame, text_frame

BUSY = Plan(seed=3, users=4, producers=2, posts=3.0, duration=25.0)
GOOD = dataclasses.replace(BUSY, bad_devices=0.0)
KILLED = (Fault(at=10.0, kind="killed", target="a", lasts=5.0),)
AWAY = (
    Fault(at=8.0, kind="store_away", lasts=8.0, how="refuses"),
    Fault(at=8.0, kind="bus_away", lasts=8.0, how="refuses"),
)


class Recorder(Watcher):
    """A check that keeps all that it is told."""

    def __init__(self, cluster, devices):
        self.cluster = cluster
        self.devices = devices
        self.acks = []
        self.arrived = []
        self.ends = []

    def look(self):
        """Do nothing."""

    def settled(self):
        return None

    def finish(self):
        """Do nothing."""

    def acknowledged(self, session, ack):
        self.acks.append(ack)

    def ack_arrived(self, session, ack):
        self.arrived.append(ack)

    def ended(self, session):
        self.ends.append(session)

    @property
    def sessions(self):
        return self.cluster.history.sessions

    @property
    def requests(self):
        return self.cluster.history.requests


@pytest.fixture
def observe():
    """Run a plan with all checks and a recorder; returns the recorder."""

    def run(plan, schedule=()):
        recorders = []

        def recorder(cluster, devices):
            recorders.append(Recorder(cluster, devices))
            return recorders[-1]

        verdict = simulate(plan, schedule, checks=(*ALL, recorder))
        assert verdict.violations == ()
        return recorders[-1]

    return run


@pytest.mark.parametrize(
    ("streams", "polls", "transports"),
    [
        (0.0, 0.0, ["websocket"]),
        (1.0, 0.0, ["stream", "stream-explicit"]),
        (0.0, 1.0, ["poll"]),
    ],
)
def test_every_transport_alone_carries_all_there_is(observe, streams, polls, transports):
    seen = observe(dataclasses.replace(GOOD, streams=streams, polls=polls))

    assert sorted({session.transport for session in seen.sessions}) == transports
    assert all(device.shown for device in seen.devices)


def test_a_device_comes_back_over_another_transport_with_its_cursor(observe):
    seen = observe(dataclasses.replace(BUSY, users=12, bad_devices=1.0, duration=60.0))

    for device in seen.devices:
        visits = [story for story in seen.sessions if is_of(story, device) and story.hello]
        if len({story.transport for story in visits}) > 1:
            return
    pytest.fail("every device came back the same way")


def test_every_session_ends_once(observe):
    seen = observe(BUSY, KILLED)

    over = [session for session in seen.sessions if session.ended_at is not None]
    assert len(seen.ends) == len(over)
    assert len(over) >= len(seen.sessions) - len(seen.devices)


def test_acks_that_arrive_were_sent_before(observe):
    seen = observe(BUSY)

    assert seen.arrived
    assert {id(ack) for ack in seen.arrived} <= {id(ack) for ack in seen.acks}


def test_a_post_with_a_key_is_repeated_until_it_is_accepted(observe):
    seen = observe(dataclasses.replace(GOOD, keys=1.0, sockets=0.0), AWAY)

    posts = [request for request in seen.requests if request.operation == "publish"]
    again = {request.key for request in posts if request.attempt > 1}
    accepted = {request.key for request in posts if request.status in (201, 202)}
    assert again
    assert again <= accepted
    for key in again:
        bodies = [request.body for request in posts if request.key == key]
        assert all(body == bodies[0] for body in bodies)


def test_a_post_without_a_key_is_not_repeated(observe):
    seen = observe(dataclasses.replace(GOOD, keys=0.0), AWAY)

    posts = [request for request in seen.requests if request.operation == "publish"]
    assert any(request.status == 503 for request in posts)
    assert all(request.attempt == 1 for request in posts)


def test_a_post_over_a_websocket_is_told_as_the_request_that_it_is(observe):
    seen = observe(dataclasses.replace(GOOD, sockets=1.0))

    posts = [request for request in seen.requests if request.operation == "publish"]
    assert {request.status for request in posts} == {201}
    assert any(line.what == "publish by a frame: 201" for line in seen.cluster.trace.lines())


def test_every_request_is_told_to_be_over(observe):
    seen = observe(BUSY, KILLED)

    assert all(
        request.answered_at is not None
        for request in seen.requests
        if request.operation != "poll_changes"
    )


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_of_every_length_are_told_apart(size):
    payload = b"x" * size

    assert frames_in(text_frame(payload) + ping_frame()) == [(0x81, payload), (0x89, b"")]


def is_of(story, device):
    return (story.user, story.device) == (device.user, device.name)
